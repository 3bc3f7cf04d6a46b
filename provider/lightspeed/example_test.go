package lightspeed_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/evergrant/evergrant/provider/lightspeed"
)

// apiOf stands for an account's API, which pages as the vendor does, and for the
// client of evergrant.NewHTTPClient.
func apiOf(handler http.HandlerFunc) (lightspeed.API, func()) {
	s := httptest.NewServer(handler)
	return lightspeed.API{Client: s.Client(), Base: s.URL, UserAgent: "acme-loyalty/1.4"}, s.Close
}

// Every sale of a K-Series location. Its links and tokens are followed as long as
// there are more.
func ExampleAll() {
	api, end := apiOf(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("nextPageToken") == "" {
			_, _ = fmt.Fprint(w, `{"sales":[{"id":"A1","total":"3.50"},{"id":"A2","total":"12.00"}],"nextPageToken":"A3.7"}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"sales":[{"id":"A3","total":"7.25"}]}`)
	})
	defer end()

	type sale struct{ ID, Total string }
	sales := lightspeed.List{
		Path:   "/f/v2/business-location/310004455667789/sales",
		Query:  url.Values{"from": {"2026-11-01T00:00:00Z"}},
		Paging: lightspeed.KSalesTokens,
	}
	for s, err := range lightspeed.All[sale](context.Background(), api, sales) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(s.ID, s.Total)
	}
	// Output:
	// A1 3.50
	// A2 12.00
	// A3 7.25
}

// Every customer of an R-Series account. All of its scalars are text, and a page
// with one customer is no array.
func ExampleAll_rSeries() {
	api, end := apiOf(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") == "" {
			_, _ = fmt.Fprint(w, `{"@attributes":{"next":"https://api.lightspeedapp.com/API/V3/Account/90210/Customer.json?after=WzJd"},
				"Customer":[{"customerID":"1","firstName":"Ada"},{"customerID":"2","firstName":"Bo"}]}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"@attributes":{"next":""},"Customer":{"customerID":"3","firstName":"Cy"}}`)
	})
	defer end()

	type customer struct {
		ID   string `json:"customerID"`
		Name string `json:"firstName"`
	}
	for c, err := range lightspeed.All[customer](context.Background(), api, lightspeed.List{
		Path: "/API/V3/Account/90210/Customer.json", Paging: lightspeed.RNext,
	}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(c.ID, c.Name)
	}
	// Output:
	// 1 Ada
	// 2 Bo
	// 3 Cy
}

// What changed in X-Series since the last time: begin after the highest version
// seen.
func ExampleAll_changes() {
	api, end := apiOf(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") == "5120044" {
			_, _ = fmt.Fprint(w, `{"data":[{"name":"Bell","version":5120045}],"version":{"min":5120045,"max":5120045}}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"data":[],"version":{"min":null,"max":null}}`)
	})
	defer end()

	type product struct {
		Name    string
		Version int64
	}
	seen := int64(5120044)
	for p, err := range lightspeed.All[product](context.Background(), api, lightspeed.List{
		Path: "/api/2.0/products", Query: url.Values{"after": {fmt.Sprint(seen)}, "deleted": {"true"}}, Paging: lightspeed.XVersions,
	}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(p.Name)
		seen = p.Version
	}
	fmt.Println("seen", seen)
	// Output:
	// Bell
	// seen 5120045
}

// What an API says when it refuses.
func ExampleError() {
	api, end := apiOf(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `{"status":403,"error":"Forbidden","message":"Access token not relevant for the businessLocation, use authorization-code"}`)
	})
	defer end()

	var answer any
	err := api.Get(context.Background(), "/f/v2/business-location/1/sales", nil, &answer)
	var e *lightspeed.Error
	if errors.As(err, &e) && e.Status == http.StatusForbidden {
		fmt.Println(e.Message)
	}
	// Output: Access token not relevant for the businessLocation, use authorization-code
}

// One limiter for all clients of an account.
func ExampleLimiter() {
	asked := 0
	api, end := apiOf(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("X-LS-API-Bucket-Level", fmt.Sprintf("%d/90", asked))
		w.Header().Set("X-LS-API-Drip-Rate", "1")
		_, _ = fmt.Fprint(w, `{"Account":{"accountID":"90210"}}`)
	})
	defer end()

	limiter := lightspeed.NewLimiter()
	api.Client.Transport = limiter.Transport(api.Client.Transport)
	var whose struct {
		Account struct {
			ID string `json:"accountID"`
		}
	}
	if err := api.Get(context.Background(), "/API/V3/Account.json", nil, &whose); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(whose.Account.ID)
	// Output: 90210
}
