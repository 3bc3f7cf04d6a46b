package lightspeed

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// api serves answers by request URI and returns a way to it.
func api(t *testing.T, scope string, handler http.HandlerFunc) provider.API {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	sender := oauth.NewSender(oauth.SenderConfig{})
	t.Cleanup(sender.Close)
	base := s.URL + "/k"
	return provider.API{Client: sender.APIClient(secret.New("at"), "Bearer", base), Base: base, Scope: scope}
}

const harbour = `{"_embedded":{"businessList":[
  {"businessName":"Harbour Group","businessId":310004455667788,"currencyCode":"EUR",
   "businessLocations":[{"blName":"Quay Bar","blID":310004455667789,"country":"BE","timezone":"Europe/Brussels"},
                        {"blName":"Pier","blID":9007199254740993}]}]},
 "_links":{"self":{"href":"https://api.ikentoo.com/data/businesses"}}}`

func TestFinancialScopeListsBusinesses(t *testing.T) {
	var seen []string
	a := api(t, "profile financial-api email", func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.RequestURI)
		if r.Header.Get("Authorization") != "Bearer at" {
			t.Errorf("Authorization = %q", r.Header.Get("Authorization"))
		}
		_, _ = fmt.Fprint(w, harbour)
	})
	got, err := discover(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	want := provider.Reach{
		Name: "Harbour Group", Businesses: []string{"310004455667788"},
		Locations: []grant.Location{
			{ID: "310004455667789", Name: "Quay Bar", BusinessID: "310004455667788", BusinessName: "Harbour Group"},
			{ID: "9007199254740993", Name: "Pier", BusinessID: "310004455667788", BusinessName: "Harbour Group"}, // more than a float64 can tell
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reach (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/k/f/data/businesses?page=0&size=1000"}, seen); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestOrdersScopeListsBusinessesFromItsOwnCall(t *testing.T) {
	a := api(t, "orders-api", func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "/k/o/op/data/businesses" {
			t.Errorf("asked %s", r.RequestURI)
		}
		_, _ = fmt.Fprint(w, `[{"name":"Café Nord","id":310001000000100,"businessLocations":[{"id":310001000000101,"name":"Nord"}]}]`)
	})
	got, err := discover(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Locations) != 1 || got.Locations[0].ID != "310001000000101" || !slices.Equal(got.Businesses, []string{"310001000000100"}) {
		t.Errorf("reach = %+v", got)
	}
}

func TestOtherScopesHaveNoDiscovery(t *testing.T) {
	for _, scope := range []string{"", "items offline_access", "financial-apis"} {
		if _, err := discover(t.Context(), provider.API{Scope: scope}); !errors.Is(err, provider.ErrNoDiscovery) {
			t.Errorf("%q: %v", scope, err)
		}
	}
}

// pageOf writes n businesses beginning at first.
func pageOf(first, n int, links string) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"businessId":%d,"businessName":"B","businessLocations":[{"blID":%d,"blName":"L"}]}`, first+i, 1_000_000+first+i))
	}
	return fmt.Sprintf(`{"_embedded":{"businessList":[%s]},"_links":{%s}}`, strings.Join(list, ","), links)
}

func TestPagesAreReadUntilTheLast(t *testing.T) {
	const next = `"next":{"href":"https://api.ikentoo.com/steal?page=1"}`
	tests := []struct {
		name  string
		pages []string // served in turn, the last one for ever
		asked int
		want  int // businesses
	}{
		{"a short page is the last", []string{pageOf(0, 1000, ""), pageOf(1000, 5, "")}, 2, 1005},
		{"an empty page is the last", []string{pageOf(0, 1000, ""), `{}`}, 2, 1000},
		{"a short page that names a next one is not the last", []string{pageOf(0, 10, next), pageOf(10, 10, "")}, 2, 20},
		{"a page that repeats is the last", []string{pageOf(0, 1000, next)}, 2, 1000},
		{"no business at all", []string{`{"_embedded":{}}`}, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			a := api(t, "financial-api", func(w http.ResponseWriter, r *http.Request) {
				if want := fmt.Sprintf("/k/f/data/businesses?page=%d&size=1000", asked); r.RequestURI != want {
					t.Errorf("asked %s, want %s", r.RequestURI, want)
				}
				_, _ = fmt.Fprint(w, tt.pages[min(asked, len(tt.pages)-1)])
				asked++
			})
			got, err := discover(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Businesses) != tt.want || len(got.Locations) != tt.want || asked != tt.asked {
				t.Errorf("%d businesses, %d locations after %d pages; want %d after %d", len(got.Businesses), len(got.Locations), asked, tt.want, tt.asked)
			}
		})
	}
}

func TestErrorsQuoteNoBody(t *testing.T) {
	const canary = "c4nary-secret"
	tests := map[string]http.HandlerFunc{
		"401": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, canary, http.StatusUnauthorized) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/"+canary, http.StatusFound)
		},
		"a web page":   func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>"+canary) },
		"no JSON":      func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"`+canary) },
		"a bare array": func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `["`+canary+`"]`) },
		"a huge body": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `{"`+strings.Repeat(canary, 1<<20)+`":1}`)
		},
		"endless pages": func(w http.ResponseWriter, r *http.Request) {
			var page int
			_, _ = fmt.Sscanf(r.URL.Query().Get("page"), "%d", &page)
			_, _ = fmt.Fprint(w, pageOf(page*10, 10, `"next":{}`))
		},
	}
	for name, h := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := discover(t.Context(), api(t, "financial-api", h))
			if err == nil || strings.Contains(err.Error(), canary) {
				t.Errorf("error = %v", err)
			}
		})
	}
}

func TestReservationScopeListsLocationsFromItsOwnCall(t *testing.T) {
	// The shape is https://api-docs.lsk.lightspeed.app's, Reservations for Platforms.
	const page = `[{"businessLocationId":"123456789","city":"Genève","country":"CH","name":"Le Gâteau"},{"businessLocationId":123456790,"name":"Quai"},{"name":"?"}]`
	var seen []string
	a := api(t, "reservations-api reservation-acme offline_access", func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.RequestURI)
		_, _ = fmt.Fprint(w, page)
	})
	got, err := discover(t.Context(), a)
	want := provider.Reach{Locations: []grant.Location{{ID: "123456789", Name: "Le Gâteau"}, {ID: "123456790", Name: "Quai"}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("reach: %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]string{"/k/reservation/api/1/user/platform/acme/business-locations?page=0&size=1000"}, seen); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}

	none := api(t, "reservation-acme", func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) })
	if got, err := discover(t.Context(), none); err != nil || len(got.Locations) > 0 {
		t.Errorf("without any: %+v, %v", got, err)
	}
	for _, scope := range []string{"reservation-", "reservation-../x", "reservation-a/b"} {
		if _, err := discover(t.Context(), provider.API{Scope: scope}); !errors.Is(err, provider.ErrNoDiscovery) {
			t.Errorf("%q: %v", scope, err)
		}
	}
}

func TestACallThatTheUserMayNotMakeLeavesItToTheNext(t *testing.T) {
	status := http.StatusForbidden
	a := api(t, "financial-api orders-api", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/k/f/data/businesses" {
			w.WriteHeader(status)
			return
		}
		_, _ = fmt.Fprint(w, `[{"name":"Nord","id":1,"businessLocations":[{"id":2,"name":"Nord"}]}]`)
	})
	if got, err := discover(t.Context(), a); err != nil || len(got.Locations) != 1 {
		t.Errorf("reach %+v, %v", got, err)
	}
	status = http.StatusInternalServerError // tells nothing about what the user may
	if _, err := discover(t.Context(), a); err == nil {
		t.Error("a failure was taken for a missing right")
	}
}

func FuzzDecodeReservations(f *testing.F) {
	for _, s := range []string{`[{"businessLocationId":"123456789","name":"Le Gâteau"}]`, `[]`, `[{}]`, `{}`, `[{"businessLocationId":1e9}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		ls, err := decodeReservations(body)
		if err == nil {
			fit(t, []business{{id: "1", locations: ls}})
		}
	})
}
