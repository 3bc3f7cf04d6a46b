package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fake is an Evergrant server under /v1 and K-Series' API beside it, where two
// users see a location each.
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
	mux.HandleFunc("GET /v1/connections", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("app") != "k-series" || q.Get("state") != "connected,degraded" {
			t.Errorf("asked for %v", q)
		}
		if r.URL.Query().Get("cursor") == "" {
			says(`{"data":[{"ref":"harbour@k-series","key":"harbour"}],"next_cursor":"2"}`)(w, r)
			return
		}
		says(`{"data":[{"ref":"groundhog@k-series","key":"groundhog"}],"next_cursor":null}`)(w, r)
	})
	mux.HandleFunc("GET /v1/connections/harbour@k-series/locations", says(
		`{"locations":[{"id":"1","name":"Quay","grants":["grant_a"]},{"id":"2","name":"Pier","grants":["grant_b"]},{"id":"3","name":"Gone","grants":[]}]}`))
	mux.HandleFunc("GET /v1/connections/groundhog@k-series/locations", says(`{"locations":[{"id":"9","name":"Groundhog","grants":["grant_c"]}]}`))
	mux.HandleFunc("GET /v1/connections/{ref}/token", func(w http.ResponseWriter, r *http.Request) {
		location := r.URL.Query().Get("location")
		says(`{"access_token":"at-%s","token_type":"Bearer","expires_in":600,"base_url":%q,"fingerprint":"f"}`, location, s.URL)(w, r)
	})
	mux.HandleFunc("GET /f/v2/business-location/{bl}/sales", func(w http.ResponseWriter, r *http.Request) {
		bl := r.PathValue("bl")
		if r.Header.Get("Authorization") != "Bearer at-"+bl || !strings.Contains(r.UserAgent(), "k-sales") || r.URL.Query().Get("from") == "" {
			t.Errorf("%s asked with %v", r.RequestURI, r.Header)
		}
		switch {
		case bl == "9":
			says(`{"sales":[{"id":"s9"}],"nextPageToken":"A1.9"}`)(w, r) // for ever
		case r.URL.Query().Get("nextPageToken") == "":
			says(`{"sales":[{"id":"s%[1]s"}],"nextPageToken":"A1.%[1]s"}`, bl)(w, r)
		default:
			says(`{"sales":[{"id":"t%s"}]}`, bl)(w, r)
		}
	})
	t.Setenv("EVERGRANT_SERVER", s.URL)
	t.Setenv("EVERGRANT_API_KEY", "evg_test")
}

func TestEverySaleOfEveryBusinessIsListed(t *testing.T) {
	fake(t)
	var out, progress strings.Builder
	err := run(t.Context(), nil, &out, &progress)
	if err == nil || err.Error() != "1 of 3 locations could not be read to the end" {
		t.Errorf("error = %v", err)
	}
	want := `{"business":"harbour","location":"1","sale":{"id":"s1"}}
{"business":"harbour","location":"1","sale":{"id":"t1"}}
{"business":"harbour","location":"2","sale":{"id":"s2"}}
{"business":"harbour","location":"2","sale":{"id":"t2"}}
{"business":"groundhog","location":"9","sale":{"id":"s9"}}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	for _, s := range []string{"harbour@k-series: nobody who approved sees Gone", "groundhog@k-series, Groundhog: ", "read already", "5 sales of 2 businesses"} {
		if !strings.Contains(progress.String(), s) {
			t.Errorf("progress %q does not say %q", progress.String(), s)
		}
	}
}

func TestCtrlCEndsTheListing(t *testing.T) {
	fake(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := run(ctx, nil, new(strings.Builder), new(strings.Builder)); err == nil {
		t.Error("no error")
	}
}
