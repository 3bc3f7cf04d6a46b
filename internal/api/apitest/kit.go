// Package apitest is a running API for tests: a real store, spool and manager on
// temporary files, in front of an authorization server that judges.
package apitest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api"
	"github.com/evergrant/evergrant/internal/connect"
	"github.com/evergrant/evergrant/internal/event"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/proxy"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/signin"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/sqlite"
	"github.com/evergrant/evergrant/internal/telemetry"
	"github.com/evergrant/evergrant/internal/webhook"
	"github.com/evergrant/evergrant/provider"
)

// Options changes a kit. The zero value is fine.
type Options struct {
	Wrap   func(store.Store) store.Store // stands between everything and the store
	Logger *slog.Logger                  // nil: none
	Audit  *slog.Logger                  // nil: none
	API    string                        // where the apps' API is; "": https://api.example
	Rules  map[string]proxy.Rules        // of the proxy, by app
}

// Kit is a running API. Its apps are named "k-series" and "r-series".
type Kit struct {
	T       testing.TB
	Oracle  *oracle.Server
	Store   store.Store
	Ring    *seal.Ring
	Manager *manager.Manager
	Config  api.Config // what Handler was made from
	Handler http.Handler
	Server  *httptest.Server // serves Handler

	mu    sync.Mutex
	moved time.Duration
}

// AdminKey is the secret of a key with every right.
const AdminKey = "evg_admin-key-of-the-tests-0123456789abcdef"

// New starts a kit, which ends with the test.
func New(t testing.TB, o Options) *Kit {
	t.Helper()
	k := &Kit{T: t, Oracle: oracle.New(oracle.Options{Rotation: oracle.Static, AccessLife: time.Hour})}
	as := httptest.NewServer(k.Oracle)
	t.Cleanup(as.Close)
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	apps := provider.Apps{}
	for _, name := range []string{"k-series", "r-series"} {
		apps[name] = k.app(name, as.URL, cmp.Or(o.API, "https://api.example"))
	}

	dir := t.TempDir()
	hub := event.NewHub(slog.New(slog.DiscardHandler))
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "db"), Published: hub.Publish, Now: k.Now})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	k.Store = db
	if o.Wrap != nil {
		k.Store = o.Wrap(db)
	}
	ring, err := seal.Ephemeral()
	must(t, err)
	k.Ring = ring
	journal, err := spool.Open(spool.Options{Dir: filepath.Join(dir, "spool"), Ring: ring, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { _ = journal.Close() })
	sender := oauth.NewSender(oauth.SenderConfig{UserAgent: "evergrant-test"})
	t.Cleanup(sender.Close)
	metrics := telemetry.NewMetrics("test")
	k.Manager = manager.New(manager.Config{Store: k.Store, Ring: ring, Spool: journal, Sender: sender, Apps: apps,
		Hub: hub, Metrics: metrics, Logger: slog.New(slog.DiscardHandler), Now: k.Now})
	must(t, k.Manager.Start(t.Context()))
	t.Cleanup(func() { _ = k.Manager.Stop(context.Background()) })

	links := connect.New(connect.Config{Store: k.Store, Ring: ring, Spool: journal, Sender: sender, Apps: apps,
		Issuer: k.Manager.Issuer(), PublicURL: "https://connect.example", ReturnURLAllow: []string{"https://app.example/*"},
		Now: k.Now, Logger: slog.New(slog.DiscardHandler)})
	people, err := signin.New(signin.Config{Store: k.Store, Ring: ring, URL: "https://dashboard.example", Logger: log, Now: k.Now})
	must(t, err)
	admin := access.Key{ID: "key_admin", Name: "admin", Hash: access.Hash(AdminKey), Scopes: []access.Scope{access.Admin}}
	k.Config = api.Config{Manager: k.Manager, Links: links, Store: k.Store, Webhooks: k.webhooks(hub, ring, sender, metrics),
		Keys:    api.NewKeyring(k.Store, []access.Key{admin}, k.Now),
		Metrics: metrics, Logger: log, Audit: o.Audit, Now: k.Now, Version: "test", PublicURL: "https://connect.example", SignIn: people,
		Proxy: proxy.New(proxy.Config{Sender: sender, Apps: apps, Rules: o.Rules})}
	k.Handler, err = api.New(k.Config)
	must(t, err)
	k.Server = httptest.NewServer(k.Handler)
	t.Cleanup(k.Server.Close)
	return k
}

// webhooks makes the service of webhooks and runs it until the test ends.
func (k *Kit) webhooks(hub *event.Hub, ring *seal.Ring, sender *oauth.Sender, metrics *telemetry.Metrics) *webhook.Service {
	s := webhook.New(webhook.Config{Store: k.Store, Ring: ring, Client: sender.OutboundClient(webhook.Timeout), Grown: hub.Grown,
		Encode: api.EncodeEvent, Logger: slog.New(slog.DiscardHandler), Now: k.Now, Counted: metrics.Delivered,
		Random: func() float64 { return 0.5 }})
	s.Start()
	k.T.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

func (k *Kit) app(name, server, base string) *provider.App {
	k.T.Helper()
	app, err := provider.NewApp(provider.AppOptions{
		Name: name, Recipe: provider.Generic(), ClientID: "id-" + name, Secrets: []secret.String{secret.New("s3cret-of-" + name)},
		Endpoints: provider.Endpoints{Authorize: server + "/authorize", Token: server + "/token", API: base},
		PublicURL: "https://connect.example",
		Policy: func(p grant.Policy) grant.Policy {
			p.Rotation = grant.Rotation(oracle.Static)
			return p
		},
	})
	must(k.T, err)
	return app
}

// Now is the kit's clock: the real one, moved by Advance.
func (k *Kit) Now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Now().Add(k.moved)
}

// Advance moves the kit's clock.
func (k *Kit) Advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.moved += d
}

// Adopt connects a business with tokens the oracle issues out of band, and
// returns its connection.
func (k *Kit) Adopt(key, app string) grant.Connection {
	k.T.Helper()
	at, rt := k.Oracle.Issue(key + "@" + app)
	c, _, err := k.Manager.Create(k.T.Context(), manager.NewConnection{Ref: grant.Ref{Key: key, App: app},
		Tokens: &manager.Adoption{AccessToken: secret.New(at), RefreshToken: secret.New(rt), ExpiresIn: time.Hour}})
	must(k.T, err)
	return c
}

// Key makes an API key in the store and returns its secret. Limits may be nil.
func (k *Kit) Key(scopes []access.Scope, apps, businesses []string) string {
	k.T.Helper()
	s := access.NewSecret().Reveal()
	now := k.Now()
	must(k.T, k.Store.CreateKey(k.T.Context(), access.Key{ID: grant.NewID(grant.KeyID, now), Name: "test", Hash: access.Hash(s),
		Scopes: scopes, Apps: apps, Businesses: businesses, CreatedAt: now}))
	k.Config.Keys.Reload(k.T.Context())
	return s
}

// Answer is what a request came to.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// JSON decodes the body.
func (a Answer) JSON(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.Body), &m); err != nil {
		t.Fatalf("the body is not a JSON object: %v: %q", err, a.Body)
	}
	return m
}

// Do sends a request to the handler with a key, "" for none. Header lines are
// "Name: value".
func (k *Kit) Do(key, method, target, body string, header ...string) Answer {
	k.T.Helper()
	return Serve(k.Handler, key, method, target, body, header...)
}

// Serve is Do for any handler.
func Serve(h http.Handler, key, method, target, body string, header ...string) Answer {
	var reader io.Reader
	if body != "" {
		reader = bytes.NewReader([]byte(body))
	}
	r := httptest.NewRequest(method, target, reader)
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return Answer{w.Code, w.Result().Header, w.Body.String()}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
