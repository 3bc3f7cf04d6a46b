package manager

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/provider"
)

// discoverFor bounds the reading of what one grant reaches.
const discoverFor = 20 * time.Second

// Locations returns what each grant of a connection reaches, as last read.
func (m *Manager) Locations(ctx context.Context, ref grant.Ref) ([]grant.Location, error) {
	c, err := m.c.Store.Connection(ctx, ref)
	if err != nil {
		return nil, m.internal("locations", ref.String(), err)
	}
	all, err := m.c.Store.Locations(ctx, c.ID)
	if err != nil {
		return nil, m.internal("locations", ref.String(), err)
	}
	return all, nil
}

// ReadLocations re-reads from the provider what each live grant reaches. A
// provider without such a call leaves what is known.
func (m *Manager) ReadLocations(ctx context.Context, ref grant.Ref) ([]grant.Location, error) {
	const op = "locations"
	s, err := m.build(ctx, ref)
	if err != nil {
		return nil, m.internal(op, ref.String(), err)
	}
	app := m.c.Apps[s.connection.App]
	if app == nil || app.Recipe.Discover == nil {
		return m.Locations(ctx, ref)
	}
	var failed error
	for _, h := range s.grants {
		err := m.readReach(ctx, app, s.connection, h)
		if err != nil && !errors.Is(err, provider.ErrNoDiscovery) {
			m.c.Logger.WarnContext(ctx, "locations could not be read", "grant", h.grant.ID, "err", err)
			failed = err
		}
	}
	if failed != nil {
		return nil, temporary(op, ref.String(), grant.ProviderUnavailable, 10*time.Second, "the provider did not tell which locations the grants reach")
	}
	return m.Locations(ctx, ref)
}

func (m *Manager) readReach(ctx context.Context, app *provider.App, c grant.Connection, h held) error {
	ctx, cancel := context.WithTimeout(ctx, discoverFor)
	defer cancel()
	ep, err := app.ResolvedFor(ctx, m.c.Sender, h.cred.Variables)
	if err != nil {
		return err
	}
	reach, err := app.Recipe.Discover(ctx, provider.API{
		Client: m.c.Sender.APIClient(h.cred.AccessToken, h.cred.TokenType, ep.API), Base: ep.API, Scope: h.cred.Scope, Variables: h.cred.Variables,
	})
	if err != nil {
		return err
	}
	now := m.c.Now()
	var ids []string
	for i := range reach.Locations {
		l := &reach.Locations[i]
		l.GrantID, l.SeenAt = h.grant.ID, now
		ids = append(ids, l.ID)
	}
	added, lost := difference(ids, h.locations), difference(h.locations, ids)
	var events []grant.Event
	if len(added)+len(lost) > 0 {
		events = append(events, grant.Event{Type: grant.ConnectionLocationsChanged, Connection: c.ID, Grant: h.grant.ID, App: c.App,
			Data: map[string]any{"added": added, "lost": lost}})
	}
	if err := m.c.Store.SetLocations(ctx, h.grant.ID, reach.Locations, events...); err != nil {
		return err
	}
	m.cache.drop(c.ID)
	return nil
}

// difference returns what is in a and not in b, sorted.
func difference(a, b []string) []string {
	out := []string{}
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, strings.Compare)
	return out
}
