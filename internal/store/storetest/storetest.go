// Package storetest proves that an implementation of [store.Store] keeps every
// promise of that package. There is one suite and nothing in it is skipped.
package storetest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Kind says which of two promises a store makes where the interface leaves the
// choice.
type Kind int

const (
	// Shared is a store that many processes may share: it knows of no last run. The
	// suite expects one that knows it otherwise.
	Shared Kind = iota + 1
)

// Run runs the suite. open returns a new, empty store that judges time by now;
// the suite closes it. It is called once per test, from tests that run at the
// same time.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) store.Store, kinds ...Kind) {
	groups := map[string]map[string]func(*fixture){
		"connections":    connectionTests(),
		"arrivals":       arrivalTests(),
		"filters":        filterTests(),
		"install":        installTests(),
		"holdings":       holdingTests(),
		"locations":      locationTests(),
		"readings":       readingTests(),
		"deadlines":      deadlineTests(),
		"latest":         latestTests(),
		"find":           findTests(),
		"changes":        changeTests(),
		"link overview":  linkOverviewTests(),
		"claims":         claimTests(),
		"commit":         commitTests(),
		"settle":         settleTests(),
		"status":         statusTests(),
		"orphans":        orphanTests(),
		"links":          linkTests(),
		"authorizations": authorizationTests(),
		"events":         eventTests(),
		"event kinds":    eventKindTests(),
		"retention":      retentionTests(),
		"webhooks":       webhookTests(),
		"keys":           keyTests(),
		"logins":         loginTests(),
		"apps":           appTests(),
		"runs":           runTests(slices.Contains(kinds, Shared)),
		"contention":     contentionTests(),
		"model":          modelTests(),
		"every method":   methodTests(),
	}
	for group, tests := range groups {
		t.Run(group, func(t *testing.T) {
			for name, test := range tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(newFixture(t, open))
				})
			}
		})
	}
}

// clock is the store's clock. It stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// advance moves the clock, back too.
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// fixture is an empty store with what tests need around it.
type fixture struct {
	*testing.T
	store.Store
	ctx   context.Context
	clock *clock
}

// The names tests use where it does not matter which.
const (
	app   = "k-series"
	owner = "inc_a" // a process that refreshes
	other = "inc_b" // another one
)

// settle is how long claims keep others out unless a test is about it.
const settle = 20 * time.Second

func newFixture(t *testing.T, open func(*testing.T, func() time.Time) store.Store) *fixture {
	t.Helper()
	// Neither UTC nor whole microseconds: both are the store's to mend.
	start := time.Date(2026, 11, 21, 13, 0, 0, 123456789, time.FixedZone("CET", 3600))
	c := &clock{t: start}
	s := open(t, c.now)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &fixture{T: t, Store: s, ctx: context.Background(), clock: c}
}

// now is the store's time as the store keeps it.
func (f *fixture) now() time.Time { return kept(f.clock.now()) }

// kept is a time as a store gives it back.
func kept(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// ok ends the test on an error.
func (f *fixture) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// is ends the test unless err is the wanted one.
func (f *fixture) is(err, want error) {
	f.Helper()
	if !isError(err, want) {
		f.Fatalf("error is %v, want %v", err, want)
	}
}

// equal ends the test unless got is want. Empty and nil lists are different.
func equal[T any](f *fixture, what string, got, want T) {
	f.Helper()
	if d := cmp.Diff(want, got); d != "" {
		f.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

// newConnection is a connection that has not been stored.
func (f *fixture) newConnection(key string) grant.Connection {
	now := f.now()
	return grant.Connection{ID: grant.NewID(grant.ConnectionID, now), App: app, Key: key, Name: "Quay Bar",
		Status: grant.StatusOf(grant.NeverConnected, now), CreatedAt: now, UpdatedAt: now}
}

// connection stores a pending connection.
func (f *fixture) connection(key string) grant.Connection {
	f.Helper()
	c := f.newConnection(key)
	f.ok(f.CreateConnection(f.ctx, c))
	return c
}

// newGrant is a connected grant that is due now and has not been stored.
func (f *fixture) newGrant(c grant.Connection) grant.Grant {
	now := f.now()
	return grant.Grant{ID: grant.NewID(grant.GrantID, now), ConnectionID: c.ID, App: c.App,
		Identity: grant.Identity{Issuer: "https://id.example", Subject: "user-1", Businesses: []string{"biz-a", "biz-b"}},
		Scope:    "financial-api", Version: grant.Version{Epoch: 1},
		IssuedAt: now, ExpiresAt: now.Add(time.Hour), DeadlineAt: now.Add(24 * time.Hour), ConsentAt: now, DueAt: now,
		Status: grant.StatusOf(grant.OK, now)}
}

// sealed are the bytes that stand for a version's credentials.
func sealed(g string, v grant.Version) []byte {
	return fmt.Appendf(nil, "\x00sealed %s %d.%d\xff", g, v.Epoch, v.Seq)
}

// install makes a grant's credentials current.
func (f *fixture) install(g grant.Grant) grant.Grant {
	f.Helper()
	f.ok(f.Install(f.ctx, store.Installation{Grant: g, Sealed: sealed(g.ID, g.Version)}))
	return g
}

// connected stores a connection with one grant that is due now.
func (f *fixture) connected(key string) grant.Grant {
	f.Helper()
	return f.install(f.newGrant(f.connection(key)))
}

// request asks for attempts on behalf of a process.
func request(owner string) store.ClaimRequest {
	return store.ClaimRequest{App: app, Owner: owner, Limit: 100, Barrier: grant.Barrier{Settle: settle}}
}

// claim opens an attempt on a grant.
func (f *fixture) claim(g grant.Grant) store.Claim {
	f.Helper()
	c, err := f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
	f.ok(err)
	return c
}

// renewal is a successful answer to a claim's attempt.
func (f *fixture) renewal(c store.Claim) store.Renewal {
	now := f.now()
	return store.Renewal{GrantID: c.Grant.ID, AttemptID: c.Grant.Attempt.ID, Of: c.Grant.Version,
		Sealed: sealed(c.Grant.ID, c.Grant.Version.Next()), Scope: "financial-api orders-api", IssuedAt: now,
		Times: grant.Times{ExpiresAt: now.Add(2 * time.Hour), DeadlineAt: now.Add(48 * time.Hour), DueAt: now.Add(time.Hour)}}
}

// settlement ends a claim's attempt for a reason, to be tried again in a minute.
func (f *fixture) settlement(c store.Claim, r grant.Reason) store.Settlement {
	now := f.now()
	next := now.Add(time.Minute)
	return store.Settlement{GrantID: c.Grant.ID, AttemptID: c.Grant.Attempt.ID, Of: c.Grant.Version, DueAt: next,
		Status: c.Grant.Status.Become(r, now, next), Failures: c.Grant.Failures + 1,
		Refusals: c.Grant.Refusals, RefusedAt: c.Grant.RefusedAt}
}

// grant reads a grant.
func (f *fixture) grant(id string) grant.Grant {
	f.Helper()
	g, err := f.Grant(f.ctx, id)
	f.ok(err)
	return g
}

// status reads a connection's status.
func (f *fixture) status(connectionID string) grant.Status {
	f.Helper()
	c, err := f.Connection(f.ctx, grant.Ref{ID: connectionID})
	f.ok(err)
	return c.Status
}

// newLink is a link that has not been stored.
func (f *fixture) newLink(c grant.Connection) grant.Link {
	now := f.now()
	id := grant.NewID(grant.LinkID, now)
	return grant.Link{ID: id, ConnectionID: c.ID, App: c.App, Purpose: grant.PurposeConnect, TokenHash: hash("token of " + id),
		ShortCode: "7QM2-KX", BusinessName: "Quay Bar", ReturnURL: "https://app.example/done", Locale: "nl-BE",
		ExpectBusiness: "biz-a", Landing: true, Locations: []string{"loc-1", "loc-2"}, State: grant.LinkStateCreated,
		CreatedAt: now, ExpiresAt: now.Add(7 * 24 * time.Hour)}
}

// link stores a link.
func (f *fixture) link(c grant.Connection) grant.Link {
	f.Helper()
	l := f.newLink(c)
	f.ok(f.CreateLink(f.ctx, l))
	return l
}

// newAuthorization is an authorization that has not been stored.
func (f *fixture) newAuthorization(l grant.Link) grant.Authorization {
	now := f.now()
	id := grant.NewID(grant.AuthorizationID, now)
	return grant.Authorization{ID: id, LinkID: l.ID, StateHash: hash("state of " + id), BrowserHash: hash("browser of " + id),
		Sealed: []byte("sealed verifier"), Issuer: "https://id.example", RedirectURI: "https://connect.example/oauth/callback/k-series",
		CreatedAt: now, ExpiresAt: now.Add(30 * time.Minute)}
}

// authorization stores an authorization.
func (f *fixture) authorization(l grant.Link) grant.Authorization {
	f.Helper()
	a := f.newAuthorization(l)
	f.ok(f.CreateAuthorization(f.ctx, a))
	return a
}

func hash(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

// page ends the test unless a page may have that many items: at most limit, and
// only the first may be empty, because a cursor says that more follows.
func (f *fixture) page(items, limit int, cursor string) {
	f.Helper()
	if items > limit || items == 0 && cursor != "" {
		f.Fatalf("a page of %d has %d items, after cursor %q", limit, items, cursor)
	}
}

// mark returns where the log ends now.
func (f *fixture) mark() string {
	f.Helper()
	id, err := f.LastEvent(f.ctx)
	f.ok(err)
	return id
}

// since returns the events after a mark, in order, without their ids.
func (f *fixture) since(mark string) []grant.Event {
	f.Helper()
	events, next, err := f.ListEvents(f.ctx, store.EventFilter{}, store.Page{Limit: 1000, Cursor: mark})
	f.ok(err)
	equal(f, "cursor after the last page", next, "")
	for i := range events {
		events[i].ID = ""
	}
	return events
}
