// Package evergranttest runs Evergrant in a test: the engine, Lightspeed on this
// machine (package sandbox) and a clock for both, in three lines.
//
//	e := evergranttest.New(t)
//	e.Connect("biz_42@k-series")
//	api := evergrant.NewHTTPClient(e, "biz_42@k-series")
//
// The apps are called k-series, r-series and x-series, as the sandbox's series
// are. Everything is what production runs, down to the requests between engine and
// sandbox; only time is not: it stands still until [Clock.Advance] moves it, so
// nothing depends on how fast a machine is.
package evergranttest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/manager"
	"github.com/evergrant/evergrant/sandbox"
)

// Engine is a running engine with a sandbox beside it. It is an
// [evergrant.Source], and may be used from any goroutine until the test ends.
type Engine struct {
	// Clock is the time of the engine and of the sandbox.
	Clock *Clock
	// Sandbox is the provider: its users, its faults, its judge.
	Sandbox *sandbox.Sandbox
	// URL is where the HTTP API is, and Key an API key of it that may do everything,
	// for clients in want of a server. Merchants' pages are there too.
	URL, Key string

	t       testing.TB
	manager *manager.Manager
	browser *http.Client
	people  people
}

var _ evergrant.Source = (*Engine)(nil)

// The client ids of the apps; those of R-Series and X-Series tell no series.
const (
	clientK = "devp-v2-demo-evergranttest"
	clientR = "evergranttest-r"
	clientX = "evergranttest-x"
)

// New returns a running engine with the apps k-series, r-series and x-series and
// no connection. It is closed when t ends, and until then listens on 127.0.0.1.
// What goes wrong is in t's output.
func New(t testing.TB) *Engine {
	t.Helper()
	e := &Engine{t: t, Clock: newClock()}
	provider := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.Sandbox.ServeHTTP(w, r) }))
	front := httptest.NewUnstartedServer(nil)
	e.URL = "http://" + front.Listener.Addr().String()
	e.Sandbox = sandbox.New(sandbox.Config{
		URL: "http://" + provider.Listener.Addr().String(), Now: e.Clock.zero, OnAdvance: e.Clock.moved,
		Clients: []sandbox.Client{{ID: clientR, Series: "r-series", RedirectURI: e.URL + "/oauth/callback/r-series"}},
	})
	provider.Start()
	t.Cleanup(provider.Close)

	dir := t.TempDir()
	var err error
	e.manager, err = manager.New(t.Context(), manager.Config{
		SQLite:     filepath.Join(dir, "evergrant.db"),
		MasterKeys: []manager.MasterKey{{ID: "test", Key: manager.NewMasterKey()}},
		Apps:       apps(),
		SandboxURL: "http://" + provider.Listener.Addr().String(),
		PublicURL:  e.URL,
		Brand:      manager.Brand{Name: "Acme Loyalty", SupportEmail: "help@acme.example"},
		Logger:     slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Now:        e.Clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Clock.engine = e
	t.Cleanup(func() {
		if err := e.manager.Close(); err != nil {
			t.Error(err)
		}
	})
	front.Config.Handler = e.front()
	front.Start()
	t.Cleanup(front.Close)
	e.browser = newBrowser()
	t.Cleanup(e.browser.CloseIdleConnections)

	go func() {
		if err := e.manager.Run(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	e.renew() // once it runs
	key, err := e.Client().CreateKey(t.Context(), client.NewKey{Name: "evergranttest", Scopes: []string{"admin"}})
	if err != nil {
		t.Fatal(err)
	}
	e.Key = key.Key
	return e
}

// apps are the registrations at the sandbox.
func apps() map[string]manager.App {
	return map[string]manager.App{
		"k-series": {
			Provider: "lightspeed-k", Environment: "sandbox", ClientID: clientK, ClientSecret: "evergranttest",
			Scopes: []string{"financial-api", "orders-api", "offline_access"},
		},
		"r-series": {
			Provider: "lightspeed-r", Environment: "sandbox", ClientID: clientR, ClientSecret: "evergranttest",
			Scopes: []string{"employee:all"},
		},
		"x-series": {
			Provider: "lightspeed-x", Environment: "sandbox", ClientID: clientX, ClientSecret: "evergranttest",
			Scopes: []string{"outlets:read", "retailer:read", "payment_types:read", "registers:read", "customers:read", "products:read", "sales:read"},
		},
	}
}

// front serves merchants and the API at one address.
func (e *Engine) front() http.Handler {
	api, pages := e.manager.APIHandler(), e.manager.ConnectHandler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := api
		if strings.HasPrefix(r.URL.Path, "/connect/") || strings.HasPrefix(r.URL.Path, "/oauth/callback/") {
			h = pages
		}
		h.ServeHTTP(timeless{w}, r)
	})
}

// Token implements [evergrant.Source].
func (e *Engine) Token(ctx context.Context, ref evergrant.Ref, opts *evergrant.TokenOptions) (*evergrant.Token, error) {
	return e.manager.Token(ctx, ref, opts)
}

// Reject implements [evergrant.Source].
func (e *Engine) Reject(ctx context.Context, ref evergrant.Ref, fingerprint string) (*evergrant.Token, error) {
	return e.manager.Reject(ctx, ref, fingerprint)
}

// Client returns a client that calls the engine in this process, with all rights.
func (e *Engine) Client() *client.Client { return e.manager.Client() }
