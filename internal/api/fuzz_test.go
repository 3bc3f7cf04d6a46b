package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
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
		{"POST", conn + "/verify", "", "{}"},
		{"POST", conn + "/locations/refresh", "", ""},
		{"POST", "/v1/connections/import", "", "{\"ref\":\"b@k-series\"}\n\n{"},
		{"POST", "/v1/webhooks", "", `{"url":"https://x.example/","types":["*"],"apps":[],"businesses":[""]}`},
		{"PATCH", "/v1/webhooks/wh_1", "", `{"after":"evt_1","enabled":null}`},
		{"GET", "/v1/webhooks/wh_1/deliveries", "cursor=-1", ""},
		{"POST", "/v1/dashboard/logins", "", `{"role":"owner"}`},
		{"GET", "/v1/runway", "app=", ""},
		{"GET", "/.well-known/oauth-authorization-server", "", ""},
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
		graceful(t, r, apitest.Answer{Status: w.Code, Header: w.Result().Header, Body: w.Body.String()})
	})
}

// graceful fails the test unless an answer is one that a client of the API can
// read, and blames nobody but the client.
func graceful(t *testing.T, r *http.Request, a apitest.Answer) {
	t.Helper()
	path := r.URL.EscapedPath()
	switch {
	case strings.HasPrefix(path, "/oauth/") && r.Method == http.MethodPost && a.Status < 500:
		if a.Status != http.StatusOK && a.Status != http.StatusNotFound && a.JSON(t)["error"] == "" {
			t.Fatalf("%s %s: %s", r.Method, r.URL, a.Body)
		}
	case a.Status >= 400:
		checkProblem(t, a, a.JSON(t))
		if a.Status >= 500 && a.Status != http.StatusServiceUnavailable && !(a.Status == http.StatusBadGateway && strings.HasPrefix(path, "/proxy/")) {
			t.Fatalf("%s %s: %s", r.Method, r.URL, a.Body)
		}
	case a.Status == http.StatusNotModified && r.Header.Get("If-None-Match") != "":
	case a.Status >= 300:
		t.Fatalf("%s %s redirects to %s", r.Method, r.URL, a.Header.Get("Location"))
	case a.Header.Get("Content-Type") == "application/x-ndjson":
		for line := range strings.Lines(a.Body) {
			if !json.Valid([]byte(line)) {
				t.Fatalf("%s %s: not JSON: %q", r.Method, r.URL, line)
			}
		}
	case a.Status != http.StatusNoContent && strings.HasPrefix(path, "/v1/") && !strings.HasPrefix(path, "/v1/forward-auth/") &&
		a.Header.Get("Content-Encoding") == "" && r.Method != http.MethodHead && !json.Valid([]byte(a.Body)):
		t.Fatalf("%s %s: not JSON: %q", r.Method, r.URL, a.Body)
	}
}

// FuzzEveryRoute sends malformed requests to each operation of the OpenAPI
// document, with something in place of what its path names, and a header. The
// properties are those of [FuzzRequest].
func FuzzEveryRoute(f *testing.F) {
	k := apitest.New(f, apitest.Options{API: "http://127.0.0.1:1"}) // nobody listens there
	operations := slices.Sorted(maps.Keys(readDocument(f, k).operations))
	headers := [][2]string{{"Idempotency-Key", "k"}, {"If-Match", `"x", W/"y"`}, {"If-None-Match", "*"}, {"Accept-Encoding", "gzip;q=0.5"}, {"Content-Type", "text/plain"},
		{"Content-Length", "-1"}, {"Authorization", "Basic x"}, {"Authorization", "Bearer"}, {"Request-Id", "\x00"}, {"Traceparent", "00-0-0-0"}, {"Evergrant-Location", "1"},
		{"Transfer-Encoding", "chunked"}, {"X-Forwarded-Uri", "/?a"}, {"Range", "bytes=0-0"}, {"Expect", "100-continue"}}
	names := []string{"biz_1@k-series", "conn_0", "%2e%2e", "a@", "", "é", "evt_00000000000000000000000000", strings.Repeat("x", 300)}
	bodies := []string{"", "{}", `{"ref":null}`, "[", "\xff", `{"name":{"a":[1e999]}}`, "grant_type=client_credentials&grant_type=x", "{}\n{}\n"}
	for i := range operations {
		h := headers[i%len(headers)]
		f.Add(uint(i), names[i%len(names)], "limit=-1&cursor=%00&x", h[0], h[1], bodies[i%len(bodies)])
	}
	k.Adopt("biz_1", "k-series")
	f.Fuzz(func(t *testing.T, n uint, named, query, name, value, body string) {
		operation := operations[n%uint(len(operations))]
		method, path, _ := strings.Cut(operation, " ")
		if strings.Contains(query, "wait") || strings.Contains(value, "100-continue") {
			return
		}
		escaped := url.PathEscape(named)
		path = strings.NewReplacer("{ref}", escaped, "{id}", escaped, "{app}", escaped, "{path}", escaped).Replace(path)
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return // the server's own parser lets no such request through
		}
		u.RawQuery = query
		r := (&http.Request{Method: method, URL: u, Header: http.Header{"Authorization": {"Bearer " + admin}}, Host: "x", RequestURI: path, Body: http.NoBody}).WithContext(t.Context())
		if body != "" {
			r.Body = readCloser{strings.NewReader(body)}
		}
		if name != "" {
			r.Header[http.CanonicalHeaderKey(name)] = []string{value}
		}
		w := httptest.NewRecorder()
		k.Handler.ServeHTTP(w, r)
		graceful(t, r, apitest.Answer{Status: w.Code, Header: w.Result().Header, Body: w.Body.String()})
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
