package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fake is an Evergrant server under /v1 and R-Series' API beside it.
func fake(t *testing.T) {
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	says := func(format string, args ...any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/API") && (r.Header.Get("Authorization") != "Bearer at" || !strings.Contains(r.UserAgent(), "r-customers")) {
				t.Errorf("%s asked with %v", r.RequestURI, r.Header)
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-LS-API-Bucket-Level", "1/90")
			_, _ = fmt.Fprintf(w, format, args...)
		}
	}
	mux.HandleFunc("GET /v1/connections", says(`{"data":[{"ref":"velo@r-series","key":"velo"},{"ref":"lost@r-series","key":"lost"}],"next_cursor":null}`))
	mux.HandleFunc("GET /v1/connections/velo@r-series/token", says(`{"access_token":"at","token_type":"Bearer","expires_in":600,"base_url":%q,"fingerprint":"f"}`, s.URL))
	mux.HandleFunc("GET /v1/connections/lost@r-series/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusConflict)
		_, _ = fmt.Fprint(w, `{"code":"needs_reauthorization","detail":"Lost must connect again"}`)
	})
	mux.HandleFunc("GET /API/V3/Account.json", says(`{"@attributes":{"count":"1"},"Account":{"accountID":"90210","name":"Velo Nord"}}`))
	mux.HandleFunc("GET /API/V3/Account/90210/Customer.json", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") == "" {
			says(`{"@attributes":{"next":"https://api.lightspeedapp.com/API/V3/Account/90210/Customer.json?limit=100&after=WzJd"},"Customer":[{"customerID":"1"},{"customerID":"2"}]}`)(w, r)
			return
		}
		says(`{"@attributes":{"next":""},"Customer":{"customerID":"3"}}`)(w, r)
	})
	t.Setenv("EVERGRANT_SERVER", s.URL)
	t.Setenv("EVERGRANT_API_KEY", "evg_test")
}

func TestEveryCustomerOfEveryBusinessIsListed(t *testing.T) {
	fake(t)
	var out, progress strings.Builder
	err := run(t.Context(), nil, &out, &progress)
	if err == nil || err.Error() != "1 of 2 businesses could not be read to the end" {
		t.Errorf("error = %v", err)
	}
	want := `{"business":"velo","customer":{"customerID":"1"}}
{"business":"velo","customer":{"customerID":"2"}}
{"business":"velo","customer":{"customerID":"3"}}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	for _, s := range []string{"Lost must connect again", "3 customers of 2 businesses"} {
		if !strings.Contains(progress.String(), s) {
			t.Errorf("progress %q does not say %q", progress.String(), s)
		}
	}
}
