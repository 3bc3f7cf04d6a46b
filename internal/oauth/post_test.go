package oauth

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/secret"
)

// closing is a body that tells whether it was closed.
type closing struct {
	*strings.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestAnOutboundClientCarriesNothingButItsName(t *testing.T) {
	srv, got := serve(t, answerJSON(200, "{}"))
	c := newSender(t, SenderConfig{UserAgent: "evergrant/1.0"}).OutboundClient(5 * time.Second)
	resp, err := get(t, c, srv.URL, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", resp, err)
	}
	if req, _ := got.last(t); req.UserAgent() != "evergrant/1.0" || req.Header.Get("Authorization") != "" {
		t.Errorf("it sent %v", req.Header)
	}
}

func TestAnOutboundClientSaysWhatFailed(t *testing.T) {
	srv, _ := serve(t, answerJSON(200, "{}"))
	srv.Close()
	c := newSender(t, SenderConfig{}).OutboundClient(5 * time.Second)
	if resp, err := get(t, c, srv.URL, nil); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v, %v", resp, err)
	}
}

// Whoever refuses a request closes its body, as every round tripper has to.
func TestARequestThatMustNotLeaveIsClosed(t *testing.T) {
	srv, got := serve(t, answerJSON(200, "{}"))
	s := newSender(t, SenderConfig{})
	for name, c := range map[string]*http.Client{
		"an API's client":    s.APIClient(secret.New("a"), "Bearer", srv.URL),
		"an outbound client": s.OutboundClient(5 * time.Second),
	} {
		body := &closing{Reader: strings.NewReader("x")}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://elsewhere.example/", body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Transport.RoundTrip(req); err == nil || !body.closed {
			t.Errorf("%s: %v, closed: %t", name, err, body.closed)
		}
		if _, err := get(t, c, "http://elsewhere.example/", func(r *http.Request) { r.Body = nil }); err == nil {
			t.Errorf("%s: a request without a body left", name)
		}
	}
	if got.count() != 0 {
		t.Errorf("%d requests", got.count())
	}
}

func TestAnAPIsClientUsesTheTypeOfItsToken(t *testing.T) {
	srv, got := serve(t, answerJSON(200, "{}"))
	s := newSender(t, SenderConfig{})
	for tokenType, want := range map[string]string{"": "Bearer a", "token": "token a"} {
		if _, err := get(t, s.APIClient(secret.New("a"), tokenType, srv.URL), srv.URL, nil); err != nil {
			t.Fatal(err)
		}
		if req, _ := got.last(t); req.Header.Get("Authorization") != want {
			t.Errorf("type %q: %q, want %q", tokenType, req.Header.Get("Authorization"), want)
		}
	}
}
