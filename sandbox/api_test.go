package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/sandbox"
)

const (
	quayBar   = "310004455667789"
	pierCafe  = "310004455667791"
	groundhog = "310009900000902"
	owner     = "olivia@harbour-group.example"
	manager   = "marc@harbour-group.example"
)

func TestBusinessesAreWhatTheUserSees(t *testing.T) {
	for _, series := range []func(*testing.T, sandbox.Config) *bench{start, startV1} {
		b := series(t, sandbox.Config{})
		for email, want := range map[string]string{
			owner:                       `"blID":310004455667789 "blID":310004455667790 "blID":310004455667791`,
			manager:                     `"blID":310004455667789`,
			"noah@cafe-nowhere.example": ``,
		} {
			a := b.get("/f/data/businesses", b.connect(email).Access)
			if got := grep(a.Raw, `"blID":`, 23-2); got != want {
				t.Errorf("%s sees %s, want %s", email, got, want)
			}
		}
	}
}

// grep lists the n-byte pieces of text that begin with mark.
func grep(text, mark string, n int) string {
	var out []string
	for {
		i := strings.Index(text, mark)
		if i < 0 {
			return strings.Join(out, " ")
		}
		out = append(out, text[i:i+n+1])
		text = text[i+n:]
	}
}

func TestBusinessesAnswerInTheVendorsShape(t *testing.T) {
	b := start(t, sandbox.Config{})
	a := b.get("/f/data/businesses", b.connect(manager).Access)
	want := `{"_embedded":{"businessList":[{"businessId":310004455667788,"businessLocations":[{"blID":310004455667789,"blName":"Quay Bar","country":"BE","timezone":"Europe/Brussels"}],"businessName":"Harbour Group","currencyCode":"EUR"}]},"_links":{"self":{"href":"https://api.ikentoo.com/data/businesses"}},"page":{"number":0,"size":1000,"totalElements":1,"totalPages":1}}`
	if diff := cmp.Diff(want, strings.TrimSpace(a.Raw)); diff != "" {
		t.Errorf("businesses (-want +got):\n%s", diff)
	}
	a = b.get("/o/op/data/businesses", b.connect(manager, "scope", "orders-api").Access)
	want = `[{"businessLocations":[{"id":310004455667789,"name":"Quay Bar"}],"id":310004455667788,"name":"Harbour Group"}]`
	if diff := cmp.Diff(want, strings.TrimSpace(a.Raw)); diff != "" {
		t.Errorf("short businesses (-want +got):\n%s", diff)
	}
}

func TestBusinessesPageFromZero(t *testing.T) {
	b := start(t, sandbox.Config{})
	access := b.connect("tess@cafe-twins.example").Access
	var names []string
	for page := range 3 {
		a := b.get("/f/data/businesses?size=1&page="+strconv.Itoa(page), access)
		if next := strings.Contains(a.Raw, `"next":{"href":"https://api.ikentoo.com/`); next != (page == 0) {
			t.Errorf("page %d has next = %t", page, next)
		}
		names = append(names, grep(a.Raw, `"businessName":"Café Twins `, 31))
	}
	if want := []string{`"businessName":"Café Twins East`, `"businessName":"Café Twins West`, ""}; !cmp.Equal(names, want) {
		t.Errorf("pages = %q, want %q", names, want)
	}
	for _, bad := range []string{"size=0", "size=1001", "page=-1", "page=x"} {
		if a := b.get("/f/data/businesses?"+bad, access); a.Status != http.StatusBadRequest {
			t.Errorf("%s answered %d", bad, a.Status)
		}
	}
}

func TestCoverageMovesWithTheUser(t *testing.T) {
	b := start(t, sandbox.Config{})
	access := b.connect(manager).Access
	if a := b.get(salesPath(pierCafe, ""), access); a.Status != http.StatusForbidden {
		t.Errorf("a location the user does not see answered %d %s", a.Status, a.Raw)
	}
	for _, u := range sandbox.DemoUsers() {
		if u.Email == owner {
			u.Email = manager
			b.sb.AddUser(u)
		}
	}
	if a := b.get(salesPath(pierCafe, ""), access); a.Status != http.StatusOK {
		t.Errorf("under the same token the new location answered %d %s", a.Status, a.Raw)
	}
}

func TestAPIErrors(t *testing.T) {
	b := start(t, sandbox.Config{})
	full := b.connect(manager)
	narrow := b.connect(manager, "scope", "items")
	v1 := startV1(t, sandbox.Config{})
	foreign := v1.connect(manager).Access
	for name, c := range map[string]struct {
		path, token string
		status      int
		want        string
	}{
		"no token":                    {"/f/data/businesses", "", 401, `"error":"unauthorized"`},
		"an unknown token":            {"/f/data/businesses", foreign, 401, `"error":"invalid_token"`},
		"a refresh token":             {"/f/data/businesses", full.Refresh, 401, `"error":"invalid_token"`},
		"a scope missing":             {"/f/data/businesses", narrow.Access, 403, `"message":"Access Denied"`},
		"a location not seen":         {salesPath(pierCafe, ""), full.Access, 403, `"message":"Access token not relevant for the businessLocation, use authorization-code"`},
		"a location that is none":     {salesPath("x", ""), full.Access, 403, `not relevant`},
		"a path that is none":         {"/f/data/nothing", full.Access, 404, `"path":"/k/f/data/nothing"`},
		"sales without from":          {"/f/v2/business-location/" + quayBar + "/sales", full.Access, 400, `"error":"from `},
		"sales over more than a year": {salesPath(quayBar, "to=2027-11-30T00:00:00Z"), full.Access, 400, `"error":"to `},
		"a page that is too big":      {salesPath(quayBar, "pageSize=101"), full.Access, 400, `"error":"pageSize `},
		"a page token of another location": {salesPath(quayBar, "nextPageToken=A998000.1"), full.Access, 400,
			`"error":"nextPageToken `},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.get(c.path, c.token)
			if a.Status != c.status || !strings.Contains(a.Raw, c.want) {
				t.Errorf("answered %d %s", a.Status, a.Raw)
			}
			if c.status == 401 && !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("WWW-Authenticate = %q", a.Header.Get("WWW-Authenticate"))
			}
		})
	}
}

func salesPath(location, query string) string {
	return "/f/v2/business-location/" + location + "/sales?from=2026-11-20T00:00:00Z&" + query
}

type salesPage struct {
	Sales []struct {
		ID               string
		AccountReference string
	}
	NextPageToken string
	Links         struct {
		NextPage struct{ Href string }
	} `json:"_links"`
}

func readSales(t *testing.T, a answered) salesPage {
	t.Helper()
	var p salesPage
	if err := json.Unmarshal([]byte(a.Raw), &p); err != nil || a.Status != http.StatusOK {
		t.Fatalf("answered %d %s: %v", a.Status, a.Raw, err)
	}
	return p
}

func TestSalesV2PagesByToken(t *testing.T) {
	b := start(t, sandbox.Config{})
	access := b.connect(manager).Access
	whole := readSales(t, b.get(salesPath(quayBar, "to=2026-11-21T00:00:00Z"), access))
	if n := len(whole.Sales); n < 20 || n > 30 || whole.NextPageToken != "" {
		t.Fatalf("a day has %d sales, next %q", n, whole.NextPageToken)
	}
	var paged salesPage
	token, pages := "", 0
	for {
		p := readSales(t, b.get(salesPath(quayBar, "to=2026-11-21T00:00:00Z&pageSize=10&nextPageToken="+url.QueryEscape(token)), access))
		paged.Sales = append(paged.Sales, p.Sales...)
		pages++
		if token = p.NextPageToken; token == "" {
			break
		}
	}
	if diff := cmp.Diff(whole.Sales, paged.Sales); diff != "" || pages != 3 {
		t.Errorf("%d pages (-whole +paged):\n%s", pages, diff)
	}
	future := readSales(t, b.get(salesPath(quayBar, "from=2026-11-21T00:00:00Z"), access))
	if n := len(future.Sales); n == 0 || n > 50 {
		t.Errorf("open-ended sales are %d", n)
	}
}

func TestSalesV1PagesByALinkToAnotherHost(t *testing.T) {
	b := start(t, sandbox.Config{})
	access := b.connect(manager).Access
	path := "/f/finance/" + quayBar + "/financials/2026-11-20T00:00:00Z/2026-11-21T00:00:00Z"
	seen := map[string]bool{}
	next := ""
	for pages := 1; ; pages++ {
		p := readSales(t, b.get(path+"?pageSize=10"+next, access))
		for _, s := range p.Sales {
			if seen[s.AccountReference] {
				t.Errorf("%s comes twice", s.AccountReference)
			}
			seen[s.AccountReference] = true
		}
		if p.Links.NextPage.Href == "" {
			if pages != 3 {
				t.Errorf("%d pages, want 3", pages)
			}
			break
		}
		link, err := url.Parse(p.Links.NextPage.Href)
		if err != nil || link.Host != "api.ikentoo.com" {
			t.Fatalf("next page = %s, %v", p.Links.NextPage.Href, err)
		}
		next = "&nextPageToken=" + url.QueryEscape(link.Query().Get("nextPageToken"))
	}
	if len(seen) < 20 {
		t.Errorf("a day has %d sales", len(seen))
	}
}

func TestGroundhogsPageTokenNeverEnds(t *testing.T) {
	b := start(t, sandbox.Config{})
	access := b.connect("phil@cafe-groundhog.example").Access
	first := readSales(t, b.get(salesPath(groundhog, "pageSize=5"), access))
	second := readSales(t, b.get(salesPath(groundhog, "pageSize=5&nextPageToken="+first.NextPageToken), access))
	if first.NextPageToken == "" || first.NextPageToken != second.NextPageToken {
		t.Errorf("tokens = %q, %q, want the same", first.NextPageToken, second.NextPageToken)
	}
}

func TestDemoUsersAreSane(t *testing.T) {
	businesses := map[int64]string{}
	for _, u := range sandbox.DemoUsers() {
		if u.Password != "sandbox" || !strings.HasSuffix(u.Email, ".example") {
			t.Errorf("%s has another password or a real domain", u.Email)
		}
		for _, b := range u.Businesses {
			if name, ok := businesses[b.ID]; ok && name != b.Name {
				t.Errorf("%s and %s have the same id", name, b.Name)
			}
			businesses[b.ID] = b.Name
			for _, l := range b.Locations {
				if len(strconv.FormatInt(l.ID, 10)) != 15 {
					t.Errorf("%s has an id of another length", l.Name)
				}
			}
		}
	}
}
