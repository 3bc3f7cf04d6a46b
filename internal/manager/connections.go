package manager

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/issue"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// Connection returns a connection as a caller sees it: an app's incident shows
// in the status of its connections.
func (m *Manager) Connection(ctx context.Context, ref grant.Ref) (grant.Connection, error) {
	c, err := m.c.Store.Connection(ctx, ref)
	if err != nil {
		return grant.Connection{}, m.internal("connection", ref.String(), err)
	}
	c.Status = m.overlay(c.App, c.Status)
	return c, nil
}

// Connections lists connections; f.Unhealthy is filled in here.
func (m *Manager) Connections(ctx context.Context, f store.ConnectionFilter, p store.Page) ([]grant.Connection, string, error) {
	f.Unhealthy = m.unhealthy()
	all, next, err := m.c.Store.ListConnections(ctx, f, p)
	if err != nil {
		return nil, "", m.internal("connections", "", err)
	}
	for i := range all {
		all[i].Status = m.overlay(all[i].App, all[i].Status)
	}
	return all, next, nil
}

// Create makes a connection, or adopts tokens into one that exists. created says
// which. Without tokens an existing connection is left as it is.
func (m *Manager) Create(ctx context.Context, n NewConnection) (c grant.Connection, created bool, err error) {
	const op = "create"
	c, created, err = m.make(ctx, op, n)
	if err != nil {
		return c, false, err
	}
	if n.Tokens != nil {
		if err := m.adopt(ctx, c, n.Tokens); err != nil {
			return c, created, m.internal(op, n.Ref.String(), err)
		}
	}
	c, err = m.Connection(ctx, grant.Ref{ID: c.ID})
	return c, created, err
}

// make checks what is asked for and makes the connection, or finds the one that
// exists.
func (m *Manager) make(ctx context.Context, op string, n NewConnection) (c grant.Connection, created bool, err error) {
	if err := m.check(op, n); err != nil {
		return c, false, err
	}
	c = m.fresh(n)
	err = m.c.Store.CreateConnection(ctx, c)
	if errors.Is(err, store.ErrExists) {
		c, err = m.c.Store.Connection(ctx, n.Ref)
		return c, false, m.internal(op, n.Ref.String(), err)
	}
	return c, err == nil, m.internal(op, n.Ref.String(), err)
}

// check checks what is asked for.
func (m *Manager) check(op string, n NewConnection) error {
	app := m.c.Apps[n.Ref.App]
	if n.Ref.ID != "" {
		return invalid(op, n.Ref.String(), "ref must be an address like biz_42@k-series; ids are given by Evergrant")
	}
	if app == nil {
		return invalid(op, n.Ref.String(), "ref: there is no app %q in the configuration", n.Ref.App)
	}
	if n.Tokens == nil {
		return nil
	}
	if n.Tokens.AccessToken.IsZero() && n.Tokens.RefreshToken.IsZero() {
		return invalid(op, n.Ref.String(), "tokens: access_token and refresh_token are both empty; give at least one")
	}
	if _, err := app.Variables(n.Tokens.Variables); err != nil {
		return invalid(op, n.Ref.String(), "tokens.variables: %v", err)
	}
	return nil
}

// fresh is the connection that is asked for, as a new one.
func (m *Manager) fresh(n NewConnection) grant.Connection {
	now := m.c.Now()
	return grant.Connection{
		ID: grant.NewID(grant.ConnectionID, now), App: n.Ref.App, Key: n.Ref.Key, Name: n.Name, Tags: n.Tags,
		RequiredLocations: n.RequiredLocations, Status: grant.StatusOf(grant.NeverConnected, now), CreatedAt: now, UpdatedAt: now,
	}
}

// adopt installs tokens that somebody else obtained.
func (m *Manager) adopt(ctx context.Context, c grant.Connection, t *Adoption) error {
	_, err := m.issuer.Issue(ctx, m.adoption(c, t))
	return err
}

// adoption is what adopting tokens asks of the issuer.
func (m *Manager) adoption(c grant.Connection, t *Adoption) issue.Request {
	r := issue.Request{
		App: m.c.Apps[c.App], Connection: c, AskedAt: m.c.Now(), ExpiresAt: t.ExpiresAt, Deadline: t.RefreshExpiresAt, Variables: t.Variables,
		Token: oauth.Token{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, Type: t.TokenType, Scope: t.Scope, ExpiresIn: t.ExpiresIn},
	}
	if r.Token.Type == "" {
		r.Token.Type = "Bearer"
	}
	r.Adopted = t.fingerprint()
	return r
}

// Update changes a connection.
func (m *Manager) Update(ctx context.Context, ref grant.Ref, ch Change) (grant.Connection, error) {
	const op = "update"
	c, err := m.c.Store.Connection(ctx, ref)
	if err != nil {
		return c, m.internal(op, ref.String(), err)
	}
	c, err = m.c.Store.UpdateConnection(ctx, c.ID, func(c *grant.Connection) error {
		if !ch.Seen.IsZero() && !c.UpdatedAt.Equal(ch.Seen) {
			return store.ErrStale
		}
		if ch.Name != nil {
			c.Name = *ch.Name
		}
		if ch.Tags != nil {
			c.Tags = ch.Tags
		}
		if ch.RequiredLocations != nil {
			c.RequiredLocations = *ch.RequiredLocations
		}
		return nil
	})
	if err != nil {
		return c, m.internal(op, ref.String(), err)
	}
	c.Status = m.overlay(c.App, c.Status)
	return c, nil
}

// Disconnect ends a connection's grants, revokes them at the provider where it
// can be done, and keeps the history. A connection without live grants stays as
// it is.
func (m *Manager) Disconnect(ctx context.Context, ref grant.Ref) (grant.Connection, error) {
	const op = "disconnect"
	c, err := m.c.Store.Connection(ctx, ref)
	if err != nil {
		return c, m.internal(op, ref.String(), err)
	}
	if err := m.disconnect(ctx, c); err != nil {
		return c, m.internal(op, ref.String(), err)
	}
	return m.Connection(ctx, grant.Ref{ID: c.ID})
}

// disconnectTries bounds how often a grant that is being refreshed at the same
// moment is read again. Each loss means a refresh has committed.
const disconnectTries = 5

func (m *Manager) disconnect(ctx context.Context, c grant.Connection) error {
	grants, err := m.c.Store.Grants(ctx, c.ID)
	if err != nil {
		return err
	}
	grants = slices.DeleteFunc(grants, func(g grant.Grant) bool { return g.Status.State == grant.Disconnected })
	for i, g := range grants {
		if err := m.disconnectGrant(ctx, c, g.ID, i == len(grants)-1); err != nil {
			return err
		}
	}
	return nil
}

// disconnectGrant ends a grant here first and then at the provider, so that
// nothing we still hold as live is revoked. last adds the connection's event.
func (m *Manager) disconnectGrant(ctx context.Context, c grant.Connection, grantID string, last bool) error {
	for try := 1; ; try++ {
		g, sealed, err := m.c.Store.Credentials(ctx, grantID)
		if err != nil {
			return err
		}
		if sealed == nil { // disconnected since it was listed
			return nil
		}
		cred, err := m.open(g, sealed)
		if err != nil {
			return err
		}
		var events []grant.Event
		if last {
			events = append(events, grant.Event{Type: grant.ConnectionDisconnected, Connection: c.ID, App: c.App, Reason: grant.DisconnectedByUs})
		}
		err = m.c.Store.Disconnect(ctx, grantID, g.Version, grant.DisconnectedByUs, events...)
		if errors.Is(err, store.ErrStale) && try < disconnectTries {
			continue
		}
		if err != nil {
			return err
		}
		m.cache.drop(c.ID)
		m.revoke(context.WithoutCancel(ctx), c, g, cred)
		return nil
	}
}

// revoke tells the provider that a grant is over (RFC 7009). The grant is over
// here whatever it answers.
func (m *Manager) revoke(ctx context.Context, c grant.Connection, g grant.Grant, cred grant.Credential) {
	ev := grant.Event{Type: grant.GrantRevoked, Connection: c.ID, Ref: c.Ref().String(), Grant: g.ID, App: c.App, Reason: grant.DisconnectedByUs,
		Data: map[string]any{"at_provider": false}}
	if err := m.revokeAtProvider(ctx, g.App, cred); err != nil {
		ev.Data["error"] = err.Error()
	} else {
		ev.Data["at_provider"] = true
	}
	if err := m.c.Store.AppendEvents(ctx, ev); err != nil {
		m.c.Logger.ErrorContext(ctx, "a revocation could not be recorded", "grant", g.ID, "err", err)
	}
}

func (m *Manager) revokeAtProvider(ctx context.Context, appName string, cred grant.Credential) error {
	app := m.c.Apps[appName]
	if app == nil {
		return fmt.Errorf("app %q is not configured any more", appName)
	}
	ep, err := app.ResolvedFor(ctx, m.c.Sender, cred.Variables)
	if err != nil {
		return err
	}
	if ep.Revoke == "" {
		return errors.New("the provider has no revocation endpoint")
	}
	token, hint := cred.RefreshToken, "refresh_token"
	if token.IsZero() {
		token, hint = cred.AccessToken, "access_token"
	}
	if token == (secret.String{}) {
		return errors.New("there is no token to revoke")
	}
	for n := range max(len(app.Secrets), 1) {
		// While a client secret is rotated, the provider may know only one of them.
		err = m.c.Sender.Revoke(ctx, ep.Revoke, app.Client(n), token, hint)
		var refused *oauth.RevokeError
		if !errors.As(err, &refused) || refused.Code != "invalid_client" && refused.Status != http.StatusUnauthorized {
			return err
		}
	}
	return err
}

// Delete revokes a connection's grants at the provider where it can be done and
// removes it. Its events stay.
func (m *Manager) Delete(ctx context.Context, ref grant.Ref) error {
	const op = "delete"
	c, err := m.c.Store.Connection(ctx, ref)
	if err != nil {
		return m.internal(op, ref.String(), err)
	}
	if err := m.disconnect(ctx, c); err != nil && !errors.Is(err, store.ErrNotFound) {
		return m.internal(op, ref.String(), err)
	}
	err = m.c.Store.DeleteConnection(ctx, c.ID,
		grant.Event{Type: grant.ConnectionDeleted, Connection: c.ID, App: c.App, Ref: c.Ref().String()})
	m.cache.drop(c.ID)
	return m.internal(op, ref.String(), err)
}

// Grants returns a connection's grants.
func (m *Manager) Grants(ctx context.Context, ref grant.Ref) ([]grant.Grant, error) {
	c, err := m.c.Store.Connection(ctx, ref)
	if err != nil {
		return nil, m.internal("grants", ref.String(), err)
	}
	grants, err := m.c.Store.Grants(ctx, c.ID)
	if err != nil {
		return nil, m.internal("grants", ref.String(), err)
	}
	for i := range grants {
		grants[i].Status = m.overlay(c.App, grants[i].Status)
	}
	return grants, nil
}

// Grant returns one grant and its connection.
func (m *Manager) Grant(ctx context.Context, id string) (grant.Grant, grant.Connection, error) {
	const op = "grant"
	g, err := m.c.Store.Grant(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return g, grant.Connection{}, &evergrant.Error{Op: op, Code: codeNotFound, Message: fmt.Sprintf("there is no grant %s", id),
			ActBy: evergrant.ActOperator, Err: evergrant.ErrNotFound}
	}
	if err != nil {
		return g, grant.Connection{}, m.internal(op, id, err)
	}
	c, err := m.Connection(ctx, grant.Ref{ID: g.ConnectionID})
	g.Status = m.overlay(g.App, g.Status)
	return g, c, err
}

// Events lists the log. With wait > 0 and nothing to return it waits that long
// for the next event.
func (m *Manager) Events(ctx context.Context, f store.EventFilter, p store.Page, wait time.Duration) ([]grant.Event, string, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		grown := m.c.Hub.Grown()
		events, next, err := m.c.Store.ListEvents(ctx, f, p)
		if err != nil {
			return nil, "", m.internal("events", "", err)
		}
		if len(events) > 0 || wait <= 0 {
			return events, next, nil
		}
		select {
		case <-grown:
		case <-deadline.C:
			return nil, next, nil
		case <-ctx.Done():
			return nil, next, nil
		}
	}
}
