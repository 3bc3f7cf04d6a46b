package evergrant_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
)

// source hands out tokens named t0, t1, …; Reject of the current one moves on.
type source struct {
	mu       sync.Mutex
	n        int
	baseURL  string
	stuck    bool  // Reject answers with the same token
	fail     error // of Token
	rejectOf error // of Reject
	rejects  int
}

func (s *source) token() *evergrant.Token {
	name := fmt.Sprint("t", s.n)
	return &evergrant.Token{AccessToken: name, Type: "Bearer", BaseURL: s.baseURL, Fingerprint: "fp-" + name, Expiry: time.Now().Add(time.Hour)}
}

func (s *source) Token(context.Context, evergrant.Ref, *evergrant.TokenOptions) (*evergrant.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	return s.token(), nil
}

func (s *source) Reject(_ context.Context, _ evergrant.Ref, fingerprint string) (*evergrant.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejects++
	if s.rejectOf != nil {
		return nil, s.rejectOf
	}
	if fingerprint == s.token().Fingerprint && !s.stuck {
		s.n++
	}
	return s.token(), nil
}

// apiServer is a provider's API that accepts one token and records what came.
type apiServer struct {
	*httptest.Server
	accepts string
	mu      sync.Mutex
	seen    []string // authorization and body of every request
}

func newAPI(t *testing.T, accepts string) *apiServer {
	a := &apiServer{accepts: accepts}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.seen = append(a.seen, strings.TrimSpace(r.Header.Get("Authorization")+" "+string(body)))
		a.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer "+a.accepts {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, "answer")
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *apiServer) requests() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.seen, ", ")
}

func TestRequestsCarryTheToken(t *testing.T) {
	api := newAPI(t, "t0")
	s := &source{baseURL: api.URL + "/v2"}
	c := evergrant.NewHTTPClient(s, "biz_1@k-series")
	defer c.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, api.URL+"/items", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || s.rejects != 0 || api.requests() != "Bearer t0" {
		t.Errorf("%d, %d rejects, %s", res.StatusCode, s.rejects, api.requests())
	}
	if req.Header.Get("Authorization") != "" {
		t.Error("the caller's request was changed")
	}
}

func TestAnAnswerOf401IsReportedAndTriedOnceMore(t *testing.T) {
	for _, c := range []struct {
		name, accepts string
		stuck         bool
		body          io.Reader
		status        int
		requests      string
		rejects       int
	}{
		{"without a body", "t1", false, nil, 200, "Bearer t0, Bearer t1", 1},
		{"with a body that can be read again", "t1", false, strings.NewReader("hello"), 200, "Bearer t0 hello, Bearer t1 hello", 1},
		{"with a body that is gone", "t1", false, io.MultiReader(strings.NewReader("hello")), 401, "Bearer t0 hello", 1},
		{"with an API that likes no token", "none", false, nil, 401, "Bearer t0, Bearer t1", 1},
		{"when the token stays the same", "none", true, nil, 401, "Bearer t0", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := newAPI(t, c.accepts)
			s := &source{baseURL: api.URL, stuck: c.stuck}
			client := evergrant.NewHTTPClient(s, "biz_1@k-series")
			defer client.CloseIdleConnections()
			res, err := client.Post(api.URL, "text/plain", c.body)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != c.status || string(body) != "answer" || api.requests() != c.requests || s.rejects != c.rejects {
				t.Errorf("%d %q, requests %s, %d rejects", res.StatusCode, body, api.requests(), s.rejects)
			}
		})
	}
}

func TestErrorsOfTheSourceAreTheClients(t *testing.T) {
	dead := &evergrant.Error{Op: "token", Code: "needs_reauthorization", Err: evergrant.ErrReauthorize}
	api := newAPI(t, "none")
	for _, s := range []*source{{fail: dead}, {rejectOf: dead}} {
		body := &closed{Reader: strings.NewReader("x")}
		_, err := evergrant.NewHTTPClient(s, "biz_1@k-series").Post(api.URL, "text/plain", body)
		if !errors.Is(err, evergrant.ErrReauthorize) {
			t.Errorf("%v", err)
		}
		if !body.closed.Load() {
			t.Error("the body is left open")
		}
	}
}

type closed struct {
	io.Reader
	closed atomic.Bool
}

func (c *closed) Close() error { c.closed.Store(true); return nil }

func TestTheTokenGoesToItsHostOnly(t *testing.T) {
	home, other := newAPI(t, "t0"), newAPI(t, "")
	s := &source{baseURL: home.URL}
	c := evergrant.NewHTTPClient(s, "biz_1@k-series")
	defer c.CloseIdleConnections()
	body := &closed{Reader: strings.NewReader("x")}
	if _, err := c.Post(other.URL, "text/plain", body); err == nil || strings.Contains(err.Error(), "t0") {
		t.Errorf("a request to another host: %v", err)
	}
	if !body.closed.Load() {
		t.Error("the body is left open")
	}
	if other.requests() != "" {
		t.Errorf("the other host saw %s", other.requests())
	}
	if _, err := c.Get(strings.Replace(home.URL, "http://", "https://", 1)); err == nil {
		t.Error("another scheme is taken for the same host")
	}
}

func TestRedirectsAreFollowedWithTheTokenAtHomeOnly(t *testing.T) {
	for _, known := range []bool{true, false} {
		other := newAPI(t, "")
		var atHome []string
		mux := http.NewServeMux()
		mux.HandleFunc("/a", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/b", http.StatusFound) })
		mux.HandleFunc("/b", func(w http.ResponseWriter, r *http.Request) {
			atHome = append(atHome, r.Header.Get("Authorization"))
			http.Redirect(w, r, other.URL, http.StatusFound)
		})
		home := httptest.NewServer(mux)
		s := &source{}
		if known {
			s.baseURL = home.URL
		}
		c := evergrant.NewHTTPClient(s, "biz_1@k-series")
		res, err := c.Get(home.URL + "/a")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if strings.Join(atHome, " ") != "Bearer t0" || other.requests() != "" || len(other.seen) != 1 || s.rejects != 0 {
			t.Errorf("base URL known: %v: home saw %v, the other host %q, %d rejects", known, atHome, other.seen, s.rejects)
		}
		c.CloseIdleConnections()
		home.Close()
	}
}

func TestTokenSource(t *testing.T) {
	s := &source{}
	ts := evergrant.TokenSource(t.Context(), s, "biz_1@k-series")
	tok, err := ts.Token()
	if err != nil || tok.AccessToken != "t0" || tok.TokenType != "Bearer" || tok.RefreshToken != "" || !tok.Valid() {
		t.Errorf("%v %v", tok, err)
	}
	s.n = 1
	if tok, _ := ts.Token(); tok.AccessToken != "t1" {
		t.Error("a token was kept")
	}
	s.fail = &evergrant.Error{Err: evergrant.ErrTemporary}
	if tok, err := ts.Token(); tok != nil || !errors.Is(err, evergrant.ErrTemporary) {
		t.Errorf("%v %v", tok, err)
	}
}
