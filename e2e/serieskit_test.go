package e2e_test

import (
	"fmt"
	"net/url"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/provider/lightspeed"
	"github.com/evergrant/evergrant/sandbox"
)

// series is one of Lightspeed's, as far as the suite has to know what differs.
type series struct {
	app, recipe string
	clientID    string
	scopes      string
	server      string // of R-Series' two; "" for the only one there is

	// Below the simulator's address: what an app that names its endpoints names.
	authorize, token, api string
	// reached is where the tokens of the retailer or account are good.
	reached string

	user      sandbox.User
	locations []seriesLocation
	lists     []sampleList

	life   time.Duration // of an access token
	window string        // before its end, in which it is renewed
	lives  int64         // refreshes after which the suite goes on
}

func (s series) ref() evergrant.Ref { return evergrant.Ref("harbour@" + s.app) }

// seriesLocation is a location as the coverage tells it.
type seriesLocation struct{ id, name, businessID, businessName string }

// sampleList is a list of the sandbox's samples and how many there are in it.
type sampleList struct {
	lightspeed.List
	want int
}

// allSeries are the three of the vendor's, with both generations of K-Series and
// both authorization servers of R-Series. One business is everybody's: three
// locations in K-Series and X-Series, four shops in R-Series' new server of which
// one is archived, and one shop in the old.
func allSeries() []series {
	owner := sandbox.User{Email: "olga@harbour.example", Password: "sandbox", Name: "Olga Haven", Businesses: []sandbox.Business{
		{ID: 310006600000600, Name: "Harbour Group", Currency: "EUR", Locations: []sandbox.Location{
			{ID: 310006600000601, Name: "Quay", Country: "BE", Timezone: "Europe/Brussels"},
			{ID: 310006600000602, Name: "Pier", Country: "BE", Timezone: "Europe/Brussels"},
		}},
		{ID: 310006600000700, Name: "Harbour Hotel", Currency: "EUR", Locations: []sandbox.Location{
			{ID: 310006600000701, Name: "Lounge", Country: "NL", Timezone: "Europe/Amsterdam"},
		}},
	}}
	served := []seriesLocation{
		{"310006600000601", "Quay", "310006600000600", "Harbour Group"},
		{"310006600000602", "Pier", "310006600000600", "Harbour Group"},
		{"310006600000701", "Lounge", "310006600000700", "Harbour Hotel"},
	}
	employee := sandbox.User{Email: "rolf@harbour.example", Password: "sandbox", Name: "Rolf Haven", Account: &sandbox.Account{
		ID: 93001, Name: "Harbour Bikes", Shops: []sandbox.Shop{
			{ID: 1, Name: "Old Town", Timezone: "Europe/Oslo"}, {ID: 2, Name: "Airport", Timezone: "Europe/Oslo"},
			{ID: 3, Name: "Mill", Timezone: "Europe/Oslo", Archived: true}, {ID: 4, Name: "Ferry", Timezone: "Europe/Oslo"},
		},
	}}
	shopkeeper := sandbox.User{Email: "otto@harbour.example", Password: "sandbox", Name: "Otto Haven", Account: &sandbox.Account{
		ID: 93002, Name: "Harbour Kiosk", Shops: []sandbox.Shop{{ID: 1, Name: "Kiosk", Timezone: "Europe/Oslo"}},
	}}
	seller := sandbox.User{Email: "xenia@harbour.example", Password: "sandbox", Name: "Xenia Haven", Retailer: &sandbox.Retailer{
		DomainPrefix: "harbourwear", Name: "Harbour Wear", Currency: "EUR", Country: "BE", Timezone: "Europe/Brussels", Outlets: []sandbox.Outlet{
			{ID: "0b6c1e0a-1111-4000-8000-000000000001", Name: "Dock"}, {ID: "0b6c1e0a-1111-4000-8000-000000000002", Name: "Gone", Deleted: true},
			{ID: "0b6c1e0a-1111-4000-8000-000000000003", Name: "Locks"}, {ID: "0b6c1e0a-1111-4000-8000-000000000004", Name: "Warehouse"},
		},
	}}
	const (
		scopesR = "employee:customers_read, employee:register_read, employee:inventory_read"
		lifeR   = 44 * time.Second
		life    = 24 * time.Second
	)
	return []series{{
		app: "k-series", recipe: "lightspeed-k", clientID: "devp-v2-prod-harbour",
		scopes:    "financial-api, items, staff-api, offline_access",
		authorize: "/k/realms/k-series/protocol/openid-connect/auth", token: "/k/realms/k-series/protocol/openid-connect/token",
		api: "/k", reached: "/k",
		user: owner, locations: served, lists: listsK(served, 2), life: life, window: "6s", lives: 4,
	}, {
		app: "k-series-v1", recipe: "lightspeed-k-v1", clientID: "devp-harbour",
		scopes:    "financial-api, items, staff-api",
		authorize: "/k1/oauth/authorize", token: "/k1/oauth/token", api: "/k1", reached: "/k1",
		user: owner, locations: served, lists: listsK(served, 2), life: life, window: "6s", lives: 4,
	}, {
		app: "r-series", recipe: "lightspeed-r", clientID: "harbour-r", server: "new", scopes: scopesR,
		authorize: "/r/auth/oauth/authorize", token: "/r/auth/oauth/token", api: "/r", reached: "/r",
		user: employee, locations: []seriesLocation{
			{"1", "Old Town", "93001", "Harbour Bikes"}, {"2", "Airport", "93001", "Harbour Bikes"}, {"4", "Ferry", "93001", "Harbour Bikes"},
		},
		lists: listsR("93001", 3, 4), life: lifeR, window: "18s", lives: 3,
	}, {
		// It renews in the last ten seconds and before that answers with the token
		// there is, so the scheduler is made to ask too early.
		app: "r-series-old", recipe: "lightspeed-r", clientID: "harbour-r-old", server: "old", scopes: scopesR,
		authorize: "/r/oauth/authorize.php", token: "/r/oauth/access_token.php", api: "/r", reached: "/r",
		user: shopkeeper, locations: []seriesLocation{{"1", "Kiosk", "93002", "Harbour Kiosk"}},
		lists: listsR("93002", 1, 1), life: lifeR, window: "33s", lives: 4,
	}, {
		app: "x-series", recipe: "lightspeed-x", clientID: "harbour-x",
		scopes:    "'outlets:read', 'retailer:read', 'payment_types:read', 'customers:read', 'products:read', 'sales:read'",
		authorize: "/x/connect", token: "/x/{domain_prefix}/api/1.0/token", api: "/x/{domain_prefix}", reached: "/x/harbourwear",
		user: seller, locations: []seriesLocation{
			{"0b6c1e0a-1111-4000-8000-000000000001", "Dock", "harbourwear", "Harbour Wear"},
			{"0b6c1e0a-1111-4000-8000-000000000003", "Locks", "harbourwear", "Harbour Wear"},
			{"0b6c1e0a-1111-4000-8000-000000000004", "Warehouse", "harbourwear", "Harbour Wear"},
		},
		lists: listsX(), life: life, window: "6s", lives: 4,
	}}
}

// listsK are the sandbox's samples of K-Series: each location sells twice an hour
// from 8 to 22 o'clock, has 130 items, and 25 people work there.
func listsK(locations []seriesLocation, businesses int) []sampleList {
	const from, to, sold = "2025-03-03T00:00:00Z", "2025-03-10T00:00:00Z", 7 * 14 * 2
	week := url.Values{"from": {from}, "to": {to}}
	lists := []sampleList{{lightspeed.List{Path: "/f/data/businesses", Paging: lightspeed.KPages, PageSize: 1}, businesses}}
	for _, l := range locations {
		lists = append(lists,
			sampleList{lightspeed.List{Path: "/f/finance/" + l.id + "/financials/" + from + "/" + to, Paging: lightspeed.KSalesLinks, PageSize: 90}, sold},
			sampleList{lightspeed.List{Path: "/f/v2/business-location/" + l.id + "/sales", Query: week, Paging: lightspeed.KSalesTokens}, sold},
			sampleList{lightspeed.List{Path: "/f/v2/business-location/" + l.id + "/lightspeed-payments", Query: week, Paging: lightspeed.KPayments}, sold},
			sampleList{lightspeed.List{Path: "/items/v1/items", Query: url.Values{"businessLocationId": {l.id}}, Paging: lightspeed.KItems, PageSize: 50}, 130},
			sampleList{lightspeed.List{Path: "/staff/v1/businessLocations/" + l.id + "/userTypes/POS", Paging: lightspeed.KStaff}, 25})
	}
	return lists
}

// listsR are those of an account of R-Series.
func listsR(account string, shops, withArchived int) []sampleList {
	of := func(entity string) string { return "/API/V3/Account/" + account + "/" + entity + ".json" }
	return []sampleList{
		{lightspeed.List{Path: of("Shop"), Paging: lightspeed.RNext}, shops},
		{lightspeed.List{Path: of("Shop"), Query: url.Values{"archived": {"true"}}, Paging: lightspeed.RNext, PageSize: 2}, withArchived},
		{lightspeed.List{Path: of("Customer"), Paging: lightspeed.RNext}, 250},
		{lightspeed.List{Path: of("Customer"), Paging: lightspeed.RNext, PageSize: 83}, 250}, // the last page has one, which is no array
		{lightspeed.List{Path: of("Sale"), Paging: lightspeed.RNext}, 120},
		{lightspeed.List{Path: of("Item"), Paging: lightspeed.RNext}, 25},
	}
}

// listsX are those of a retailer of X-Series. Every eleventh customer and product
// is deleted.
func listsX() []sampleList {
	deleted := url.Values{"deleted": {"true"}}
	var lists []sampleList
	for _, l := range []struct {
		kind      string
		all, gone int
	}{{"outlets", 4, 1}, {"customers", 250, 250 / 11}, {"products", 120, 120 / 11}, {"sales", 180, 0}} {
		path := "/api/2.0/" + l.kind
		lists = append(lists,
			sampleList{lightspeed.List{Path: path, Paging: lightspeed.XVersions}, l.all - l.gone},
			sampleList{lightspeed.List{Path: path, Query: deleted, Paging: lightspeed.XVersions, PageSize: 50}, l.all})
	}
	return lists
}

// atSandbox is the configuration of the series' app where the environment says it
// all.
func (s series) atSandbox() string {
	return s.configured("    environment: sandbox\n")
}

// atEndpoints is that of an app of production whose endpoints are elsewhere.
func (s series) atEndpoints(simulator string) string {
	return s.configured(fmt.Sprintf("    endpoints: {authorize: '%[1]s%[2]s', token: '%[1]s%[3]s', api: '%[1]s%[4]s'}\n",
		simulator, s.authorize, s.token, s.api))
}

func (s series) configured(where string) string {
	return fmt.Sprintf(`  %s:
    provider: %s
%s    client_id: %s
    client_secret: {file: secrets/client-secret}
    scopes: [%s]
    refresh: {window: %s, min_interval: 1s}
`, s.app, s.recipe, where, s.clientID, s.scopes, s.window)
}
