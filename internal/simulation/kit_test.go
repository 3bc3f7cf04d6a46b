package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/event"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/memnet"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/sqlite"
	"github.com/evergrant/evergrant/internal/telemetry"
	"github.com/evergrant/evergrant/provider"
)

// vendor is one app with the provider behind it.
type vendor struct {
	*oracle.Server
	name     string
	port     string
	lag      func() time.Duration // how long a request is on its way; nil: no time
	rotation string
	limit    int          // how many requests may be under way at once
	front    http.Handler // stands between the wire and the server
	app      *provider.App
	net      *memnet.Listener
	srv      *http.Server
}

// newVendor starts a provider; it is to be closed.
func newVendor(t testing.TB, name string, port int, o oracle.Options, policies ...func(*grant.Policy)) *vendor {
	t.Helper()
	v := &vendor{Server: oracle.New(o), name: name, port: strconv.Itoa(port), rotation: o.Rotation, net: memnet.Listen()}
	v.front = v.Server
	v.srv = &http.Server{Handler: http.HandlerFunc(v.serve), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = v.srv.Serve(v.net) }()
	base := "http://127.0.0.1:" + strconv.Itoa(port)
	var err error
	v.app, err = provider.NewApp(provider.AppOptions{
		Name: name, Recipe: provider.Generic(), ClientID: "id", Secrets: []secret.String{secret.New("s3cret")},
		Endpoints: provider.Endpoints{Authorize: base + "/authorize", Token: base + "/token", API: base + "/api"},
		PublicURL: "https://connect.example",
		Policy: func(p grant.Policy) grant.Policy {
			p.Rotation, p.Window = grant.Rotation(o.Rotation), o.Window
			if o.OldAccess.From != "" {
				p.OldAccessToken = grant.RevokedNow
			}
			for _, change := range policies {
				change(&p)
			}
			return p
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	v.limit = v.app.Policy.InFlight()
	return v
}

// serve lets a request arrive, even if its sender has gone while it was on its
// way.
func (v *vendor) serve(w http.ResponseWriter, r *http.Request) {
	if v.lag != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // it has not left completely
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		time.Sleep(v.lag())
	}
	v.front.ServeHTTP(w, r)
}

// policy is the rotation its app is configured with.
func (v *vendor) policy() string { return string(v.app.Policy.Rotation) }

func (v *vendor) close() { _ = v.srv.Close(); _ = v.net.Close() }

// site is a machine: its files, and the process that runs on them. It must be
// made inside a synctest bubble.
type site struct {
	t       testing.TB
	dir     string
	ring    *seal.Ring
	vendors map[string]*vendor
	wrap    func(store.Store) store.Store // stands between the engine and the store
	onKill  func()                        // what else happens when the process dies
	kills   []time.Time

	*manager.Manager                                 // of the process that runs now
	current          atomic.Pointer[manager.Manager] // the same for other goroutines; nil while there is none
	store            *sqlite.Store
	end              func()
	wires            *wires
}

func newSite(t testing.TB, vendors []*vendor, wrap func(store.Store) store.Store) *site {
	t.Helper()
	ring, err := seal.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: t.TempDir(), ring: ring, vendors: make(map[string]*vendor), wrap: wrap, onKill: func() {}}
	for _, v := range vendors {
		s.vendors[v.name] = v
	}
	empty, err := emptyDatabase()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "db"), empty, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	return s
}

// emptyDatabase is the file of a new store. Making it takes as long as everything
// else that a small world begins with.
var emptyDatabase = sync.OnceValues(func() (_ []byte, err error) {
	dir, err := os.MkdirTemp("", "simulation")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "db")
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: path})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// start starts a process, again if it ends at once because its store failed, as
// whoever supervises it would.
func (s *site) start() {
	s.t.Helper()
	for tries := 1; ; tries++ {
		err := s.open()
		if err == nil {
			s.current.Store(s.Manager)
			return
		}
		s.end()
		if tries == 5 || !errors.Is(err, store.ErrUnavailable) {
			s.t.Fatal(err)
		}
	}
}

func (s *site) open() error {
	s.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	hub := event.NewHub(quiet)
	var err error
	if s.store, err = sqlite.Open(s.t.Context(), sqlite.Options{Path: filepath.Join(s.dir, "db"), Published: hub.Publish}); err != nil {
		s.t.Fatal(err)
	}
	sp, err := spool.Open(spool.Options{Dir: filepath.Join(s.dir, "spool"), Ring: s.ring, Logger: quiet, SegmentBytes: 4 << 20})
	if err != nil {
		s.t.Fatal(err)
	}
	s.wires = &wires{vendors: s.vendors, open: make(map[net.Conn]struct{})}
	sender := oauth.NewSender(oauth.SenderConfig{UserAgent: "simulation", DialContext: s.wires.dial})
	apps := make(provider.Apps)
	for name, v := range s.vendors {
		apps[name] = v.app
	}
	s.Manager = manager.New(manager.Config{
		Store: s.wrap(s.store), Ring: s.ring, Spool: sp, Sender: sender, Apps: apps,
		Hub: hub, Metrics: telemetry.NewMetrics("test"), Logger: quiet,
	})
	s.end = func() {
		sender.Close()
		_ = sp.Close()
		_ = s.store.Close()
	}
	return s.Start(s.t.Context())
}

// stop ends the process as a restart for an upgrade does.
func (s *site) stop() {
	s.t.Helper()
	if err := s.Stop(context.Background()); err != nil {
		s.t.Error(err)
	}
	s.end()
}

// kill ends the process without warning: its connections break and what it still
// does reaches no disk.
func (s *site) kill() {
	s.kills = append(s.kills, time.Now())
	s.wires.cut()
	s.end()
	at, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Stop(at); err != nil && !errors.Is(err, context.Canceled) {
		s.t.Error(err)
	}
	synctest.Wait()
	s.onKill()
}

// adopt connects a business with tokens its provider issues under the name.
func (s *site) adopt(ref grant.Ref, name string) error {
	v := s.vendors[ref.App]
	access, refresh := v.Issue(name)
	_, _, err := s.Create(s.t.Context(), manager.NewConnection{Ref: ref, Tokens: &manager.Adoption{
		AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: time.Hour,
	}})
	return err
}

// wires are a process's connections.
type wires struct {
	vendors map[string]*vendor
	mu      sync.Mutex
	open    map[net.Conn]struct{}
	dead    bool
}

func (w *wires) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	var v *vendor
	for _, known := range w.vendors {
		if known.port == port {
			v = known
		}
	}
	if v == nil {
		return nil, fmt.Errorf("no provider at %s", addr)
	}
	c, err := v.net.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	w.open[c] = struct{}{}
	return wire{c, w}, nil
}

// cut breaks every connection there is and ever will be.
func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	for c := range w.open {
		_ = c.Close()
	}
}

type wire struct {
	net.Conn
	of *wires
}

func (w wire) Close() error {
	w.of.mu.Lock()
	delete(w.of.open, w.Conn)
	w.of.mu.Unlock()
	return w.Conn.Close()
}
