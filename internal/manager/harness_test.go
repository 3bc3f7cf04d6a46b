package manager_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant"
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
	"github.com/evergrant/evergrant/internal/store/mirror"
	"github.com/evergrant/evergrant/internal/store/sqlite"
	"github.com/evergrant/evergrant/internal/telemetry"
	"github.com/evergrant/evergrant/provider"
)

// kit is a manager with a real store and spool, in front of an oracle, on fake
// time. It must be made inside a synctest bubble.
type kit struct {
	*manager.Manager
	t          testing.TB
	oracle     *oracle.Server
	store      *sqlite.Store
	spool      *spool.Spool
	app        *provider.App
	apps       provider.Apps // app and those beside it
	dir        string
	net        *memnet.Listener
	dial       dialer
	ring       *seal.Ring
	closeStack func()
	stop       func()
}

// dialer makes connections, as [net.Dialer.DialContext] does.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

type kitOptions struct {
	oracle oracle.Options
	policy func(*grant.Policy)
	app    func(*provider.AppOptions)
	wrap   func(store.Store) store.Store // stands between the manager and the store
	real   bool                          // a real socket, for benchmarks; not in a bubble
	// stopped leaves the engine to be started by the test.
	stopped bool
	also    []string            // names of further apps, at the same oracle
	now     func() time.Time    // our clock, if it is not the oracle's
	log     slog.Handler        // what the manager says; nil discards
	mirror  bool                // keep one beside the database
	dial    func(dialer) dialer // stands between the sender and the network
	front   func(oracle http.Handler) http.Handler
	// exchange finishes a spooled code exchange; nil: there is none.
	exchange func(context.Context, spool.Entry) error
}

// bubble runs a test on fake time with a kit.
func bubble(t *testing.T, o kitOptions, test func(t *testing.T, k *kit)) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, o)
		defer k.close()
		test(t, k)
	})
}

func newKit(t testing.TB, o kitOptions) *kit {
	t.Helper()
	if o.oracle.AccessLife == 0 {
		o.oracle.AccessLife = time.Hour
	}
	k := &kit{t: t, oracle: oracle.New(o.oracle), dir: t.TempDir(), net: memnet.Listen()}
	srv := &http.Server{Handler: k.oracle, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	if o.front != nil {
		srv.Handler = o.front(k.oracle)
	}
	var listener net.Listener = k.net
	base := "http://127.0.0.1:1"
	k.dial = k.net.Dial
	if o.real {
		real, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, base, k.dial = real, "http://"+real.Addr().String(), nil
	}
	go srv.Serve(listener)
	if o.dial != nil {
		k.dial = o.dial(k.dial)
	}
	ring, err := seal.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	k.ring = ring
	opts := provider.AppOptions{
		Name: "app", Recipe: provider.Generic(), ClientID: "id", Secrets: []secret.String{secret.New("s3cret")},
		Endpoints: provider.Endpoints{Authorize: base + "/authorize", Token: base + "/token", API: base + "/api"},
		PublicURL: "https://connect.example",
		Policy: func(p grant.Policy) grant.Policy {
			p.Rotation, p.Window = grant.Rotation(o.oracle.Rotation), o.oracle.Window
			p.RefreshWindow = 30 * time.Second
			if o.policy != nil {
				o.policy(&p)
			}
			return p
		},
	}
	if o.app != nil {
		o.app(&opts)
	}
	k.apps = provider.Apps{}
	for _, opts.Name = range append(o.also, opts.Name) {
		if k.apps[opts.Name], err = provider.NewApp(opts); err != nil {
			t.Fatal(err)
		}
	}
	k.app = k.apps[opts.Name]
	k.open(o)
	k.stop = func() { _ = srv.Close(); _ = k.net.Close() }
	return k
}

// open starts a manager over the kit's files, as a new process would.
func (k *kit) open(o kitOptions) {
	k.t.Helper()
	logger := slog.New(slog.DiscardHandler)
	if o.log != nil {
		logger = slog.New(o.log)
	}
	hub := event.NewHub(logger)
	var err error
	if k.store, err = sqlite.Open(k.t.Context(), sqlite.Options{Path: filepath.Join(k.dir, "db"), Published: hub.Publish, Now: o.now}); err != nil {
		k.t.Fatal(err)
	}
	sp, err := spool.Open(spool.Options{Dir: filepath.Join(k.dir, "spool"), Ring: k.ring, Logger: logger, Now: o.now})
	if err != nil {
		k.t.Fatal(err)
	}
	k.spool = sp
	sender := oauth.NewSender(oauth.SenderConfig{UserAgent: "evergrant-test", DialContext: k.dial, Now: o.now})
	var st store.Store = k.store
	if o.wrap != nil {
		st = o.wrap(st)
	}
	var second store.Mirror
	closeMirror := func() error { return nil }
	if o.mirror {
		m, err := mirror.Open(k.t.Context(), filepath.Join(k.dir, "mirror"), logger)
		if err != nil {
			k.t.Fatal(err)
		}
		second, closeMirror = m, m.Close
	}
	k.Manager = manager.New(manager.Config{
		Store: st, Ring: k.ring, Spool: sp, Mirror: second, Sender: sender, Apps: k.apps,
		Hub: hub, Metrics: telemetry.NewMetrics("test"), Logger: logger, Now: o.now, Exchange: o.exchange,
	})
	if !o.stopped {
		if err := k.Start(k.t.Context()); err != nil {
			k.t.Fatal(err)
		}
	}
	k.closeStack = func() {
		if err := k.Stop(context.Background()); err != nil {
			k.t.Error(err)
		}
		sender.Close()
		_ = sp.Close()
		_ = closeMirror()
		_ = k.store.Close()
	}
}

func (k *kit) close() {
	k.closeStack()
	k.stop()
}

// adopt connects a business with tokens the oracle issues out of band.
func (k *kit) adopt(key string) grant.Ref {
	k.t.Helper()
	return k.adoptAt(grant.Ref{Key: key, App: "app"}, time.Hour)
}

// adoptAt is adopt for any app, with access tokens said to live for life. To the
// oracle the grant is called like the business.
func (k *kit) adoptAt(ref grant.Ref, life time.Duration) grant.Ref {
	k.t.Helper()
	access, refresh := k.oracle.Issue(ref.Key)
	_, _, err := k.Create(k.t.Context(), manager.NewConnection{Ref: ref, Tokens: &manager.Adoption{
		AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: life,
	}})
	if err != nil {
		k.t.Fatal(err)
	}
	return ref
}

func (k *kit) token(ref grant.Ref) *manager.Handout {
	k.t.Helper()
	h, err := k.Handout(k.t.Context(), ref, evergrant.TokenOptions{})
	if err != nil {
		k.t.Fatalf("token %s: %v", ref, err)
	}
	return h
}

func (k *kit) status(ref grant.Ref) grant.Status {
	k.t.Helper()
	c, err := k.Connection(k.t.Context(), ref)
	if err != nil {
		k.t.Fatal(err)
	}
	return c.Status
}

// sleep lets fake time pass and everything that falls due in it happen.
func (k *kit) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// count counts the log's events of a type.
func (k *kit) count(typ grant.EventType) int {
	k.t.Helper()
	events, _, err := k.Events(k.t.Context(), store.EventFilter{Types: []string{string(typ)}}, store.Page{Limit: 1000}, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	return len(events)
}

// openStore opens a database that nobody has open.
func openStore(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
