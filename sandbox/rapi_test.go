package sandbox_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/sandbox"
)

func TestShopsOfRAreAnArrayAnObjectOrAbsent(t *testing.T) {
	b := startR(t, sandbox.Config{})
	for email, want := range map[string]struct{ path, content string }{
		ingrid:                     {"/V3/Account/90210/Shop.json", `"Shop":[{"archived":"false"`},
		jonas:                      {"/V3/Account/90210/Shop.json", `"Shop":{"archived":"false"`},
		"pedro@pedal-shop.example": {"/V3/Account/90311/Shop.json", `"Shop":{"archived":"false"`},
		nora:                       {"/V3/Account/90412/Shop.json", `{"@attributes":{"next":"","previous":""}}`},
	} {
		a := b.get(want.path, b.connect(email, "redirect_uri", "").Access)
		if a.Status != http.StatusOK || !strings.Contains(a.Raw, want.content) {
			t.Errorf("%s sees %d %s", email, a.Status, a.Raw)
		}
	}
	tok := b.connect(ingrid, "redirect_uri", "").Access
	for query, want := range map[string]int{"": 3, "?archived=true": 4, "?archived=only": 1, "?archived=false": 3} {
		if got := strings.Count(b.get("/V3/Account/90210/Shop.json"+query, tok).Raw, `"shopID"`); got != want {
			t.Errorf("%q has %d shops, want %d", query, got, want)
		}
	}
	if a := b.get("/V3/Account/90311/Shop.json", tok); a.Status != http.StatusForbidden {
		t.Errorf("another account answered %d %s", a.Status, a.Raw)
	}
}

func TestListsOfRPageByTheirLinks(t *testing.T) {
	b := startR(t, sandbox.Config{})
	tok := b.connect(ingrid, "redirect_uri", "").Access
	for entity, want := range map[string]struct {
		key            string
		records, pages int
	}{
		"Customer": {"customerID", 250, 3}, "Sale": {"saleID", 120, 2}, "Item": {"itemID", 25, 1},
	} {
		seen, pages := map[string]bool{}, 0
		var before string
		for next := b.api + "/V3/Account/90210/" + entity + ".json?sort=-" + want.key; next != ""; pages++ {
			var page struct {
				Attributes struct{ Next, Previous string } `json:"@attributes"`
				Records    map[string]json.RawMessage      `json:"-"`
			}
			a := b.getURL(next, tok)
			if err := json.Unmarshal([]byte(a.Raw), &page); err != nil {
				t.Fatal(err)
			}
			for _, rec := range a.Fields[entity].([]any) {
				seen[rec.(map[string]any)[want.key].(string)] = true
			}
			before, next = page.Attributes.Previous, page.Attributes.Next
		}
		if len(seen) != want.records || pages != want.pages {
			t.Errorf("%s: %d records on %d pages", entity, len(seen), pages)
		}
		if want.pages > 1 {
			a := b.getURL(before, tok)
			if got := len(a.Fields[entity].([]any)); got != 100 || !strings.Contains(before, "sort=-") {
				t.Errorf("%s: the page before has %d records (%s)", entity, got, before)
			}
		}
	}
	for query, want := range map[string]string{
		"?count=1": `{"@attributes":{"count":"250"}}`, "?limit=0": `{"@attributes":{"next":"","previous":""}}`,
		"?limit=1": `"Customer":{"archived":"false"`, "?count=1&limit=5": "cannot be used", "?limit=101": "from 0 to 100",
		"?sort=colour": "does not exist", "?after=zzz": "no", "?after=WyI5OTkiXQ==": "cursor", "?after=WyI1Il0=&before=WyI1Il0=": "cursor",
	} {
		if a := b.get("/V3/Account/90210/Customer.json"+query, tok); !strings.Contains(a.Raw, want) {
			t.Errorf("%s answered %d %s", query, a.Status, a.Raw)
		}
	}
	if a := b.get("/V3/Account/90210/Customer/17.json", tok); !strings.Contains(a.Raw, `"customerID":"17"`) {
		t.Errorf("one customer: %d %s", a.Status, a.Raw)
	}
	for _, path := range []string{"/V3/Account/90210/Customer/999.json", "/V3/Account/90210/Unicorn.json", "/V3/x.json", "/Item.json"} {
		if a := b.get(path, tok); a.Status != http.StatusNotFound {
			t.Errorf("%s answered %d %s", path, a.Status, a.Raw)
		}
	}
}

// getURL calls an absolute address.
func (b *bench) getURL(to, token string) answered {
	b.t.Helper()
	r := mustRequest(b.t, http.MethodGet, to)
	r.Header.Set("Authorization", "Bearer "+token)
	return b.must(b.do(r))
}

func TestScopesOfRLimitWhatIsRead(t *testing.T) {
	b := startR(t, sandbox.Config{})
	tok := b.connect(ingrid, "redirect_uri", "", "scope", "employee:customers employee:register_read").Access
	for entity, want := range map[string]int{"Customer": 200, "Sale": 200, "Item": 403, "Shop": 200} {
		if a := b.get("/V3/Account/90210/"+entity+".json?limit=1", tok); a.Status != want {
			t.Errorf("%s answered %d %s", entity, a.Status, a.Raw)
		}
	}
}

func TestWithoutJSONRAnswersXML(t *testing.T) {
	b := startR(t, sandbox.Config{})
	tok := b.connect(ingrid, "redirect_uri", "").Access
	ask := func(path, accept string) answered {
		r := mustRequest(t, http.MethodGet, b.api+path)
		r.Header.Set("Authorization", "Bearer "+tok)
		r.Header.Set("Accept", accept)
		return b.must(b.do(r))
	}
	for _, c := range []struct{ path, accept, want string }{
		{"/V3/Account/90210/Shop", "*/*", `<Shops next="" previous=""><Shop><archived>false</archived>`},
		{"/V3/Account/90210/Shop.json", "application/xml", `<Shops `},
		{"/V3/Account/90210/Shop", "application/json", `"Shop":[`},
		{"/V3/Account", "", `<Account count="1"><accountID>90210</accountID>`},
	} {
		if a := ask(c.path, c.accept); a.Status != http.StatusOK || !strings.Contains(a.Raw, c.want) {
			t.Errorf("%s as %s answered %d %s", c.path, c.accept, a.Status, a.Raw)
		}
	}
}

func TestTheBucketOfRLeaks(t *testing.T) {
	b := startR(t, sandbox.Config{})
	tok := b.connect(jonas, "redirect_uri", "").Access // one shop: 90, and one a second
	count := func() answered { return b.get("/V3/Account/90210/Customer.json?count=1", tok) }
	for i := range 10 { // the last one overflows, and is served
		a := count()
		if want := strconv.Itoa(10*(i+1)) + "/90"; a.Status != http.StatusOK || a.Header.Get("X-LS-Api-Bucket-Level") != want && i < 9 {
			t.Fatalf("call %d answered %d, level %s", i, a.Status, a.Header.Get("X-LS-Api-Bucket-Level"))
		}
		if i == 8 {
			if got := a.Header.Get("X-LS-Api-Drip-Rate") + " " + a.Header.Get("X-LS-Api-Request-Cost") + " " + a.Header.Get("X-LS-API-Burst-Level"); got != "1 10 9/20" {
				t.Errorf("headers %s", got)
			}
		}
		if i == 8 {
			b.sb.Advance(500 * time.Millisecond)
		}
	}
	a := count()
	if a.Status != http.StatusTooManyRequests || a.Header.Get("X-LS-API-RateLimit-Type") != "api-leaky-bucket" || a.Header.Get("X-LS-Api-Bucket-Level") != "99.5/90" || a.Header.Get("Retry-After") != "10" {
		t.Errorf("answered %d %v", a.Status, a.Header)
	}
	b.sb.Advance(10 * time.Second)
	if a := count(); a.Status != http.StatusOK {
		t.Errorf("ten seconds later %d, %s", a.Status, a.Header.Get("X-LS-Api-Bucket-Level"))
	}
	if got := kinds(b.sb.Report().Notes); got != "rate_limited" {
		t.Errorf("notes = %s", got)
	}
}

func TestTheBurstLimiterOfRCountsASecond(t *testing.T) {
	b := startR(t, sandbox.Config{})
	tok := b.connect(jonas, "redirect_uri", "").Access
	for range 20 {
		if a := b.get("/V3/Account.json", tok); a.Status != http.StatusOK {
			t.Fatalf("answered %d", a.Status)
		}
	}
	a := b.get("/V3/Account.json", tok)
	if a.Status != http.StatusTooManyRequests || a.Header.Get("X-LS-API-RateLimit-Type") != "api-burst-limiter" || a.Header.Get("Retry-After") != "1" || !strings.Contains(a.Raw, "burst rate limit exceeded") {
		t.Errorf("answered %d %v %s", a.Status, a.Header, a.Raw)
	}
	b.sb.Advance(time.Second)
	if a := b.get("/V3/Account.json", tok); a.Status != http.StatusOK {
		t.Errorf("a second later %d", a.Status)
	}
}

func TestWhoAmIAtR(t *testing.T) {
	b := startR(t, sandbox.Config{})
	tok := b.connect(jonas, "redirect_uri", "").Access
	a := b.get("/Session.json", tok)
	if a.Fields["systemCustomerID"] != "90210" || a.Fields["shopCount"] != "1" {
		t.Errorf("session = %s", a.Raw)
	}
	b.api = b.url + "/r"
	if a := b.get("/auth/oauth/introspect", tok); a.Fields["acct"] != "90210" {
		t.Errorf("introspect = %s", a.Raw)
	}
	if a := b.get("/.well-known/jwks", ""); !cmp.Equal(a.Status, http.StatusOK) || !strings.Contains(a.Raw, `"RS256"`) {
		t.Errorf("jwks = %d %s", a.Status, a.Raw)
	}
}
