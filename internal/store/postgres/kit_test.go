package postgres

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const testApp = "k-series"

// testClock is a clock that several stores share. It stands still until it is
// moved.
type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func newTestClock() *testClock {
	return &testClock{t: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// connected stores a connection with one grant that is due now.
func connected(t testing.TB, s *Store, key string, now time.Time) grant.Grant {
	t.Helper()
	c := grant.Connection{ID: grant.NewID(grant.ConnectionID, now), App: testApp, Key: key, Name: "Quay Bar",
		Status: grant.StatusOf(grant.NeverConnected, now), CreatedAt: now, UpdatedAt: now}
	if err := s.CreateConnection(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	g := grant.Grant{ID: grant.NewID(grant.GrantID, now), ConnectionID: c.ID, App: c.App, Scope: "financial-api",
		Version: grant.Version{Epoch: 1}, IssuedAt: now, ExpiresAt: now.Add(time.Hour), ConsentAt: now, DueAt: now,
		Status: grant.StatusOf(grant.OK, now)}
	if err := s.Install(t.Context(), store.Installation{Grant: g, Sealed: []byte("sealed 0")}); err != nil {
		t.Fatal(err)
	}
	return g
}

// request asks for attempts on behalf of a process.
func request(owner string) store.ClaimRequest {
	return store.ClaimRequest{App: testApp, Owner: owner, Limit: 10, Barrier: grant.Barrier{Settle: 20 * time.Second}}
}

// renewal is a successful answer to a claim's attempt.
func renewal(c store.Claim, now time.Time) store.Renewal {
	return store.Renewal{GrantID: c.Grant.ID, AttemptID: c.Grant.Attempt.ID, Of: c.Grant.Version,
		Sealed: []byte("sealed by " + c.Grant.Attempt.ID), Scope: "financial-api", IssuedAt: now,
		Times:  grant.Times{ExpiresAt: now.Add(time.Hour), DueAt: now},
		Events: []grant.Event{{Type: grant.GrantRefreshed, Reason: grant.OK, Data: map[string]any{"attempt": c.Grant.Attempt.ID}}}}
}

// claims ends the test unless a process can claim that many grants.
func claims(t testing.TB, s *Store, owner string, want int) []store.Claim {
	t.Helper()
	got, err := s.Claim(t.Context(), request(owner))
	if err != nil || len(got) != want {
		t.Fatalf("%s claims %d grants, %v; want %d", owner, len(got), err, want)
	}
	return got
}

// patience bounds how long a test waits for what happens by itself.
const patience = 30 * time.Second

// eventually tries until there is no error.
func eventually(t testing.TB, try func() error) {
	t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("still after %v: %v", patience, err)
		}
	}
}

// run runs a statement beside the store.
func run(t testing.TB, url, query string, args ...any) {
	t.Helper()
	ctx := context.Background()
	conn := connect(t, url)
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, query, args...); err != nil {
		t.Fatal(err)
	}
}

// terminateAll cuts off every other session of a database.
const terminateAll = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`

// terminateOwners cuts off the sessions that hold owners' locks.
const terminateOwners = `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
	AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

// proxy stands between a store and the server and can lose one answer.
type proxy struct {
	l      net.Listener
	to     string
	mu     sync.Mutex
	trap   []byte // what a request must contain for its answer to be lost
	silent bool   // the connection stays open then
	lost   int
}

// newProxy returns a proxy to the server of a connection string, and the
// connection string that leads through it.
func newProxy(t testing.TB, dsn string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, to: u.Host}
	t.Cleanup(func() { l.Close() })
	go p.serve()
	u.Host = l.Addr().String()
	return p, u.String()
}

func (p *proxy) serve() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			client.Close()
			continue
		}
		var sprung sync.Once
		cut, gone := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(gone)
			defer server.Close()
			buf := make([]byte, 1<<16)
			for {
				n, err := client.Read(buf)
				if err != nil {
					return
				}
				if p.springs(buf[:n]) {
					sprung.Do(func() { close(cut) })
				}
				if _, err := server.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
		go func() {
			defer client.Close()
			defer server.Close()
			buf := make([]byte, 1<<16)
			for {
				n, err := server.Read(buf)
				select {
				case <-cut: // the answer is here and goes no further
					if p.stays() {
						<-gone
					}
					return
				default:
				}
				if err != nil {
					return
				}
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// loseAnswer has the answer to the next request that contains b lost.
func (p *proxy) loseAnswer(b string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap = []byte(b)
}

// withholdAnswer is loseAnswer on a connection that stays open, so that the client
// is not told.
func (p *proxy) withholdAnswer(b string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap, p.silent = []byte(b), true
}

func (p *proxy) stays() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.silent
}

func (p *proxy) springs(request []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trap == nil || !bytes.Contains(request, p.trap) {
		return false
	}
	p.trap = nil
	p.lost++
	return true
}

// answersLost is how many were.
func (p *proxy) answersLost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}
