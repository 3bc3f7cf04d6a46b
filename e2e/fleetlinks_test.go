package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

// TestFleetLinks has a link made by one replica, opened on another, and the
// answer of the provider arrive at the same one, at another, or at all of them at
// once.
func TestFleetLinks(t *testing.T) {
	t.Parallel()
	provider := newCodes(t, oracle.Options{Rotation: oracle.FamilyKill, AccessLife: time.Hour})
	b := newBalancer(t)
	url, fleet := database(t), make([]*server, 3)
	for i := range fleet {
		fleet[i] = newReplica(t, url, fleet[0])
		fleet[i].configure(app(provider.url, oracle.FamilyKill, ""), "")
		b.front(fleet[i])
		fleet[i].start()
	}
	const made, opened = 0, 1
	for n, arrives := range [][]int{{made}, {opened}, {2}, {0, 1, 2}} {
		b.route(opened, arrives...)
		l, err := fleet[made].CreateLink(t.Context(), client.NewLink{Ref: ref(n), BusinessName: "Café Nord"})
		if err != nil {
			t.Fatal(err)
		}
		done := newBrowser(t, nil).follow(l.URL, "/done")
		if done.status != http.StatusOK {
			t.Errorf("an answer that arrives at %v ends at %d: %s", arrives, done.status, done.body)
		}
		for i, s := range fleet {
			eventually(t, time.Minute, "every replica hands the token out", func() bool {
				token, err := s.Token(t.Context(), ref(n), nil)
				return err == nil && provider.AccessValid(token.AccessToken)
			})
			if now, err := s.Link(t.Context(), l.ID); err != nil || now.State != "completed" {
				t.Errorf("replica %d: the link is %s, %v", i, now.State, err)
			}
		}
	}
	if given, most := provider.count(); given != 4 || most != 1 {
		t.Errorf("merchants were sent to the provider %d times, want 4; a code was presented %d times", given, most)
	}
}

// balancer stands before a fleet, as a load balancer does. It sends requests where
// the test says.
type balancer struct {
	url      string
	backends []*httputil.ReverseProxy

	mu        sync.Mutex
	pages     int
	callbacks []int
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	b := &balancer{}
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	b.url = srv.URL
	return b
}

// front puts the balancer before one more server that is configured.
func (b *balancer) front(s *server) {
	s.t.Helper()
	to, err := url.Parse(s.public)
	if err != nil {
		s.t.Fatal(err)
	}
	b.backends = append(b.backends, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}})
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), fmt.Sprintf("public_url: %s,", s.public), fmt.Sprintf("public_url: %s,", b.url), 1))
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// route says which replica answers merchants, and which the provider's answer
// arrives at; if there are several, the merchant sees what the last one says.
func (b *balancer) route(pages int, callbacks ...int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pages, b.callbacks = pages, callbacks
}

// ServeHTTP implements [http.Handler].
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	pages, callbacks := b.pages, b.callbacks
	b.mu.Unlock()
	if !strings.HasPrefix(r.URL.Path, "/oauth/callback/") {
		b.backends[pages].ServeHTTP(w, r)
		return
	}
	last := len(callbacks) - 1
	var others sync.WaitGroup
	for _, i := range callbacks[:last] {
		others.Go(func() { b.backends[i].ServeHTTP(httptest.NewRecorder(), r.Clone(r.Context())) })
	}
	b.backends[callbacks[last]].ServeHTTP(w, r)
	others.Wait()
}
