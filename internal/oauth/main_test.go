package oauth

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/evergrant/evergrant/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newSender returns a sender that is closed with the test.
func newSender(t *testing.T, c SenderConfig) *Sender {
	t.Helper()
	s := NewSender(c)
	t.Cleanup(s.Close)
	return s
}

// seen is what a test server received.
type seen struct {
	mu       sync.Mutex
	requests []*http.Request
	forms    []url.Values
}

func (s *seen) add(r *http.Request) {
	_ = r.ParseForm() // reads the body to its end
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	s.forms = append(s.forms, r.PostForm)
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// last returns the last request and its form.
func (s *seen) last(t *testing.T) (*http.Request, url.Values) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) == 0 {
		t.Fatal("the server received no request")
	}
	n := len(s.requests) - 1
	return s.requests[n], s.forms[n]
}

// serve runs a server that records every request before it answers.
func serve(t *testing.T, answer http.HandlerFunc) (*httptest.Server, *seen) {
	t.Helper()
	got := &seen{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.add(r)
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv, got
}

// answerJSON answers with a status and a JSON body.
func answerJSON(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

const (
	testRefresh = "canary-refresh-3fK9sLq0Zx8Vb1"
	testSecret  = "canary-client-7hT2mWc5Rn4Yd6"
)

const goodTokens = `{"access_token":"at-1","refresh_token":"rt-2","token_type":"Bearer","expires_in":1500}`

// refreshOf is a refresh request for an endpoint.
func refreshOf(tokenURL string) Request {
	return Request{
		TokenURL: tokenURL,
		Client:   Client{ID: "app", Secret: secret.New(testSecret), Auth: Basic},
		Encoding: Form,
		Params:   RefreshParams(secret.New(testRefresh)),
		Timeout:  5 * time.Second,
	}
}

// hijack takes over the connection of a request whose body has been read.
func hijack(t *testing.T, w http.ResponseWriter) *net.TCPConn {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return nil
	}
	return conn.(*net.TCPConn)
}
