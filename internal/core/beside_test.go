package core

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// TestTheAPIGetsItsPathsAsTheyCame: what is no page of the dashboard is the API's,
// and nothing before it redirects or cleans.
func TestTheAPIGetsItsPathsAsTheyCame(t *testing.T) {
	t.Parallel()
	named := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, name+" "+r.URL.EscapedPath()) })
	}
	h := beside(named("api"), named("pages"), named("login"))
	for path, want := range map[string]string{
		"/":                              "pages",
		"/connections":                   "pages",
		"/connections/biz_42@k-series":   "pages",
		"/assets/dashboard.css":          "pages",
		"/login":                         "login",
		"/login/link/x":                  "login",
		"/logout":                        "login",
		"/loginx":                        "api",
		"/Login":                         "api",
		"/%6cogin":                       "api",
		"/v1/connections":                "api",
		"/v1//connections/../x":          "api",
		"/proxy/biz_42@k-series/a//b/./": "api",
		"//connections":                  "api",
		"//evil.example/":                "api",
		"/v1/../login":                   "api",
		"/metrics":                       "api",
		"/nothing":                       "api",
	} {
		r := httptest.NewRequest("GET", "https://dashboard.example/", nil)
		plain, err := url.PathUnescape(path)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.URL.RawPath = plain, path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Body.String(); w.Code != 200 || got != want+" "+path {
			t.Errorf("%s: %d %s, want the %s", path, w.Code, got, want)
		}
	}
}
