package issue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/coverage"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

// discoverFor bounds the reading of what a token reaches.
const discoverFor = 15 * time.Second

// installTries bounds how often an installation that lost a race is prepared
// again. Each loss means somebody else's installation won.
const installTries = 4

func (i *Issuer) issue(ctx context.Context, r Request) (Result, error) {
	r, err := r.checked()
	if err != nil {
		return Result{}, err
	}
	identity, found, err := i.identify(ctx, r)
	if err != nil {
		return Result{}, err
	}
	for range installTries {
		res, err := i.install(ctx, r, identity, found.reach)
		res.Unlisted = found.unlisted
		if !errors.Is(err, store.ErrStale) {
			return res, err
		}
		if err := i.finished(ctx, r); err != nil {
			return Result{}, err
		}
	}
	return Result{}, fmt.Errorf("issue grant: %w", store.ErrStale)
}

// checked is the request with its variables as the app wants them.
func (r Request) checked() (Request, error) {
	vars, err := r.App.Variables(r.Variables)
	if err != nil {
		return r, fmt.Errorf("issue grant: %w", err)
	}
	if len(vars) > 0 {
		r.Variables = vars
	}
	return r, nil
}

// finished reports, after a lost race, whether it was lost for good.
func (i *Issuer) finished(ctx context.Context, r Request) error {
	if r.AuthorizationID != "" {
		a, err := i.c.Store.Authorization(ctx, r.AuthorizationID)
		if err != nil {
			return fmt.Errorf("issue grant: %w", err)
		}
		if a.Finished {
			return ErrFinished
		}
	}
	if r.LinkID != "" {
		l, err := i.c.Store.Link(ctx, r.LinkID)
		if err != nil {
			return fmt.Errorf("issue grant: %w", err)
		}
		if l.State == grant.LinkStateCompleted || l.State == grant.LinkStateRevoked {
			return ErrFinished
		}
	}
	return nil
}

// found is what discovery came to.
type found struct {
	reach    *provider.Reach // nil if it is not known
	unlisted bool            // and never will be: the provider lists nothing for this scope
}

// identify finds out whose approval the token is and what it reaches.
func (i *Issuer) identify(ctx context.Context, r Request) (grant.Identity, found, error) {
	var id grant.Identity
	if err := sameVariables(r); err != nil {
		return id, found{}, err
	}
	if r.App.Recipe.Identify != nil {
		id = r.App.Recipe.Identify(r.Token, r.Variables)
	}
	if r.Purpose == "" || r.App.Recipe.Discover == nil {
		return id, found{unlisted: r.App.Recipe.Discover == nil}, nil
	}
	reach, err := i.discover(ctx, r)
	if err != nil && !errors.Is(err, provider.ErrNoDiscovery) {
		i.c.Logger.WarnContext(ctx, "locations could not be read; the grant is stored without them and they are read again soon",
			"connection", r.Connection.ID, "app", r.App.Name, "err", err)
		return id, found{}, nil
	}
	id.Account = cmp.Or(id.Account, reach.Account)
	id.Name = cmp.Or(id.Name, reach.Name)
	if err != nil {
		return id, found{unlisted: true}, nil
	}
	id.Businesses = reach.Businesses
	return id, found{reach: &reach}, nil
}

// sameVariables refuses a token response that names other values of the
// endpoints' variables than those it was asked with: they came through the
// merchant's browser, which could claim to be another business by them.
func sameVariables(r Request) error {
	for _, name := range r.App.Recipe.Variables {
		if told := r.Token.Extra[name]; told != "" && !strings.EqualFold(told, r.Variables[name]) {
			return ErrOtherIdentity
		}
	}
	return nil
}

func (i *Issuer) discover(ctx context.Context, r Request) (provider.Reach, error) {
	ctx, cancel := context.WithTimeout(ctx, discoverFor)
	defer cancel()
	ep, err := r.App.ResolvedFor(ctx, i.c.Sender, r.Variables)
	if err != nil {
		return provider.Reach{}, err
	}
	return r.App.Recipe.Discover(ctx, provider.API{
		Client: i.c.Sender.APIClient(r.Token.AccessToken, r.Token.Type, ep.API),
		Base:   ep.API,
		Scope:  r.scope(),

		Variables: r.Variables,
	})
}

// scope is what was granted: what the answer says, or what was asked for
// (RFC 6749 section 5.1).
func (r Request) scope() string {
	if r.Token.Scope != "" {
		return r.Token.Scope
	}
	return strings.Join(r.App.Scopes, " ")
}

// install prepares the installation against the connection's grants as they are
// now and tries it once.
func (i *Issuer) install(ctx context.Context, r Request, id grant.Identity, reach *provider.Reach) (Result, error) {
	grants, err := i.c.Store.Grants(ctx, r.Connection.ID)
	if err != nil {
		return Result{}, fmt.Errorf("issue grant: %w", err)
	}
	if err := check(r, id, grants); err != nil {
		return Result{}, err
	}

	in, err := i.build(r, id, grants, reach)
	if err != nil {
		return Result{}, err
	}
	if len(grants) > 0 && in.Locations != nil {
		seen, err := i.c.Store.Locations(ctx, r.Connection.ID)
		if err != nil {
			return Result{}, fmt.Errorf("issue grant: %w", err)
		}
		if change := reachChange(r.Connection, grants, seen, in); !change.None() {
			in.Events = append(in.Events, change.Event(r.Connection, in.Grant.ID))
		}
	}
	if err := i.c.Store.Install(ctx, in); err != nil {
		return Result{}, fmt.Errorf("issue grant: %w", err)
	}
	i.c.Issued(in.Grant)
	i.flag(ctx, r, in.Grant.Scope)
	return Result{Grant: in.Grant, Locations: in.Locations, New: !anyLive(grants)}, nil
}

// reachChange is what an installation changes in what a connection reaches, given
// its grants and what was seen for them before.
func reachChange(c grant.Connection, grants []grant.Grant, seen []grant.Location, in store.Installation) coverage.Change {
	after := []grant.Grant{in.Grant}
	before := slices.Clone(seen)
	for _, g := range grants {
		if g.ID != in.Grant.ID {
			after = append(after, g)
			continue
		}
		if !g.Identity.OtherPerson(in.Grant.Identity) {
			continue
		}
		for n, l := range before { // what was theirs stays theirs
			if l.GrantID == g.ID && l.LostBy == nil {
				before[n].LostBy = &g.Identity
			}
		}
	}
	return coverage.Between(c.RequiredLocations, after, before,
		coverage.Replaced(before, in.Grant.ID, in.Locations, in.Grant.ConsentAt), in.Grant.ID)
}

// build makes the installation, given the connection's grants.
func (i *Issuer) build(r Request, id grant.Identity, grants []grant.Grant, reach *provider.Reach) (store.Installation, error) {
	now := i.c.Now()
	g := place(r, id, grants, now)
	g.Scope = r.scope()
	g.ConsentAt = now
	g.IssuedAt = r.AskedAt
	times := r.times(g)
	g.ExpiresAt, g.DeadlineAt, g.DueAt = times.ExpiresAt, times.DeadlineAt, times.DueAt
	g.Status = g.Status.Become(grant.OK, now, time.Time{})

	plain, err := grant.Credential{
		AccessToken: r.Token.AccessToken, RefreshToken: r.Token.RefreshToken,
		TokenType: r.Token.Type, Scope: g.Scope, ExpiresAt: g.ExpiresAt, Variables: r.Variables,
	}.Plaintext()
	if err != nil {
		return store.Installation{}, fmt.Errorf("issue grant: encode credentials: %w", err)
	}
	sealed, err := i.c.Ring.Seal(seal.Slot{Table: seal.Credentials, Row: g.ID, Epoch: g.Version.Epoch, Seq: g.Version.Seq}, plain)
	if err != nil {
		return store.Installation{}, fmt.Errorf("issue grant: %w", err)
	}

	var locations []grant.Location
	if reach != nil {
		locations = make([]grant.Location, 0, len(reach.Locations))
		for _, l := range reach.Locations {
			l.GrantID, l.SeenAt = g.ID, now
			locations = append(locations, l)
		}
	}
	return store.Installation{
		Grant: g, Sealed: sealed, Locations: locations,
		LinkID: r.LinkID, AuthorizationID: r.AuthorizationID,
		Events: events(r, g, id, locations, len(grants) > 0, anyLive(grants)),
	}, nil
}

func anyLive(grants []grant.Grant) bool {
	return slices.ContainsFunc(grants, func(g grant.Grant) bool { return g.Status.State.Live() })
}

// times schedules the fresh credentials.
func (r Request) times(g grant.Grant) grant.Times {
	life := r.Token.ExpiresIn
	if !r.ExpiresAt.IsZero() {
		life = r.ExpiresAt.Sub(r.AskedAt) + grant.Skew
	}
	refreshLife := r.Token.RefreshExpiresIn
	if !r.Deadline.IsZero() {
		refreshLife = r.Deadline.Sub(r.AskedAt)
	}
	t := r.App.Policy.Schedule(g.ID, grant.Lifetimes{
		AskedAt: r.AskedAt, AccessLife: life, Ended: r.Token.Ended, Hint: oauth.JWTLife(r.Token.AccessToken, r.AskedAt), RefreshLife: refreshLife,
		HasRefresh: !r.Token.RefreshToken.IsZero(), ConsentAt: g.ConsentAt,
	})
	if !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(r.AskedAt) || r.Token.AccessToken.IsZero() {
		// Adopted tokens may have ended already: renew them at once.
		t.ExpiresAt, t.DueAt = r.AskedAt, r.AskedAt
	}
	return t
}

// check refuses an approval by another party than the connection's.
func check(r Request, id grant.Identity, grants []grant.Grant) error {
	if want := r.ExpectBusiness; want != "" &&
		id.Account != want && id.Subject != want && !slices.Contains(id.Businesses, want) {
		return ErrOtherIdentity
	}
	if r.Purpose == "" || len(grants) == 0 {
		return nil
	}
	known := party(grants)
	if r.Purpose == grant.PurposeAddGrant {
		// Another person is the point of an additional grant; only the business
		// has to be the same.
		known.Subject, id.Subject = "", ""
	}
	if !known.SameParty(id) {
		return ErrOtherIdentity
	}
	return nil
}

// party is whom a connection belongs to, by all its grants.
func party(grants []grant.Grant) grant.Identity {
	var p grant.Identity
	for n, g := range grants {
		if n == 0 {
			p = g.Identity
			p.Businesses = slices.Clone(p.Businesses)
			continue
		}
		if p.Account == "" {
			p.Account = g.Identity.Account
		}
		if p.Subject != g.Identity.Subject {
			p.Subject = "" // several people; none of them is the one
		}
		p.Businesses = append(p.Businesses, g.Identity.Businesses...)
	}
	return p
}

// place chooses the grant the approval becomes: the same person's, else one
// that is not live any more, else the only one, unless a further grant was
// asked for; otherwise a new one.
func place(r Request, id grant.Identity, grants []grant.Grant, now time.Time) grant.Grant {
	fresh := grant.Grant{
		ID: grant.NewID(grant.GrantID, now), ConnectionID: r.Connection.ID, App: r.App.Name,
		Version: grant.Version{Epoch: 1}, Status: grant.StatusOf(grant.NeverConnected, now), Identity: id,
	}
	at := slices.IndexFunc(grants, func(g grant.Grant) bool { return g.Identity.SamePerson(id) })
	if at < 0 && r.Purpose != grant.PurposeAddGrant {
		at = slices.IndexFunc(grants, func(g grant.Grant) bool { return !g.Status.State.Live() })
		if at < 0 && len(grants) == 1 {
			at = 0
		}
	}
	if at < 0 {
		return fresh
	}
	old := grants[at]
	if len(id.Businesses) == 0 && old.Identity.SameParty(id) {
		id.Businesses = old.Identity.Businesses // discovery was silent; what was known stays known
	}
	fresh.ID, fresh.Status, fresh.Identity = old.ID, old.Status, id
	fresh.Version = grant.Version{Epoch: old.Version.Epoch + 1}
	return fresh
}

// events tells of the installation: the grant, the connection if it changed for
// the better, and the link.
func events(r Request, g grant.Grant, id grant.Identity, locations []grant.Location, known, wasLive bool) []grant.Event {
	source := "adopted"
	if r.Purpose != "" {
		source = "consent"
	}
	ev := []grant.Event{{
		Type: grant.GrantIssued, Connection: r.Connection.ID, Grant: g.ID, App: r.App.Name, Reason: grant.OK,
		Data: map[string]any{"source": source, "epoch": g.Version.Epoch, "scope": g.Scope, "duration_ms": r.Took.Milliseconds()},
	}}
	if r.Adopted != "" {
		ev[0].Data["adopted"] = r.Adopted
	}
	data := map[string]any{"identity": id, "locations": locationIDs(locations)}
	switch {
	case !known:
		ev = append(ev, grant.Event{Type: grant.ConnectionConnected, Connection: r.Connection.ID, Grant: g.ID, App: r.App.Name, Reason: grant.OK, Data: data})
	case !wasLive || r.Purpose == grant.PurposeReconnect:
		ev = append(ev, grant.Event{Type: grant.ConnectionReconnected, Connection: r.Connection.ID, Grant: g.ID, App: r.App.Name, Reason: grant.OK, Data: data})
	}
	if r.LinkID != "" {
		ev = append(ev, grant.Event{Type: grant.LinkCompleted, Connection: r.Connection.ID, Grant: g.ID, App: r.App.Name,
			Data: map[string]any{"link": r.LinkID, "authorization": r.AuthorizationID, "duration_ms": g.ConsentAt.Sub(r.Began).Milliseconds()}})
	}
	return ev
}

func locationIDs(locations []grant.Location) []string {
	ids := make([]string, 0, len(locations))
	for _, l := range locations {
		ids = append(ids, l.ID)
	}
	return ids
}

// flag marks or clears the connection's missing scope. It is not worth failing
// an installation that is durable already.
func (i *Issuer) flag(ctx context.Context, r Request, scope string) {
	missing := r.App.MissingScopes(scope)
	has := slices.Contains(r.Connection.Flags, grant.ScopeMissing)
	if (len(missing) > 0) == has {
		return
	}
	_, err := i.c.Store.UpdateConnection(ctx, r.Connection.ID, func(c *grant.Connection) error {
		c.Flags = grant.SetFlag(c.Flags, grant.ScopeMissing, len(missing) > 0)
		return nil
	}, scopeChanged(r, missing, scope))
	if err != nil {
		i.c.Logger.ErrorContext(ctx, "missing scope could not be recorded", "connection", r.Connection.ID, "err", err)
	}
}

func scopeChanged(r Request, missing []string, scope string) grant.Event {
	return grant.Event{Type: grant.ConnectionScopeChanged, Connection: r.Connection.ID, App: r.App.Name,
		Reason: grant.ScopeMissing, Data: map[string]any{"missing": missing, "scope": scope}}
}
