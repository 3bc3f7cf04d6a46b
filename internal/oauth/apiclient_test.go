package oauth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/secret"
)

// get makes a request with an API client.
func get(t *testing.T, c *http.Client, url string, change func(*http.Request)) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	resp, err := c.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return resp, err
}

func TestAPIClientAddsTheTokenForItsHostOnly(t *testing.T) {
	srv, got := serve(t, answerJSON(200, "{}"))
	other, stolen := serve(t, answerJSON(200, "{}"))
	s := newSender(t, SenderConfig{UserAgent: "evergrant/1.0"})
	c := s.APIClient(secret.New("a"), "Bearer", srv.URL+"/api/")

	before := http.Header{"Authorization": {"Basic mine"}}
	_, err := get(t, c, srv.URL+"/f/data", func(r *http.Request) { r.Header = before; r.Host = "evil.example" })
	if err != nil {
		t.Fatal(err)
	}
	req, _ := got.last(t)
	if req.Header.Get("Authorization") != "Bearer a" || req.UserAgent() != "evergrant/1.0" || req.Host != strings.TrimPrefix(srv.URL, "http://") {
		t.Errorf("got %v to %s", req.Header, req.Host)
	}
	if before.Get("Authorization") != "Basic mine" {
		t.Error("the caller's request was changed")
	}

	for _, url := range []string{other.URL, strings.Replace(srv.URL, "http:", "https:", 1), "http://localhost:" + strings.Split(srv.URL, ":")[2]} {
		_, err := get(t, c, url, nil)
		if err == nil || !strings.Contains(err.Error(), "leaves the API's host") {
			t.Errorf("%s: got %v", url, err)
		}
		noCanary(t, err)
	}
	if stolen.count() != 0 || got.count() != 1 {
		t.Errorf("%d and %d requests", stolen.count(), got.count())
	}
}

func TestAPIClientHandsRedirectsBack(t *testing.T) {
	other, stolen := serve(t, answerJSON(200, "{}"))
	srv, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	resp, err := get(t, newSender(t, SenderConfig{}).APIClient(secret.New("a"), "", srv.URL), srv.URL, nil)
	if err != nil || resp.StatusCode != http.StatusTemporaryRedirect || stolen.count() != 0 {
		t.Errorf("got %v, %v, followed %d times", resp, err, stolen.count())
	}
}

func TestAPIClientFailures(t *testing.T) {
	s := newSender(t, SenderConfig{})
	for base, says := range map[string]string{
		"http://api.example":   "api base: the URL must begin with https://",
		"":                     "api base: not an absolute URL",
		"https://192.168.0.10": "not public",
	} {
		_, err := get(t, s.APIClient(secret.New(testRefresh), "Bearer", base), "https://192.168.0.10/x", nil)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want an error about %q", base, err, says)
		}
		noCanary(t, err)
	}
	srv, _ := serve(t, answerJSON(200, "{}"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := get(t, s.APIClient(secret.New("a"), "Bearer", srv.URL), srv.URL, func(r *http.Request) { *r = *r.WithContext(ctx) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestAPIAndTokenRequestsShareAConnection(t *testing.T) {
	srv, got := serve(t, answerJSON(200, goodTokens))
	s := newSender(t, SenderConfig{})
	c := s.APIClient(secret.New("a"), "Bearer", srv.URL)
	for range 3 {
		if a := s.Send(t.Context(), refreshOf(srv.URL)); a.Status != 200 {
			t.Fatal(a.Err)
		}
		if _, err := get(t, c, srv.URL, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got.count() != 6 {
		t.Errorf("%d requests", got.count())
	}
}
