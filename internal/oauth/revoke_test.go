package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/secret"
)

func TestRevokeSendsTheToken(t *testing.T) {
	srv, got := serve(t, answerJSON(200, ""))
	c := Client{ID: "app", Secret: secret.New("s"), Auth: Post}
	s := newSender(t, SenderConfig{})
	for hint, want := range map[string]string{
		"refresh_token": "client_id=app&client_secret=s&refresh_token=t&token=t&token_type_hint=refresh_token",
		"access_token":  "client_id=app&client_secret=s&token=t&token_type_hint=access_token",
		"":              "client_id=app&client_secret=s&token=t",
	} {
		if err := s.Revoke(t.Context(), srv.URL, c, secret.New("t"), hint); err != nil {
			t.Fatal(err)
		}
		if _, form := got.last(t); form.Encode() != want {
			t.Errorf("hint %q: form %q, want %q", hint, form.Encode(), want)
		}
	}
}

func TestRevokeReadsTheAnswer(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		want   *RevokeError
	}{
		"200 is done":                       {200, "", nil},
		"200 is done whatever it says":      {200, "<html>", nil},
		"204 is done":                       {204, "", nil},
		"299 is done":                       {299, "", nil},
		"500 is to be tried again":          {500, "", &RevokeError{Status: 500, Temporary: true, RetryAfter: 9 * time.Second}},
		"a type it does not revoke is fine": {400, `{"error":"unsupported_token_type"}`, nil},
		"a token it does not know is fine":  {400, `{"error":"invalid_token"}`, nil},
		"503 is to be tried again":          {503, "", &RevokeError{Status: 503, Temporary: true, RetryAfter: 9 * time.Second}},
		"429 is to be tried again":          {429, "", &RevokeError{Status: 429, Temporary: true, RetryAfter: 9 * time.Second}},
		"a refused client is not":           {401, `{"error":"invalid_client"}`, &RevokeError{Status: 401, Code: "invalid_client", RetryAfter: 9 * time.Second}},
		"a page is not":                     {404, "<html>", &RevokeError{Status: 404, RetryAfter: 9 * time.Second}},
		"a redirect is not":                 {302, "", &RevokeError{Status: 302, RetryAfter: 9 * time.Second}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			srv, got := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "9")
				w.Header().Set("Location", "/elsewhere")
				if tt.status == 204 {
					w.WriteHeader(204)
					return
				}
				answerJSON(tt.status, tt.body)(w, r)
			})
			err := newSender(t, SenderConfig{}).Revoke(t.Context(), srv.URL, Client{ID: "app", Auth: None}, secret.New("t"), "")
			if got.count() != 1 {
				t.Errorf("%d requests", got.count())
			}
			if tt.want == nil {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			var e *RevokeError
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(tt.want, e); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if want := strings.TrimSpace(fmt.Sprintf("revoke: answered %d %s", e.Status, e.Code)); e.Error() != want {
				t.Errorf("error %q, want %q", e, want)
			}
		})
	}
}

func TestRevokeWithoutAnAnswer(t *testing.T) {
	srv, got := serve(t, func(w http.ResponseWriter, _ *http.Request) { hijack(t, w).Close() })
	s := newSender(t, SenderConfig{})
	c := Client{ID: "app", Auth: None}
	var e *RevokeError
	if err := s.Revoke(t.Context(), srv.URL, c, secret.New(testRefresh), ""); !errors.As(err, &e) || !e.Temporary || e.Unwrap() == nil || got.count() != 1 {
		t.Errorf("cut: got %v after %d requests", err, got.count())
	}
	if err := s.Revoke(t.Context(), "http://id.example", c, secret.New(testRefresh), ""); !errors.As(err, &e) || e.Temporary {
		t.Errorf("no endpoint: got %v", err)
	}
}
