package manager

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evergrant/evergrant/internal/coverage"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/provider"
)

const (
	// discoverFor bounds the reading of what one grant reaches.
	discoverFor = 20 * time.Second
	// discoverAtOnce bounds how many grants of one connection are read at once.
	discoverAtOnce = 4
)

// Why what a grant reaches is not known after an attempt to read it.
var (
	// errNoToken: the grant has no access token that could be used now.
	errNoToken = errors.New("the grant has no token to ask with now")
	// errOutdated: the grant was approved again or ended while it was read.
	errOutdated = errors.New("the grant has changed while its locations were read")
)

// Coverage returns which grants of a connection reach which locations, as last
// read.
func (m *Manager) Coverage(ctx context.Context, ref grant.Ref) (coverage.Coverage, error) {
	c, err := m.c.Store.Connection(ctx, ref)
	if err != nil {
		return coverage.Coverage{}, m.internal("locations", ref.String(), err)
	}
	return m.CoverageOf(ctx, c)
}

// CoverageOf is Coverage of a connection that was read already.
func (m *Manager) CoverageOf(ctx context.Context, c grant.Connection) (coverage.Coverage, error) {
	const op = "locations"
	seen, err := m.c.Store.Locations(ctx, c.ID)
	if err != nil {
		return coverage.Coverage{}, m.internal(op, c.ID, err)
	}
	if len(seen) == 0 {
		return coverage.Of(c.RequiredLocations, nil, nil), nil
	}
	grants, err := m.c.Store.Grants(ctx, c.ID)
	if err != nil {
		return coverage.Coverage{}, m.internal(op, c.ID, err)
	}
	return coverage.Of(c.RequiredLocations, grants, seen), nil
}

// ReadLocations re-reads from the provider what each live grant reaches. A
// provider without such a call leaves what is known, and so does a grant that
// cannot be asked now: how old its answer is, [coverage.Coverage.AsOf] tells. If
// none can be asked, that is an error.
func (m *Manager) ReadLocations(ctx context.Context, ref grant.Ref) (coverage.Coverage, error) {
	const op = "locations"
	c, err := m.c.Store.Connection(ctx, ref)
	if err != nil {
		return coverage.Coverage{}, m.internal(op, ref.String(), err)
	}
	app := m.c.Apps[c.App]
	if app == nil || app.Recipe.Discover == nil {
		return m.CoverageOf(ctx, c)
	}
	grants, err := m.c.Store.Grants(ctx, c.ID)
	if err != nil {
		return coverage.Coverage{}, m.internal(op, ref.String(), err)
	}
	var (
		work          errgroup.Group
		mu            sync.Mutex
		known, failed int
	)
	work.SetLimit(discoverAtOnce)
	for _, g := range grants {
		if !g.Status.State.Live() {
			continue
		}
		work.Go(func() error {
			err := m.readGrant(ctx, app, g.ID, true)
			mu.Lock()
			defer mu.Unlock()
			if err == nil || errors.Is(err, provider.ErrNoDiscovery) || errors.Is(err, errOutdated) {
				known++
				return nil
			}
			m.c.Logger.WarnContext(ctx, "locations could not be read", "grant", g.ID, "err", err)
			failed++
			return nil
		})
	}
	_ = work.Wait() // nothing returns an error
	if known == 0 && failed > 0 {
		return coverage.Coverage{}, temporary(op, ref.String(), grant.ProviderUnavailable, 10*time.Second,
			"the provider did not tell which locations the grants reach")
	}
	return m.CoverageOf(ctx, c)
}

// readGrant reads from the provider what one grant reaches. Callers at the same
// time share the reading. If renew is true, a token that has ended is renewed
// for it first.
func (m *Manager) readGrant(ctx context.Context, app *provider.App, grantID string, renew bool) error {
	ch := m.reading.DoChan(grantID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discoverFor)
		defer cancel()
		return nil, m.readReach(ctx, app, grantID, renew)
	})
	select {
	case r := <-ch:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Manager) readReach(ctx context.Context, app *provider.App, grantID string, renew bool) error {
	g, cred, err := m.usable(ctx, grantID)
	if errors.Is(err, errNoToken) && renew && g.Status.State.Live() {
		if _, err := m.engine.Refresh(ctx, g.App, g.ID, g.Version); err != nil {
			return err
		}
		g, cred, err = m.usable(ctx, grantID)
	}
	if err != nil {
		return err
	}
	ep, err := app.ResolvedFor(ctx, m.c.Sender, cred.Variables)
	if err != nil {
		return err
	}
	reach, err := app.Recipe.Discover(ctx, provider.API{
		Client: m.c.Sender.APIClient(cred.AccessToken, cred.TokenType, ep.API), Base: ep.API, Scope: cred.Scope, Variables: cred.Variables,
	})
	if errors.Is(err, provider.ErrNoDiscovery) {
		return errors.Join(err, m.c.Store.SkipReading(ctx, g.ID))
	}
	if err != nil {
		return err
	}
	return m.setReach(ctx, g, reach.Locations)
}

// usable returns a grant with its newest credentials, and errNoToken if they
// cannot be used now.
func (m *Manager) usable(ctx context.Context, grantID string) (grant.Grant, grant.Credential, error) {
	g, sealed, err := m.c.Store.Credentials(ctx, grantID)
	if err != nil {
		return g, grant.Credential{}, err
	}
	if sealed == nil || !g.Status.State.Live() {
		return g, grant.Credential{}, errNoToken
	}
	cred, err := m.open(g, sealed)
	if err != nil {
		return g, cred, err
	}
	g, cred, _ = m.cache.newest(g, cred)
	if cred.AccessToken.IsZero() || !g.Serves(m.c.Now(), time.Second) {
		return g, cred, errNoToken
	}
	return g, cred, nil
}

// setReach stores what a grant was found to reach, and tells of what has changed.
func (m *Manager) setReach(ctx context.Context, g grant.Grant, found []grant.Location) error {
	now := m.c.Now()
	for i := range found {
		found[i].GrantID, found[i].SeenAt = g.ID, now
	}
	c, err := m.c.Store.Connection(ctx, grant.Ref{ID: g.ConnectionID})
	if err != nil {
		return err
	}
	before, err := m.c.Store.Locations(ctx, c.ID)
	if err != nil {
		return err
	}
	grants, err := m.c.Store.Grants(ctx, c.ID)
	if err != nil {
		return err
	}
	if !stands(grants, g) {
		return errOutdated
	}
	change := coverage.Between(c.RequiredLocations, grants, before, coverage.Replaced(before, g.ID, found, now), g.ID)
	var events []grant.Event
	if !change.None() {
		events = append(events, change.Event(c, g.ID))
	}
	if err := m.c.Store.SetLocations(ctx, g.ID, found, events...); err != nil {
		return err
	}
	if !change.None() {
		m.cache.drop(c.ID)
	}
	return nil
}

// stands reports whether a grant is still the approval that it was.
func stands(grants []grant.Grant, was grant.Grant) bool {
	for _, g := range grants {
		if g.ID == was.ID {
			return g.Version.Epoch == was.Version.Epoch && g.Status.State.Live()
		}
	}
	return false
}
