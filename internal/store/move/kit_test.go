package move_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/pgtest"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/move"
	"github.com/evergrant/evergrant/internal/store/postgres"
	"github.com/evergrant/evergrant/internal/store/sqlite"
	"github.com/evergrant/evergrant/internal/store/whole"
)

var server *pgtest.Cluster

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgtest.Options{}, func(c *pgtest.Cluster) error {
		server = c
		_, _, err := postgres.Migrate(context.Background(), options(c.Template()))
		return err
	}))
}

func options(url string) postgres.Options {
	return postgres.Options{URL: secret.New(url), AllowLoss: true}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const businesses = 7

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// fill makes a store with some of everything.
func fill(t testing.TB, path string) {
	t.Helper()
	ctx, now := context.Background(), start
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path, Now: func() time.Time { now = now.Add(time.Second); return now }})
	must(t, err)
	must(t, s.BeginRun(ctx, "own_1"))
	must(t, s.SetDataKey(ctx, nil, "k1", []byte("wrapped")))
	for n := range businesses {
		business(t, s, n)
	}
	for n := range 2 {
		must(t, s.CreateKey(ctx, access.Key{ID: fmt.Sprint("key_", n), Name: "odd\x00 \xff\xfe", Hash: access.Hash(fmt.Sprint(n)),
			Scopes: []access.Scope{access.Tokens}, Apps: [][]string{nil, {}}[n], CreatedAt: now}))
	}
	must(t, s.RevokeKey(ctx, "key_1", now))
	must(t, s.CreateWebhook(ctx, store.Webhook{ID: "wh_1", Name: "odd\xff", URL: "https://app.example/", Types: []string{"connection.*"},
		Sealed: []byte("\x00sealed\xff"), CreatedAt: now, UpdatedAt: now}))
	must(t, s.PauseApp(ctx, "app", store.Pause{Cause: grant.PausedByRestore, Since: now}, grant.Event{Type: grant.EventAppPaused}))
	must(t, s.EndRun(ctx, "own_1"))
	must(t, s.Close())
}

// business stores the n-th connection. What it has depends on n.
func business(t testing.TB, s *sqlite.Store, n int) {
	t.Helper()
	ctx := context.Background()
	c := grant.Connection{ID: fmt.Sprint("conn_", n), App: "app", Key: fmt.Sprint("biz_", n), Name: "Café \x00\xff\xfe",
		Tags: []map[string]string{nil, {}, {"b": "\x00\xff\xfe", "a": "x"}}[n%3], RequiredLocations: [][]string{nil, {}, {"l\x00", "2"}}[n%3],
		Status: grant.StatusOf(grant.NeverConnected, start), CreatedAt: start}
	must(t, s.CreateConnection(ctx, c, grant.Event{Type: grant.ConnectionConnected,
		Data: map[string]any{"big": 9007199254740993, "text": "\x00\xff \u2028", "n": n}}))
	for i := range n % 3 {
		g := grant.Grant{ID: fmt.Sprintf("grant_%d%d", n, i), ConnectionID: c.ID, App: "app", Scope: "a\x00b", Version: grant.Version{Epoch: 3},
			Identity: grant.Identity{Subject: "\x00\xff", Businesses: []string{}}, IssuedAt: start, ExpiresAt: start.Add(time.Hour),
			ConsentAt: start, DueAt: start, Status: grant.StatusOf(grant.OK, start)}
		before := g
		before.Version.Epoch, before.Identity.Subject = 2, "somebody\x00" // whose locations the one who follows has lost
		must(t, s.Install(ctx, store.Installation{Grant: before, Sealed: []byte("sealed before"), Locations: []grant.Location{{ID: "l2"}, {ID: "l1"}}}))
		must(t, s.Install(ctx, store.Installation{Grant: g, Sealed: []byte("sealed 0"), Locations: []grant.Location{
			{GrantID: g.ID, ID: "l1", Name: "Quay\x00", SeenAt: start}, {GrantID: g.ID, ID: "l0"}}}))
		for range n {
			renew(t, s, g.ID)
		}
		if n > 3 {
			attempt(t, s, g.ID, n)
		}
	}
	if n == 5 {
		g, err := s.Grant(ctx, "grant_51")
		must(t, err)
		must(t, s.Disconnect(ctx, g.ID, g.Version, grant.DisconnectedByUs))
	}
	for i := range n % 2 {
		l := grant.Link{ID: fmt.Sprintf("link_%d%d", n, i), ConnectionID: c.ID, App: "app", Purpose: grant.PurposeConnect,
			TokenHash: []byte{0, byte(n)}, BusinessName: "\xff", State: grant.LinkStateCreated, CreatedAt: start, ExpiresAt: start.Add(time.Hour)}
		must(t, s.CreateLink(ctx, l))
		must(t, s.CreateAuthorization(ctx, grant.Authorization{ID: fmt.Sprintf("auth_%d%d", n, i), LinkID: l.ID, StateHash: []byte{1, byte(n)},
			BrowserHash: []byte{2}, Sealed: [][]byte{nil, []byte("verifier")}[n/4], CreatedAt: start}))
	}
}

func claim(t testing.TB, s *sqlite.Store, id string) store.Claim {
	t.Helper()
	g, err := s.Grant(t.Context(), id)
	must(t, err)
	c, err := s.ClaimOne(t.Context(), store.ClaimRequest{App: "app", Owner: "own_1", Barrier: grant.Barrier{Settle: 20 * time.Second}}, id, g.Version)
	must(t, err)
	return c
}

func renew(t testing.TB, s *sqlite.Store, id string) {
	t.Helper()
	c := claim(t, s, id)
	must(t, s.Commit(t.Context(), store.Renewal{GrantID: id, AttemptID: c.Grant.Attempt.ID, Of: c.Grant.Version,
		Sealed: fmt.Appendf(nil, "sealed %d\x00\xff", c.Grant.Version.Seq+1), Scope: "a\x00b", IssuedAt: start,
		Times:  grant.Times{ExpiresAt: start.Add(time.Hour), DueAt: start.Add(time.Minute)},
		Events: []grant.Event{{Type: grant.GrantRefreshed}}}))
}

// attempt leaves an attempt open, its outcome unknown of the fourth and not of
// the fifth, and an answer parked.
func attempt(t testing.TB, s *sqlite.Store, id string, n int) {
	t.Helper()
	c := claim(t, s, id)
	if n == 4 {
		must(t, s.Settle(t.Context(), store.Settlement{GrantID: id, AttemptID: c.Grant.Attempt.ID, Of: c.Grant.Version, Hold: true,
			DueAt: start.Add(time.Minute), Status: grant.StatusOf(grant.AnswerLost, start), Failures: 2, Refusals: 1, RefusedAt: start}))
	}
	must(t, s.Park(t.Context(), store.Orphan{AttemptID: "att_" + id, GrantID: id, Of: grant.Version{Epoch: 2, Seq: 9}, Sealed: []byte("orphan")}))
}

// run moves a store with what a test puts between.
func run(t testing.TB, path, url string, between func(move.Source, move.Target) (move.Source, move.Target)) (move.Result, error) {
	t.Helper()
	from, err := sqlite.OpenSource(t.Context(), path)
	must(t, err)
	defer func() { must(t, from.Close()) }()
	to, err := postgres.OpenTarget(t.Context(), options(url))
	if err != nil {
		return move.Result{}, err
	}
	defer func() { must(t, to.Close()) }()
	source, target := move.Source(from), move.Target(to)
	if between != nil {
		source, target = between(source, target)
	}
	return move.Run(t.Context(), source, target, move.Options{Source: path, Batch: 6})
}

// served reports which of the two a server could start on.
func served(t testing.TB, path, url string) (source, target bool) {
	t.Helper()
	if s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); err == nil {
		source = true
		must(t, s.Close())
	}
	if s, err := postgres.Open(t.Context(), options(url)); err == nil {
		target = true
		must(t, s.Close())
	} else if !strings.Contains(err.Error(), "unfinished copy") {
		t.Error(err)
	}
	return source, target
}

// same compares what the methods of both stores say.
func same(t testing.TB, path, url string) {
	t.Helper()
	ctx := t.Context()
	from, err := sqlite.Open(ctx, sqlite.Options{Path: path, Moved: true})
	must(t, err)
	defer from.Close()
	to, err := postgres.Open(ctx, options(url))
	must(t, err)
	defer to.Close()
	var all [2]struct {
		Connections []grant.Connection
		Grants      []grant.Grant
		Sealed      [][]byte
		Orphans     []store.Orphan
		Locations   []grant.Location
		Links       []grant.Link
		Auths       []grant.Authorization
		Events      []grant.Event
		Keys        []access.Key
		Paused      map[string]store.Pause
		Last        string
	}
	for i, s := range []store.Store{from, to} {
		a := &all[i]
		a.Connections, _, err = s.ListConnections(ctx, store.ConnectionFilter{}, store.Page{Limit: 100})
		must(t, err)
		for _, c := range a.Connections {
			grants, err := s.Grants(ctx, c.ID)
			must(t, err)
			a.Grants = append(a.Grants, grants...)
			locations, err := s.Locations(ctx, c.ID)
			must(t, err)
			a.Locations = append(a.Locations, locations...)
			for _, g := range grants {
				_, sealed, err := s.Credentials(ctx, g.ID)
				must(t, err)
				a.Sealed = append(a.Sealed, sealed)
				orphans, err := s.Orphans(ctx, g.ID)
				must(t, err)
				a.Orphans = append(a.Orphans, orphans...)
			}
		}
		a.Links, _, err = s.ListLinks(ctx, store.LinkFilter{}, store.Page{Limit: 100})
		must(t, err)
		for n := 1; n < businesses; n += 2 {
			auth, err := s.Authorization(ctx, fmt.Sprintf("auth_%d0", n))
			must(t, err)
			a.Auths = append(a.Auths, auth)
		}
		a.Events, _, err = s.ListEvents(ctx, store.EventFilter{}, store.Page{Limit: 1000})
		must(t, err)
		a.Keys, err = s.ListKeys(ctx)
		must(t, err)
		a.Paused, err = s.PausedApps(ctx)
		must(t, err)
		a.Last, err = s.LastEvent(ctx)
		must(t, err)
	}
	asKept := cmp.Transformer("Kept", func(s string) string {
		s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
		for strings.Contains(s, "\uFFFD\uFFFD") {
			s = strings.ReplaceAll(s, "\uFFFD\uFFFD", "\uFFFD")
		}
		return s
	})
	if d := cmp.Diff(all[0], all[1], cmp.FilterValues(func(a, b string) bool {
		return strings.ContainsAny(a+b, "\x00\uFFFD") || a != strings.ToValidUTF8(a, "")
	}, asKept)); d != "" {
		t.Error(d)
	}
}

// breaker ends a move before its n-th step.
type breaker struct{ n, steps int }

var errKilled = errors.New("killed")

func (b *breaker) step(do func() error) error {
	if b.steps++; b.steps == b.n {
		return errKilled
	}
	return do()
}

type brittleSource struct {
	move.Source
	b *breaker
}

func (s brittleSource) BeginMove(ctx context.Context, id, target string) error {
	return s.b.step(func() error { return s.Source.BeginMove(ctx, id, target) })
}

func (s brittleSource) EndMove(ctx context.Context) error {
	return s.b.step(func() error { return s.Source.EndMove(ctx) })
}

type brittleTarget struct {
	move.Target
	b *breaker
}

func (s brittleTarget) Begin(ctx context.Context, c whole.Copy, r whole.Rest) error {
	return s.b.step(func() error { return s.Target.Begin(ctx, c, r) })
}

func (s brittleTarget) AddBusinesses(ctx context.Context, b []whole.Business) error {
	return s.b.step(func() error { return s.Target.AddBusinesses(ctx, b) })
}

func (s brittleTarget) AddEvents(ctx context.Context, e []whole.Event) error {
	return s.b.step(func() error { return s.Target.AddEvents(ctx, e) })
}

func (s brittleTarget) End(ctx context.Context) error {
	return s.b.step(func() error { return s.Target.End(ctx) })
}

func (b *breaker) between(s move.Source, to move.Target) (move.Source, move.Target) {
	return brittleSource{s, b}, brittleTarget{to, b}
}
