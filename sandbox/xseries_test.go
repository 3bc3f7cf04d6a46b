package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/sandbox"
)

// connectX connects a user of X-Series.
func (b *bench) connectX(email string, extra ...string) answered {
	b.t.Helper()
	return b.connect(email, append([]string{"state", stateX}, extra...)...)
}

func TestAuthorizeErrorsOfX(t *testing.T) {
	b := startX(t, sandbox.Config{})
	b.consent(sara, "state", stateX) // fixes the redirect URI
	for name, c := range map[string]struct{ url, want string }{
		"a state of seven characters": {b.authorizeURL("state", "1234567"), "at least 8 characters"},
		"no state":                    {b.authorizeURL("state", ""), "at least 8 characters"},
		"another redirect URI":        {b.authorizeURL("state", stateX, "redirect_uri", callback+"/"), "Invalid parameter: redirect_uri"},
		"a client of K-Series":        {b.authorizeURL("state", stateX, "client_id", v2ClientID), "Client not found"},
	} {
		if a := b.must(b.do(mustRequest(t, http.MethodGet, c.url))); a.Status != http.StatusBadRequest || !strings.Contains(a.Raw, c.want) {
			t.Errorf("%s answered %d %s", name, a.Status, a.Raw)
		}
	}
	if got := kinds(b.sb.Report().Violations); got != "no_state" {
		t.Errorf("violations = %s", got)
	}
	for name, c := range map[string]struct{ scope, want string }{
		"no scope":            {"", "access_denied"},
		"a scope of R-Series": {scopeR, "invalid_scope"},
		"an unknown verb":     {"outlets:delete", "invalid_scope"},
	} {
		resp, err := b.http.Do(mustRequest(t, http.MethodGet, b.authorizeURL("state", stateX, "scope", c.scope)))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		to, err := resp.Location()
		if err != nil || to.Query().Get("error") != c.want || to.Query().Get("state") != stateX {
			t.Errorf("%s: %v, %v", name, to, err)
		}
	}
	final, _, err := sandbox.Visit{Client: b.http, Email: sara, Decline: true}.Follow(t.Context(), b.authorizeURL("state", stateX))
	if err != nil || !strings.Contains(final, "error=access_denied") {
		t.Errorf("declined: %s, %v", final, err)
	}
	if _, _, err := (sandbox.Visit{Client: b.http, Email: anna}).Follow(t.Context(), b.authorizeURL("state", stateX)); err == nil {
		t.Error("a user of K-Series logged in")
	}
}

func TestXTakesFormsOnly(t *testing.T) {
	b := startX(t, sandbox.Config{})
	tok := b.connectX(sara)
	fields := map[string]string{"client_id": b.clientID, "client_secret": secret, "grant_type": "refresh_token", "refresh_token": tok.Refresh}
	for _, media := range []string{"application/json", "multipart/form-data"} {
		if a := b.sendR(media, fields); a.Status != http.StatusBadRequest {
			t.Errorf("%s answered %d %s", media, a.Status, a.Raw)
		}
	}
	values := url.Values{}
	for name, value := range fields {
		values.Set(name, value)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.token+"?"+values.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if a := b.must(b.do(r)); a.Status/100 != 4 {
		t.Errorf("parameters in the URL answered %d %s", a.Status, a.Raw)
	}
	if got := kinds(b.sb.Report().Violations); got != "token_in_query token_in_query" { // token and secret
		t.Errorf("violations = %s", got)
	}
}

func TestARefreshAtXEndsBothOldTokensAtOnce(t *testing.T) {
	b := startX(t, sandbox.Config{})
	first := b.connectX(sara)
	next := b.must(b.refresh(first.Refresh))
	if a := b.get("/outlets", first.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("the old access token answered %d", a.Status)
	}
	if a := b.must(b.refresh(first.Refresh)); a.Status != http.StatusBadRequest || a.Fields["error"] != "invalid_grant" {
		t.Errorf("the old refresh token answered %d %s", a.Status, a.Raw)
	}
	if got := kinds(b.sb.Report().Violations); got != "refresh_token_reused" {
		t.Errorf("violations = %s", got)
	}
	if a := b.get("/outlets", next.Access); a.Status != http.StatusOK {
		t.Errorf("reuse harmed the new pair: %d", a.Status)
	}
	if a := b.must(b.refresh(next.Refresh)); a.Status != http.StatusOK {
		t.Errorf("the new refresh token answered %d %s", a.Status, a.Raw)
	}
}

func TestAnotherRetailersHostRefusesCodesAndTokens(t *testing.T) {
	b := startX(t, sandbox.Config{})
	code := b.consent(sara, "state", stateX).Get("code")
	b.retailer("cornerbooks")
	if a := b.must(b.exchange(code)); a.Status != http.StatusBadRequest {
		t.Errorf("the code answered %d", a.Status)
	}
	b.retailer("fjordwear")
	tok := b.must(b.exchange(code))
	b.retailer("cornerbooks")
	if a := b.must(b.refresh(tok.Refresh)); a.Status != http.StatusBadRequest {
		t.Errorf("the refresh token answered %d", a.Status)
	}
	if a := b.get("/outlets", tok.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("the access token answered %d", a.Status)
	}
	if got := kinds(b.sb.Report().Violations); got != "wrong_host wrong_host wrong_host" {
		t.Errorf("violations = %s", got)
	}
}

func TestTheTokenEndpointOfXTakesTenRequestsAMinute(t *testing.T) {
	b := startX(t, sandbox.Config{})
	tok := b.connectX(sara)
	for i := range 9 {
		tok = b.must(b.refresh(tok.Refresh))
		if want := fmt.Sprint(8 - i); tok.Status != http.StatusOK || tok.Header.Get("X-RateLimit-Limit") != "10" || tok.Header.Get("X-RateLimit-Remaining") != want {
			t.Fatalf("refresh %d answered %d %v", i, tok.Status, tok.Header)
		}
	}
	a := b.must(b.refresh(tok.Refresh))
	ends := b.sb.Now().Add(time.Minute)
	if a.Status != http.StatusTooManyRequests || a.Header.Get("X-RateLimit-Reset") != fmt.Sprint(ends.Unix()) || a.Header.Get("Retry-After") != ends.Format(http.TimeFormat) ||
		strings.TrimSpace(a.Raw) != `{"error":"Too Many Requests","message":"Rate limiting enforced"}` {
		t.Errorf("answered %d %v %s", a.Status, a.Header, a.Raw)
	}
	b.sb.Advance(time.Minute)
	if a := b.must(b.refresh(tok.Refresh)); a.Status != http.StatusOK {
		t.Errorf("a minute later answered %d %s: the refused request spent the token", a.Status, a.Raw)
	}
}

func TestTheAPIOfXHasAWindowOfFiveMinutes(t *testing.T) {
	b := startX(t, sandbox.Config{})
	b.retailer("cornerbooks") // one register: 350
	tok := b.connectX(tom).Access
	for i := range 350 {
		if a := b.get("/outlets", tok); a.Status != http.StatusOK || a.Header.Get("X-RateLimit-Remaining") != fmt.Sprint(349-i) {
			t.Fatalf("call %d answered %d %v", i, a.Status, a.Header)
		}
	}
	a := b.get("/outlets", tok)
	if ends := b.sb.Now().Add(5 * time.Minute).Format(http.TimeFormat); a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") != ends || a.Header.Get("X-RateLimit-Limit") != "350" {
		t.Errorf("answered %d %v", a.Status, a.Header)
	}
	b.sb.Advance(5 * time.Minute)
	if a := b.get("/outlets", tok); a.Status != http.StatusOK {
		t.Errorf("in the next window %d", a.Status)
	}
}

func TestAnUnapprovedAppOfXConnectsSoManyStores(t *testing.T) {
	b := startX(t, sandbox.Config{})
	if a := b.control(http.MethodPost, "/clients", `{"series":"lightspeed-x","client_id":"c1ient","store_cap":1}`, nil); a.Fields["store_cap"] != 1.0 {
		t.Fatalf("clients answered %s", a.Raw)
	}
	b.connectX(sara)
	b.connectX(sara) // the same store again
	b.retailer("cornerbooks")
	final, _, err := sandbox.Visit{Client: b.http, Email: tom}.Follow(t.Context(), b.authorizeURL("state", stateX))
	if err != nil || !strings.Contains(final, "error=access_denied") || !strings.Contains(final, "limit+of+stores") {
		t.Errorf("the second store ended at %s, %v", final, err)
	}
	b.control(http.MethodPost, "/clients", `{"client_id":"c1ient","store_cap":0}`, nil)
	b.connectX(tom)
}

func TestARequestWithoutAUserAgentIsNoticedAtX(t *testing.T) {
	b := startX(t, sandbox.Config{})
	tok := b.connectX(sara)
	r := mustRequest(t, http.MethodGet, b.api+"/outlets")
	r.Header.Set("Authorization", "Bearer "+tok.Access)
	r.Header.Set("User-Agent", "")
	if a := b.must(b.do(r)); a.Status != http.StatusOK {
		t.Errorf("answered %d", a.Status)
	}
	rep := b.sb.Report()
	if kinds(rep.Violations) != "no_user_agent" || rep.Violations[0].ClientID != "c1ient" {
		t.Errorf("violations = %+v", rep.Violations)
	}
}

func TestListsOfXPageByVersion(t *testing.T) {
	b := startX(t, sandbox.Config{})
	tok := b.connectX(sara).Access
	type page struct {
		Data []struct {
			ID      string
			Version int64
		}
		Version struct{ Min, Max *int64 }
	}
	read := func(query string) page {
		var p page
		a := b.get(query, tok)
		if err := json.Unmarshal([]byte(a.Raw), &p); err != nil || a.Status != http.StatusOK {
			t.Fatalf("%s answered %d %s", query, a.Status, a.Raw)
		}
		return p
	}
	for query, want := range map[string]int{
		"/customers?page_size=50": 228, "/customers?page_size=50&deleted=true": 250, "/products?page_size=50": 110, "/sales?page_size=50": 180, "/outlets?page_size=2": 3,
	} {
		seen, last := map[string]bool{}, int64(0)
		for {
			p := read(query + "&after=" + fmt.Sprint(last))
			if len(p.Data) == 0 {
				if p.Version.Min != nil || p.Version.Max != nil {
					t.Errorf("%s: the last page has versions", query)
				}
				break
			}
			for _, rec := range p.Data {
				if rec.Version <= last {
					t.Fatalf("%s: version %d after %d", query, rec.Version, last)
				}
				last, seen[rec.ID] = rec.Version, true
			}
			if *p.Version.Max != last {
				t.Errorf("%s: max %d, the last is %d", query, *p.Version.Max, last)
			}
		}
		if len(seen) != want {
			t.Errorf("%s: %d records, want %d", query, len(seen), want)
		}
	}
	p := read("/sales?page_size=10&before=8000040")
	if len(p.Data) != 10 || *p.Version.Max != 8000038 {
		t.Errorf("before: %d records up to %d", len(p.Data), *p.Version.Max)
	}
	if one := read("/sales?page_size=1"); len(one.Data) != 1 {
		t.Error("page_size=1")
	} else if a := b.get("/sales/"+one.Data[0].ID, tok); a.Status != http.StatusOK || !strings.Contains(a.Raw, one.Data[0].ID) {
		t.Errorf("one sale answered %d %s", a.Status, a.Raw)
	}
	for path, want := range map[string]int{
		"/sales?after=x": 400, "/sales?page_size=-1": 400, "/unicorns": 404, "/sales/x": 404, "/retailer/x": 404, "/inventory": 404,
	} {
		if a := b.get(path, tok); a.Status != want {
			t.Errorf("%s answered %d %s", path, a.Status, a.Raw)
		}
	}
}

func TestVersionsOfTheAPIOfX(t *testing.T) {
	b := startX(t, sandbox.Config{})
	tok := b.connectX(sara).Access
	b.api = strings.TrimSuffix(b.api, "/2.0")
	for path, want := range map[string]int{
		"/2.0/retailer": 200, "/2026-07/retailer": 200, "/2019-01/retailer": 200, "/2026-13/retailer": 404, "/3.0/retailer": 404, "/1.0/token": 404, "/x": 404,
	} {
		if a := b.get(path, tok); a.Status != want {
			t.Errorf("%s answered %d %s", path, a.Status, a.Raw)
		}
	}
}

func TestScopesOfXLimitWhatIsRead(t *testing.T) {
	b := startX(t, sandbox.Config{})
	tok := b.connectX(sara, "scope", "retailer:read sales:read").Access
	for path, want := range map[string]int{"/retailer": 403, "/sales": 200, "/outlets": 403, "/user": 403} {
		if a := b.get(path, tok); a.Status != want || want == 403 && a.Fields["error"] != "Forbidden" {
			t.Errorf("%s answered %d %s", path, a.Status, a.Raw)
		}
	}
	if a := b.get("/sales", ""); a.Status != http.StatusUnauthorized || a.Fields["error"] != "Unauthorized" {
		t.Errorf("without a token %d %s", a.Status, a.Raw)
	}
}

func TestOutletsOfXMoveWithTheUser(t *testing.T) {
	b := startX(t, sandbox.Config{})
	tok := b.connectX(sara).Access
	b.control(http.MethodPost, "/users", `{"email":"`+sara+`","retailer":{"domain_prefix":"fjordwear","name":"Fjord Wear","outlets":[{"name":"New"}]}}`, nil)
	if a := b.get("/outlets", tok); strings.Count(a.Raw, `"name"`) != 1 || !strings.Contains(a.Raw, `"New"`) {
		t.Errorf("outlets answered %s", a.Raw)
	}
}
