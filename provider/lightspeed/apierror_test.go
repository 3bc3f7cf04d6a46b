package lightspeed

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// Bodies as K-Series' contract (https://api-docs.lsk.lightspeed.app), R-Series'
// pages (https://developers.lightspeedhq.com/retail/authentication/refresh-token/,
// introduction/ratelimits/) and recorded traffic
// (https://github.com/marketplacer/lightspeed_pos), and X-Series' page
// (https://x-series-api.lightspeedhq.com/docs/rate_limiting) have them.
func TestErrorBodiesOfEverySeriesAreRead(t *testing.T) {
	tests := []struct {
		name      string
		status    int
		challenge string
		body      string
		want      Error
	}{
		{"K items", 404, "", `{"status":"404","timestamp":"2026-01-01T00:00:00Z","message":"Item not found","apiSubExceptions":[{"field":"sku","rejectedValue":"c4nary","message":"must not be blank"}]}`,
			Error{Message: "Item not found", Fields: []FieldError{{"sku", "must not be blank"}}}},
		{"K order and pay", 403, "", `{"timestamp":"2026-01-01T00:00:00.000+00:00","status":403,"error":"Forbidden","message":"Access token not relevant for the businessLocation, use authorization-code","path":"/o/x"}`,
			Error{Code: "Forbidden", Message: "Access token not relevant for the businessLocation, use authorization-code"}},
		{"K finance, a bad request", 400, "", `{"error":"Invalid date format: 12/12/2023"}`, Error{Message: "Invalid date format: 12/12/2023"}},
		{"K finance, its own failure", 500, "", `{"timestamp":"2026-01-01T00:00:00Z","path":"/f/v2/x","status":500,"error":"Internal Server Error","requestId":"3f2a-17"}`,
			Error{Message: "Internal Server Error", Request: "3f2a-17"}},
		{"K 401 as Spring", 401, `Bearer error="invalid_token"`, `{"error":"invalid_token","error_description":"Access token expired"}`, Error{Code: "invalid_token", Message: "Access token expired"}},
		{"K 401 without a body", 401, `Bearer realm="x", error="invalid_token", error_description="The access token expired"`, ``, Error{Code: "invalid_token"}},
		{"R expired", 401, "", expired, Error{Code: "access_denied", Message: "The resource owner or authorization server denied the request.", Hint: "Access token could not be verified"}},
		{"R revoked", 401, "", revoked, Error{Code: "access_denied", Message: "The resource owner or authorization server denied the request.", Hint: "Access token has been revoked"}},
		{"R of old", 401, `Basic realm="MerchantOS API"`, olderBody, Error{Code: "BadAuthenticationRequestError", Message: "Invalid username/password or API key."}},
		{"X too many", 429, "", `{"error":"Too Many Requests","message":"Rate limiting enforced"}`, Error{Message: "Rate limiting enforced"}},
		{"X, short", 404, "", `{"error":"Not Found"}`, Error{Message: "Not Found"}},
		{"L", 400, "", `{"errors":["amount must be positive"]}`, Error{Message: "amount must be positive"}},
		{"L, of old", 400, "", `{"description":"no such company"}`, Error{Message: "no such company"}},
		{"a page", 502, "", `<html><body>c4nary Bad gateway</body></html>`, Error{}},
		{"members of other types", 400, "", `{"error":{"c4nary":1},"message":["c4nary"],"errors":{"a":"c4nary"},"apiSubExceptions":"c4nary","hint":"x"}`, Error{Hint: "x"}},
		{"an array", 400, "", `["c4nary"]`, Error{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Status = tt.status
			got := readError(tt.status, tt.challenge, []byte(tt.body), "")
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if got.Temporary() != (tt.status == 429 || tt.status >= 500) {
				t.Error("Temporary = ", got.Temporary())
			}
		})
	}
}

func TestAnErrorTellsWhatFailedAndForHowLong(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		w.Header().Set("Content-Type", "text/html") // as R-Series' older API does
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"error":"` + token + `","errorClass":"` + token + `","message":"no more for ` + token + `, sorry","hint":"` + strings.Repeat("x", 300) + `"}`))
	}))
	defer s.Close()
	for _, token := range []string{"short", "abcdefghijklmnopqrst", "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.e30.z"} {
		client := &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
			r.Header.Set("Authorization", "Bearer "+token)
			return http.DefaultTransport.RoundTrip(r)
		})}
		err := API{Client: client, Base: s.URL}.Get(t.Context(), "/API/V3/Account.json", nil, nil)
		var e *Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		want := &Error{Path: "/API/V3/Account.json", Status: 429, Message: "no more for […], sorry", Hint: "[…]", RetryAfter: 30 * time.Second}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Errorf("error (-want +got):\n%s", diff)
		}
		if want := "GET /API/V3/Account.json: 429 Too Many Requests: no more for […], sorry: […]"; err.Error() != want {
			t.Errorf("error = %q, want %q", err, want)
		}
	}
}

// FuzzReadError: nothing that was sent comes back, and what is shown is short
// and printable.
func FuzzReadError(f *testing.F) {
	for _, s := range []string{expired, olderBody, `{"error":"Too Many Requests","message":"m"}`, `{"errors":["a"],"apiSubExceptions":[{"field":"f","message":"m"}]}`, ``, `<html>`} {
		f.Add(401, `Bearer error="invalid_token"`, []byte(s), "Zq81exampleAccess")
	}
	f.Add(400, `error="tok"`, []byte(`{"error":"tok","message":"a tok b","requestId":"tok","apiSubExceptions":[{"field":"tok"}]}`), "tok")
	f.Fuzz(func(t *testing.T, status int, challenge string, body []byte, token string) {
		e := readError(status, challenge, body, token)
		shown := []string{e.Code, e.Message, e.Hint, e.Request}
		for _, x := range e.Fields {
			shown = append(shown, x.Field, x.Message)
		}
		for _, s := range shown {
			if len([]rune(s)) > 200 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("shown: %q", s)
			}
			// What cleaning folds together can spell a token that was never there; one
			// of token characters cannot come of it.
			if len(token) > 2 && strings.Trim(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == "" && strings.Contains(s, token) &&
				strings.Contains(string(body), token) {
				t.Errorf("%q shows the token %q", s, token)
			}
		}
		if len(e.Fields) > mostFieldErrors {
			t.Errorf("%d fields", len(e.Fields))
		}
	})
}
