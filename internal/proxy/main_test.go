package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/memnet"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/proxy"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prefix = "/proxy/biz_42@app"

// kit is a proxy with an API behind it.
type kit struct {
	t      testing.TB
	proxy  *proxy.Proxy
	tokens *tokens
	server *httptest.Server // nil on fake time
}

// options changes a kit. The zero value is fine.
type options struct {
	recipe   string
	base     string // path of the API's base
	rules    proxy.Rules
	patience time.Duration
}

// newKit starts a proxy in front of an API, both at real sockets.
func newKit(t testing.TB, api http.HandlerFunc, o options) *kit {
	t.Helper()
	upstream := httptest.NewServer(api)
	t.Cleanup(upstream.Close)
	k := newProxy(t, upstream.URL, oauth.SenderConfig{UserAgent: "evergrant-test"}, o)
	k.server = httptest.NewServer(http.HandlerFunc(k.serve))
	t.Cleanup(k.server.Close)
	return k
}

// newFake starts a proxy in front of an API inside the process, for fake time.
func newFake(t testing.TB, api http.HandlerFunc, o options) *kit {
	t.Helper()
	l := memnet.Listen()
	upstream := &http.Server{Handler: api}
	served := make(chan struct{})
	go func() { defer close(served); _ = upstream.Serve(l) }()
	t.Cleanup(func() { _ = upstream.Close(); <-served })
	return newProxy(t, "http://127.0.0.1", oauth.SenderConfig{DialContext: l.Dial}, o)
}

func newProxy(t testing.TB, url string, c oauth.SenderConfig, o options) *kit {
	sender := oauth.NewSender(c)
	t.Cleanup(sender.Close)
	apps := provider.Apps{"app": {Name: "app", Recipe: provider.Recipe{Name: o.recipe}}}
	k := &kit{t: t, tokens: &tokens{base: url + o.base, token: "token-1"},
		proxy: proxy.New(proxy.Config{Sender: sender, Apps: apps, Rules: map[string]proxy.Rules{"app": o.rules}, Patience: o.patience})}
	return k
}

// serve is the edge in front of the proxy, as thin as it can be.
func (k *kit) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	err := k.proxy.Serve(w, r, proxy.Trip{Tokens: k.tokens, Prefix: prefix, Rest: strings.TrimPrefix(r.URL.EscapedPath(), prefix)})
	var refused *proxy.Error
	switch {
	case errors.As(err, &refused):
		http.Error(w, refused.Error(), int(refused.Kind))
	case err != nil:
		http.Error(w, "other: "+err.Error(), http.StatusConflict)
	}
}

// do sends a request through the proxy. Header lines are "Name: value".
func (k *kit) do(method, path, body string, header ...string) (*http.Response, string) {
	k.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	if k.server == nil {
		w := httptest.NewRecorder()
		k.serve(w, addHeader(httptest.NewRequestWithContext(k.t.Context(), method, prefix+path, reader), header))
		return w.Result(), w.Body.String()
	}
	r, err := http.NewRequestWithContext(k.t.Context(), method, k.server.URL+prefix+path, reader)
	if err != nil {
		k.t.Fatal(err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	res, err := client.Do(addHeader(r, header))
	if err != nil {
		k.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	return res, string(b)
}

func addHeader(r *http.Request, lines []string) *http.Request {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// tokens hands out one connection's token.
type tokens struct {
	base string

	mu        sync.Mutex
	token     string
	next      string // what comes for a refused token; "": the same
	moved     string // the base from then on, if not ""
	err       error  // of Reject
	rejected  []string
	locations []string
}

func (s *tokens) Handout(_ context.Context, location string) (*manager.Handout, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locations = append(s.locations, location)
	if location == "nowhere" {
		return nil, errors.New("nobody reaches it")
	}
	return s.handout(), nil
}

func (s *tokens) Reject(_ context.Context, fingerprint, _ string) (*manager.Handout, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejected = append(s.rejected, fingerprint)
	if s.err != nil {
		return nil, s.err
	}
	if s.next != "" {
		s.token = s.next
	}
	if s.moved != "" {
		s.base = s.moved
	}
	return s.handout(), nil
}

func (s *tokens) handout() *manager.Handout {
	return &manager.Handout{App: "app", Token: evergrant.Token{AccessToken: s.token, Type: "Bearer", BaseURL: s.base,
		Connection: "conn_1", Fingerprint: secret.New(s.token).Fingerprint()}}
}
