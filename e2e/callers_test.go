package e2e_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

// crowd calls f from n goroutines at the same moment and returns the tokens they
// got, each with how often.
func crowd(t *testing.T, n int, f func(c *client.Client) (*evergrant.Token, error), s *server) map[string]int {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: n}
	defer transport.CloseIdleConnections()
	c, err := client.New(client.Config{URL: s.api, Key: s.key, HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		got  = map[string]int{}
		line = make(chan struct{})
	)
	for range n {
		all.Go(func() {
			<-line
			token, err := f(c)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			got[token.AccessToken]++
		})
	}
	close(line)
	all.Wait()
	return got
}

func TestManyCallersCauseOneRefresh(t *testing.T) {
	t.Parallel()
	j := newJudge(t, oracle.Options{Rotation: oracle.Strict, AccessLife: time.Hour})
	// The answer takes so long that every caller comes while it is awaited.
	j.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{After: time.Second} })
	s := newServer(t)
	s.configure(app(j.url, oracle.Strict, ""), "")
	s.start()

	_, refresh := j.Issue(business(1))
	_, err := s.CreateConnection(t.Context(), client.NewConnection{Ref: ref(1), Tokens: &client.Tokens{
		AccessToken: "ended-an-hour-ago", RefreshToken: refresh, ExpiresAt: time.Now().Add(-time.Hour),
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := crowd(t, 200, func(c *client.Client) (*evergrant.Token, error) { return c.Token(t.Context(), ref(1), nil) }, s)
	if len(got) != 1 {
		t.Fatalf("200 callers got %d different tokens, want 1", len(got))
	}
	for token := range got {
		if !j.AccessValid(token) {
			t.Error("the token that all got does not work")
		}
	}
	if n := j.Report().Sends; n != 1 {
		t.Errorf("200 callers on an expired grant caused %d token requests, want 1", n)
	}

	s.adopt(j, 2, 3600) // nobody refreshed it a moment ago
	current, err := s.Token(t.Context(), ref(2), nil)
	if err != nil {
		t.Fatal(err)
	}
	got = crowd(t, 100, func(c *client.Client) (*evergrant.Token, error) {
		return c.Reject(t.Context(), ref(2), current.Fingerprint)
	}, s)
	if len(got) != 1 || got[current.AccessToken] != 0 {
		t.Errorf("100 rejects got %d different tokens, %d of them the rejected one; want one new one", len(got), got[current.AccessToken])
	}
	if n := j.Report().Sends; n != 2 {
		t.Errorf("100 rejects of one token caused %d token requests, want 1", n-1)
	}
}
