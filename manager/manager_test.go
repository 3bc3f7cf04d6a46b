package manager_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/manager"
	"github.com/evergrant/evergrant/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ref evergrant.Ref = "biz_42@k-series"

// kit is a sandbox and a Manager for it, with the pages at an address.
type kit struct {
	*manager.Manager
	sandbox *sandbox.Sandbox
	config  manager.Config
	browser *http.Client
	// held is told of every refresh that reaches the sandbox and is let go when it
	// has been read; nil lets all through.
	held atomic.Pointer[chan struct{}]
}

// newKit makes a kit whose Manager is closed at the end and does not run yet.
func newKit(t *testing.T, change func(*manager.Config)) *kit {
	t.Helper()
	k := &kit{sandbox: sandbox.New(sandbox.Config{})}
	lightspeed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if held := k.held.Load(); held != nil && strings.HasSuffix(r.URL.Path, "/token") {
			*held <- struct{}{}
			*held <- struct{}{}
		}
		k.sandbox.ServeHTTP(w, r)
	}))
	t.Cleanup(lightspeed.Close)
	var pages http.Handler
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pages.ServeHTTP(w, r) }))
	t.Cleanup(web.Close)
	k.browser = &http.Client{Transport: &http.Transport{}}
	t.Cleanup(k.browser.CloseIdleConnections)
	k.config = manager.Config{
		SQLite:     filepath.Join(t.TempDir(), "evergrant.db"),
		MasterKeys: []manager.MasterKey{{ID: "k1", Key: manager.NewMasterKey()}},
		PublicURL:  web.URL,
		SandboxURL: lightspeed.URL,
		Apps: map[string]manager.App{"k-series": {
			Provider: "lightspeed-k", Environment: "sandbox", ClientID: "devp-v2-demo-embed", ClientSecret: "embed",
			Scopes: []string{"financial-api", "offline_access"},
		}},
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&k.config)
	}
	k.open(t)
	pages = k.ConnectHandler()
	return k
}

// open makes the Manager.
func (k *kit) open(t *testing.T) {
	t.Helper()
	var err error
	if k.Manager, err = manager.New(t.Context(), k.config); err != nil {
		t.Fatal(err)
	}
	m := k.Manager
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

// run runs the Manager and returns what ends it and tells what came of it.
func (k *kit) run(t *testing.T) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- k.Run(ctx) }()
	return func() error { cancel(); return <-over }
}

// connect connects the business through the pages.
func (k *kit) connect(t *testing.T) {
	t.Helper()
	link, err := k.Client().CreateLink(t.Context(), client.NewLink{Ref: ref})
	if err != nil {
		t.Fatal(err)
	}
	if at, _, err := (sandbox.Visit{Client: k.jar(t)}).Follow(t.Context(), link.URL); err != nil {
		t.Fatalf("at %s: %v", at, err)
	}
}

func TestNothingRunsBeforeRunAndNothingIsLeftAfterClose(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	if _, err := k.Client().Connections(t.Context(), client.ConnectionFilter{}); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := k.Run(t.Context()); err == nil {
		t.Error("it runs after Close")
	}
	if _, err := k.Token(t.Context(), ref, nil); !errors.Is(err, evergrant.ErrTemporary) || !strings.Contains(err.Error(), "closed") {
		t.Errorf("token: %v", err)
	}
	if _, err := k.Reject(t.Context(), ref, "f"); !errors.Is(err, evergrant.ErrTemporary) {
		t.Errorf("reject: %v", err)
	}
	if _, err := k.Client().Meta(t.Context()); !errors.Is(err, evergrant.ErrTemporary) {
		t.Errorf("client: %v", err)
	}
	k.open(t) // the database's lock is free
}

func TestABusinessConnectsAndItsTokensGoRound(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	stop := k.run(t)
	k.connect(t)
	tok, err := k.Token(t.Context(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	same, err := k.Client().Token(t.Context(), ref, nil)
	if err != nil || same.AccessToken != tok.AccessToken || same.BaseURL != tok.BaseURL {
		t.Errorf("the client gives %v, %v", same, err)
	}
	next, err := k.Reject(t.Context(), ref, tok.Fingerprint)
	if err != nil || next.AccessToken == tok.AccessToken {
		t.Errorf("after the rejection: %v, %v", next, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if after, err := k.Token(t.Context(), ref, nil); err != nil || after.AccessToken != next.AccessToken {
		t.Errorf("after Run: %v, %v", after, err)
	}
	if err := k.Run(t.Context()); err == nil {
		t.Error("it runs twice")
	}
}

func TestTheEndOfRunWaitsForARefreshUnderWay(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	stop := k.run(t)
	k.connect(t)
	before, err := k.Token(t.Context(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	held := make(chan struct{})
	k.held.Store(&held)
	asked := make(chan *evergrant.Token, 1)
	go func() {
		tok, err := k.Reject(context.WithoutCancel(t.Context()), ref, before.Fingerprint)
		if err != nil {
			t.Error(err)
		}
		asked <- tok
	}()
	<-held // the refresh is under way
	over := make(chan error, 1)
	go func() { over <- stop() }()
	if _, err := k.Token(t.Context(), ref, nil); err != nil {
		t.Error(err)
	}
	<-held // and goes on
	if err := <-over; err != nil {
		t.Error(err)
	}
	after, err := k.Token(t.Context(), ref, nil)
	if err != nil || after.AccessToken == before.AccessToken {
		t.Errorf("Run ended before the refresh: %v", err)
	}
	if tok := <-asked; tok == nil || tok.AccessToken != after.AccessToken {
		t.Error("the caller got another token")
	}
}

func TestCloseEndsRun(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	over := make(chan error, 1)
	go func() { over <- k.Run(context.WithoutCancel(t.Context())) }()
	if _, err := k.RenewDue(t.Context()); err != nil { // it runs
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
}

func TestACallerWhoNeedsARefreshWaitsForRun(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	// Adopted tokens that have ended: the first call needs a refresh.
	_, err := k.Client().CreateConnection(t.Context(), client.NewConnection{Ref: ref, Tokens: &client.Tokens{
		AccessToken: "a", RefreshToken: "r", ExpiresAt: time.Now().Add(-time.Hour),
	}})
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := k.Token(short, ref, nil); !errors.Is(err, evergrant.ErrTemporary) {
		t.Errorf("before Run: %v", err)
	}
	asked := make(chan error, 1)
	go func() { _, err := k.Token(t.Context(), ref, nil); asked <- err }()
	stop := k.run(t)
	// The sandbox never issued that refresh token, and says so: it was sent.
	if err := <-asked; err == nil || strings.Contains(err.Error(), "not begun") {
		t.Errorf("after Run: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestEventsAreToldInOrderWhileItRuns(t *testing.T) {
	t.Parallel()
	events := make(chan client.Event, 64)
	k := newKit(t, func(c *manager.Config) {
		c.OnEvent = func(_ context.Context, e client.Event) { events <- e }
	})
	if _, err := k.Client().CreateLink(t.Context(), client.NewLink{Ref: "before@k-series"}); err != nil {
		t.Fatal(err)
	}
	stop := k.run(t)
	if _, err := k.RenewDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.connect(t)
	last := ""
	for e := range events {
		if e.ID <= last || e.Ref == "before@k-series" {
			t.Errorf("told of %s %s of %s after %s", e.Type, e.ID, e.Ref, last)
		}
		if last = e.ID; e.Type == "connection.connected" {
			break
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestACallThatWaitsObeysItsContext(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := k.Client().Events(ctx, client.EventFilter{After: "evt_01M7ZZZZZZZZZZZZZZZZZZZZZZ", Wait: time.Minute}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
}

func TestTheHandlersAskForWhatTheyShould(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	key, err := k.Client().CreateKey(t.Context(), client.NewKey{Name: "other", Scopes: []string{"connections"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		h      http.Handler
		path   string
		key    string
		status int
	}{
		{"the API asks for a key", k.APIHandler(), "/v1/connections", "", http.StatusUnauthorized},
		{"the API takes a key of this engine", k.APIHandler(), "/v1/connections", key.Key, http.StatusOK},
		{"merchants' pages have no API", k.ConnectHandler(), "/v1/connections", key.Key, http.StatusNotFound},
		{"a link that is none has a page", k.ConnectHandler(), "/connect/none", "", http.StatusNotFound},
	} {
		r := httptest.NewRequest(http.MethodGet, tt.path, nil)
		if tt.key != "" {
			r.Header.Set("Authorization", "Bearer "+tt.key)
		}
		w := httptest.NewRecorder()
		if tt.h.ServeHTTP(w, r); w.Code != tt.status {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
	}
}

func TestAConfigurationFileSaysEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "evergrant.yaml")
	for name, content := range map[string]string{
		"master.key": string(manager.NewMasterKey()),
		"evergrant.yaml": `version: 1
server: {public_url: http://localhost:8420}
encryption: {keys: [{id: k1, file: ./master.key}]}
apps: {k1: {provider: lightspeed-k-v1, client_id: devp-abc, client_secret: {file: ./master.key}, scopes: [financial-api]}}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := manager.New(t.Context(), manager.Config{File: file, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	apps, err := m.Client().Apps(t.Context())
	if err != nil || len(apps) != 1 || apps[0].Name != "k1" {
		t.Errorf("apps are %v, %v", apps, err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "admin.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it listens: %v", err)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	const canary = "canary-2f1e"
	c := manager.Config{
		Postgres: canary, MasterKeys: []manager.MasterKey{{ID: "k1", Key: canary}},
		Apps: map[string]manager.App{"k-series": {ClientSecret: canary, NextClientSecret: canary}},
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("config", "config", fmt.Sprint(c), "secret", c.Postgres, "key", c.MasterKeys)
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %v %q %x", c, c, c, c.Apps, c.Postgres, c.Postgres), log.String()} {
		if strings.Contains(s, canary) || strings.Contains(s, fmt.Sprintf("%x", canary)) {
			t.Errorf("it prints: %s", s)
		}
	}
}
