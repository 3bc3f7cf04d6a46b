package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

// FuzzRequest sends whatever there is to the handler. Property: never a 500;
// every error is a well-formed problem, every other answer of /v1 JSON; never a
// redirect; and whatever fails names a client's fault only.
func FuzzRequest(f *testing.F) {
	const conn = "/v1/connections/biz_1@k-series"
	for _, s := range [][4]string{
		{"GET", conn + "/token", "min_valid=5m&location=3", ""},
		{"POST", conn + "/token/reject", "", `{"fingerprint":"9f3a1c"}`},
		{"GET", "/v1/connections", "app=k-series&state=connected,pending&act_by=merchant&q=a&tag.x=y&deadline_before=2026-01-01T00:00:00Z&limit=5&cursor=x", ""},
		{"POST", "/v1/connections", "", `{"ref":"b@k-series","name":"n","tags":{"a":"b"},"required_locations":["1"],"tokens":{"access_token":"a","expires_in":5}}`},
		{"PATCH", conn, "", `{"name":null,"tags":null,"required_locations":null}`},
		{"DELETE", "/v1/connections/x@k-series", "", ""},
		{"GET", conn + "/grants", "", ""},
		{"GET", conn + "/locations", "", ""},
		{"GET", conn + "/events", "type=connection.*&order=desc&after=evt_1", ""},
		{"GET", "/v1/events", "after=evt_0&type=a,b&ref=conn_1&limit=1000", ""},
		{"GET", "/v1/grants/grant_1", "", ""},
		{"POST", "/v1/links", "", `{"ref":"b@k-series","ttl":"7d","expect":{"business_id":"1"},"landing":false,"locations":["1"],"purpose":"add_grant"}`},
		{"GET", "/v1/links", "ref=b@k-series&state=expired", ""},
		{"GET", "/v1/links/link_1", "", ""},
		{"POST", "/v1/links/link_1/revoke", "", ""},
		{"GET", "/v1/apps/k-series", "", ""},
		{"POST", "/v1/keys", "", `{"name":"n","scopes":["tokens"],"apps":["k-series"],"businesses":["b"],"expires_at":"2099-01-01T00:00:00Z"}`},
		{"DELETE", "/v1/keys/key_1", "", ""},
		{"GET", "/v1/connections/%2e%2e/token", "", ""},
		{"GET", "//", ";", ""},
		{"OPTIONS", "*", "", ""},
		{"CONNECT", "/v1/meta", "%zz", ""},
		{"GET", "/readyz", "verbose", ""},
		{"GET", "/docs", "", ""},
		{"GET", "/docs/style.css/", "x=y", ""},
		{"PUT", "/proxy/biz_1@k-series/a/%2e%2e/b", "evergrant_location=3", "x"},
		{"GET", "/proxy/biz_1@k-series//a;b", "", ""},
		{"PURGE", "/v1/forward-auth/biz_1@k-series/x//y", "location=3", ""},
		{"GET", "/v1/forward-auth/biz_1@k-series", "min_valid=1m", ""},
		{"POST", "/oauth/token", "", "grant_type=client_credentials&client_id=biz_1@k-series"},
		{"POST", "/v1/connections", "", "{\"ref\":\"\x00\xff@k-series\",\"tokens\":null}"},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	k := apitest.New(f, apitest.Options{API: "http://127.0.0.1:1"}) // nobody listens there
	k.Adopt("biz_1", "k-series")
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		if strings.Contains(query, "wait") || path == "/metrics" || path == "/v1/openapi.json" {
			return // one waits, the others are tested elsewhere
		}
		u := &url.URL{RawQuery: query}
		if u.Path, u.RawPath = path, path; !strings.HasPrefix(path, "/") {
			return // the server's own parser lets no such request through
		}
		if p, err := url.PathUnescape(path); err == nil {
			u.Path = p
		} else {
			u.RawPath = ""
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{"Authorization": {"Bearer " + admin}}, Host: "x", RequestURI: path}
		r = r.WithContext(t.Context())
		r.Body = http.NoBody
		if body != "" {
			r.Body = readCloser{strings.NewReader(body)}
		}
		w := httptest.NewRecorder()
		k.Handler.ServeHTTP(w, r)
		a := apitest.Answer{Status: w.Code, Header: w.Result().Header, Body: w.Body.String()}
		switch {
		case strings.HasPrefix(path, "/oauth/") && method == http.MethodPost && a.Status < 500:
			if a.Status != http.StatusOK && a.Status != http.StatusNotFound && a.JSON(t)["error"] == "" {
				t.Fatalf("%s: %s", body, a.Body)
			}
		case a.Status >= 400:
			checkProblem(t, a, a.JSON(t))
			if a.Status >= 500 && a.Status != http.StatusServiceUnavailable && !(a.Status == http.StatusBadGateway && strings.HasPrefix(path, "/proxy/")) {
				t.Fatalf("%s %s?%s %q: %s", method, path, query, body, a.Body)
			}
		case a.Status >= 300:
			t.Fatalf("%s %s redirects to %s", method, path, a.Header.Get("Location"))
		case a.Status != http.StatusNoContent && strings.HasPrefix(path, "/v1/") && !strings.HasPrefix(path, "/v1/forward-auth/") && !json.Valid(w.Body.Bytes()):
			t.Fatalf("%s %s: not JSON: %q", method, path, a.Body)
		}
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
