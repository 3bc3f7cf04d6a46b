package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fake is an Evergrant server under /v1 and two retailers of X-Series beside it.
func fake(t *testing.T) {
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	says := func(format string, args ...any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, format, args...)
		}
	}
	mux.HandleFunc("GET /v1/connections", says(`{"data":[{"ref":"velo@x-series","key":"velo"},{"ref":"ski@x-series","key":"ski"}],"next_cursor":null}`))
	mux.HandleFunc("GET /v1/connections/{ref}/token", func(w http.ResponseWriter, r *http.Request) {
		key, _, _ := strings.Cut(r.PathValue("ref"), "@")
		says(`{"access_token":"at-%[1]s","token_type":"Bearer","expires_in":600,"base_url":"%[2]s/x/%[1]s","fingerprint":"f"}`, key, s.URL)(w, r)
	})
	mux.HandleFunc("GET /x/{prefix}/api/2.0/products", func(w http.ResponseWriter, r *http.Request) {
		prefix := r.PathValue("prefix")
		if r.Header.Get("Authorization") != "Bearer at-"+prefix || !strings.Contains(r.UserAgent(), "x-products") {
			t.Errorf("%s asked with %v", r.RequestURI, r.Header)
		}
		w.Header().Set("X-RateLimit-Limit", "350")
		w.Header().Set("X-RateLimit-Remaining", "300")
		switch r.URL.Query().Get("after") {
		case "":
			says(`{"data":[{"id":"%s-1","version":7}],"version":{"min":7,"max":7}}`, prefix)(w, r)
		case "7":
			says(`{"data":[{"id":"%s-2","version":9}],"version":{"min":9,"max":9}}`, prefix)(w, r)
		default:
			says(`{"data":[],"version":{"min":null,"max":null}}`)(w, r)
		}
	})
	t.Setenv("EVERGRANT_SERVER", s.URL)
	t.Setenv("EVERGRANT_API_KEY", "evg_test")
}

func TestEveryProductOfEveryBusinessIsListed(t *testing.T) {
	fake(t)
	var out, progress strings.Builder
	if err := run(t.Context(), []string{"--app", "x-series"}, &out, &progress); err != nil {
		t.Error(err)
	}
	want := `{"business":"velo","product":{"id":"velo-1","version":7}}
{"business":"velo","product":{"id":"velo-2","version":9}}
{"business":"ski","product":{"id":"ski-1","version":7}}
{"business":"ski","product":{"id":"ski-2","version":9}}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if !strings.HasSuffix(progress.String(), "4 products of 2 businesses\n") {
		t.Errorf("progress = %q", progress.String())
	}
}
