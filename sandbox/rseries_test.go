package sandbox_test

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/sandbox"
)

func TestAuthorizeErrorsOfRAreJSON(t *testing.T) {
	b := startR(t, sandbox.Config{})
	for name, c := range map[string]struct{ url, want string }{
		"no scope":                        {b.authorizeURL("redirect_uri", "", "scope", ""), "invalid_scope"},
		"a scope of X-Series":             {b.authorizeURL("redirect_uri", "", "scope", "sales:read"), "invalid_scope"},
		"a client of K-Series":            {b.authorizeURL("redirect_uri", "", "client_id", v2ClientID), "invalid_client"},
		"another redirect URI":            {b.authorizeURL("redirect_uri", callback+"/"), "invalid_client"},
		"a challenge that is too short":   {b.authorizeURL("redirect_uri", "", "code_challenge", "short", "code_challenge_method", "plain"), "invalid_request"},
		"a challenge of another alphabet": {b.authorizeURL("redirect_uri", "", "code_challenge", strings.Repeat("~", 43)), "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.must(b.do(mustRequest(t, http.MethodGet, c.url)))
			if a.Status != http.StatusBadRequest || a.Fields["error"] != c.want {
				t.Errorf("answered %d %s, want %s", a.Status, a.Raw, c.want)
			}
		})
	}
}

func TestAClientOfRWithoutARedirectURIGetsOne(t *testing.T) {
	b := startR(t, sandbox.Config{})
	b.clientID = "new"
	asked := b.authorizeURL("redirect_uri", "")
	page := b.must(b.do(mustRequest(t, http.MethodGet, asked)))
	if page.Status != http.StatusOK || !strings.Contains(page.Raw, `name="redirect_uri"`) {
		t.Fatalf("answered %d %s", page.Status, page.Raw)
	}
	register := func(uri string) answered {
		to := strings.Replace(asked, "/auth/oauth/authorize", "/auth/register", 1)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(url.Values{"redirect_uri": {uri}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return b.must(b.do(r))
	}
	if a := register("http://app.example/cb"); !strings.Contains(a.Raw, "neither https") {
		t.Errorf("plain http answered %d %s", a.Status, a.Raw)
	}
	if a := register(callback); !strings.Contains(a.Raw, "kc-form-login") {
		t.Errorf("registered, and then %d %s", a.Status, a.Raw)
	}
	register("https://evil.example/cb") // there is one already
	if back := b.consent(ingrid, "redirect_uri", ""); back.Get("code") == "" {
		t.Errorf("callback = %v", back)
	}
}

func TestClientsFromTheConfigurationOutliveAReset(t *testing.T) {
	b := start(t, sandbox.Config{Clients: []sandbox.Client{{ID: "mine", Series: "r-series", RedirectURI: callback}}})
	b.clientID, b.scope, b.inBody = "mine", scopeR, true
	b.authorize, b.token, b.api = b.url+"/r/auth/oauth/authorize", b.url+"/r/auth/oauth/token", b.url+"/r/API"
	for range 2 {
		if back := b.consent(ingrid, "redirect_uri", ""); back.Get("code") == "" {
			t.Errorf("callback = %v", back)
		}
		b.control(http.MethodPost, "/reset", "", nil)
	}
}

// sendR sends a token request of R-Series in one of its encodings.
func (b *bench) sendR(media string, fields map[string]string) answered {
	b.t.Helper()
	var body bytes.Buffer
	switch media {
	case "application/json":
		if err := json.NewEncoder(&body).Encode(fields); err != nil {
			b.t.Fatal(err)
		}
	case "multipart/form-data":
		w := multipart.NewWriter(&body)
		for name, value := range fields {
			if err := w.WriteField(name, value); err != nil {
				b.t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.t.Fatal(err)
		}
		media = w.FormDataContentType()
	default:
		values := url.Values{}
		for name, value := range fields {
			values.Set(name, value)
		}
		body.WriteString(values.Encode())
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.token, &body)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", media)
	return b.must(b.do(r))
}

func TestRTakesJSONMultipartAndForms(t *testing.T) {
	b := startR(t, sandbox.Config{})
	for _, media := range []string{"application/json", "multipart/form-data", "application/x-www-form-urlencoded"} {
		fields := map[string]string{
			"client_id": b.clientID, "client_secret": secret, "grant_type": "authorization_code",
			"code": b.consent(ingrid, "redirect_uri", "").Get("code"),
		}
		a := b.sendR(media, fields)
		if a.Status != http.StatusOK {
			t.Fatalf("%s answered %d %s", media, a.Status, a.Raw)
		}
		delete(fields, "code")
		fields["grant_type"], fields["refresh_token"] = "refresh_token", a.Refresh
		if a = b.sendR(media, fields); a.Status != http.StatusOK {
			t.Errorf("%s refresh answered %d %s", media, a.Status, a.Raw)
		}
	}
}

func TestTokenEndpointErrorsOfR(t *testing.T) {
	b := startR(t, sandbox.Config{})
	tok := b.connect(ingrid, "redirect_uri", "")
	whose := map[string]string{"client_id": b.clientID, "client_secret": secret}
	tests := []struct {
		name   string
		fields map[string]string
		status int
		code   string
		hint   any
	}{
		{"no grant_type", nil, 400, "invalid_request", "Check the `grant_type` parameter"},
		{"no refresh_token", map[string]string{"grant_type": "refresh_token"}, 400, "invalid_request", "Check the `refresh_token` parameter"},
		{"no code", map[string]string{"grant_type": "authorization_code"}, 400, "invalid_request", "Check the `code` parameter"},
		{"an unknown token", map[string]string{"grant_type": "refresh_token", "refresh_token": "def502x"}, 400, "invalid_grant", nil},
		{"an unknown code", map[string]string{"grant_type": "authorization_code", "code": "def502x"}, 400, "invalid_grant", nil},
		{"a scope on a refresh", map[string]string{"grant_type": "refresh_token", "refresh_token": tok.Refresh, "scope": scopeR}, 400, "invalid_scope", "Check the `scope` parameter"},
		{"another secret", map[string]string{"grant_type": "refresh_token", "refresh_token": tok.Refresh, "client_secret": "x"}, 401, "invalid_client", nil},
		{"another grant type", map[string]string{"grant_type": "password"}, 400, "unsupported_grant_type", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fields := map[string]string{}
			for _, from := range []map[string]string{whose, tt.fields} {
				for name, value := range from {
					fields[name] = value
				}
			}
			a := b.sendR("application/json", fields)
			if a.Status != tt.status || a.Fields["error"] != tt.code || a.Fields["hint"] != tt.hint {
				t.Errorf("answered %d %s", a.Status, a.Raw)
			}
		})
	}
	r := mustRequest(t, http.MethodGet, b.token)
	if a := b.must(b.do(r)); a.Status != http.StatusMethodNotAllowed || a.Fields["error"] != "invalid_request" {
		t.Errorf("GET answered %d %s", a.Status, a.Raw)
	}
	b.inBody = false
	if a := b.must(b.refresh(tok.Refresh)); a.Status != http.StatusUnauthorized {
		t.Errorf("HTTP Basic answered %d %s", a.Status, a.Raw)
	}
}

func TestPKCEOfR(t *testing.T) {
	b := startR(t, sandbox.Config{})
	verifier := strings.Repeat("v", 43)
	exchange := func(method, challenge, verifier string) int {
		code := b.consent(ingrid, "redirect_uri", "", "code_challenge", challenge, "code_challenge_method", method).Get("code")
		return b.must(b.exchange(code, "code_verifier", verifier)).Status
	}
	if got := exchange("plain", verifier, verifier); got != http.StatusOK {
		t.Errorf("plain answered %d", got)
	}
	if got := exchange("plain", verifier, verifier+"x"); got != http.StatusBadRequest {
		t.Errorf("a wrong plain verifier answered %d", got)
	}
	if got := exchange("S256", "gWV6CMD6KUBnKPTl4mgKBCDtdzQMIpdnHTy7FhJhT80", verifier); got != http.StatusBadRequest {
		t.Errorf("a wrong verifier answered %d", got)
	}
	b.registerR(`{"public":true}`)
	a := b.must(b.do(mustRequest(t, http.MethodGet, b.authorizeURL("redirect_uri", ""))))
	if a.Status != http.StatusBadRequest || a.Fields["error"] != "invalid_request" {
		t.Errorf("a public client without PKCE: %d %s", a.Status, a.Raw)
	}
	code := b.consent(ingrid, "redirect_uri", "", "code_challenge", verifier, "code_challenge_method", "plain").Get("code")
	if a := b.sendR("", map[string]string{"client_id": b.clientID, "grant_type": "authorization_code", "code": code, "code_verifier": verifier}); a.Status != http.StatusUnsupportedMediaType && a.Status != http.StatusBadRequest {
		t.Errorf("no media type answered %d %s", a.Status, a.Raw)
	}
	a = b.sendR("application/x-www-form-urlencoded", map[string]string{"client_id": b.clientID, "grant_type": "authorization_code", "code": code, "code_verifier": verifier})
	if a.Status != http.StatusOK {
		t.Errorf("a public client without a secret answered %d %s", a.Status, a.Raw)
	}
}

func TestACodeOfRLivesAMinute(t *testing.T) {
	b := startR(t, sandbox.Config{})
	for after, want := range map[time.Duration]int{59 * time.Second: http.StatusOK, time.Minute: http.StatusBadRequest} {
		code := b.consent(ingrid, "redirect_uri", "").Get("code")
		b.sb.Advance(after)
		if a := b.must(b.exchange(code)); a.Status != want {
			t.Errorf("after %s answered %d %s", after, a.Status, a.Raw)
		}
	}
}

func TestAPairOfRRetiresWhenTheNextIsUsed(t *testing.T) {
	b := startR(t, sandbox.Config{})
	first := b.connect(ingrid, "redirect_uri", "")
	second := b.must(b.refresh(first.Refresh))
	again := b.must(b.refresh(first.Refresh)) // its answer was lost, say
	if second.Status != http.StatusOK || again.Status != http.StatusOK || again.Refresh == second.Refresh {
		t.Fatalf("answered %d and %d %s", second.Status, again.Status, again.Raw)
	}
	if a := b.get("/V3/Account.json", first.Access); a.Status != http.StatusOK {
		t.Errorf("the old access token answered %d before the new one was used", a.Status)
	}
	if a := b.get("/V3/Account.json", again.Access); a.Status != http.StatusOK {
		t.Fatalf("the new access token answered %d", a.Status)
	}
	if a := b.get("/V3/Account.json", first.Access); a.Status != http.StatusUnauthorized || !strings.Contains(a.Raw, "has been revoked") {
		t.Errorf("the old access token answered %d %s", a.Status, a.Raw)
	}
	if a := b.must(b.refresh(first.Refresh)); a.Status != http.StatusBadRequest || a.Fields["error"] != "invalid_grant" {
		t.Errorf("the old refresh token answered %d %s", a.Status, a.Raw)
	}
	rep := b.sb.Report()
	if kinds(rep.Violations) != "refresh_token_reused" || kinds(rep.Notes) != "early_refresh refresh_token_resent early_refresh" {
		t.Errorf("violations %s, notes %s", kinds(rep.Violations), kinds(rep.Notes))
	}
	if a := b.must(b.refresh(again.Refresh)); a.Status != http.StatusOK {
		t.Errorf("the newest refresh token answered %d %s", a.Status, a.Raw)
	}
}

func TestRAnswersFiveRefreshesAMinute(t *testing.T) {
	b := startR(t, sandbox.Config{})
	tok := b.connect(ingrid, "redirect_uri", "")
	for i := range 5 {
		if a := b.must(b.refresh(tok.Refresh)); a.Status != http.StatusOK {
			t.Fatalf("refresh %d answered %d", i+1, a.Status)
		}
		b.sb.Advance(time.Second)
	}
	a := b.must(b.refresh(tok.Refresh))
	if a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "56" {
		t.Errorf("the sixth answered %d, Retry-After %s, %s", a.Status, a.Header.Get("Retry-After"), a.Raw)
	}
	if got := kinds(b.sb.Report().Violations); got != "too_many_refreshes" {
		t.Errorf("violations = %s", got)
	}
	b.sb.Advance(time.Minute)
	if a := b.must(b.refresh(tok.Refresh)); a.Status != http.StatusOK {
		t.Errorf("a minute later answered %d", a.Status)
	}
}

func TestARefreshTokenOfRDiesAfterThirtyIdleDays(t *testing.T) {
	b := startR(t, sandbox.Config{})
	tok := b.connect(ingrid, "redirect_uri", "")
	b.sb.Advance(30*24*time.Hour - time.Second)
	next := b.must(b.refresh(tok.Refresh))
	if next.Status != http.StatusOK {
		t.Fatalf("answered %d", next.Status)
	}
	b.sb.Advance(30 * 24 * time.Hour)
	if a := b.must(b.refresh(next.Refresh)); a.Error == "" || a.Status != http.StatusBadRequest {
		t.Errorf("answered %d %s", a.Status, a.Raw)
	}
}

func TestTheOldServerOfRAnswersTheSameTokenAgain(t *testing.T) {
	for name, set := range map[string]func(*bench){
		"chosen for the client": func(b *bench) { b.registerR(`{"server":"old"}`) },
		"by its own addresses": func(b *bench) {
			b.authorize, b.token = b.url+"/r/oauth/authorize.php", b.url+"/r/oauth/access_token.php"
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := startR(t, sandbox.Config{})
			set(b)
			tok := b.connect(ingrid, "redirect_uri", "")
			if tok.Fields["expires_in"] != 1800.0 || tok.Fields["token_type"] != "bearer" || !strings.HasPrefix(tok.Fields["scope"].(string), scopeR+" systemuserid:") {
				t.Errorf("token = %s", tok.Raw)
			}
			b.sb.Advance(29 * time.Minute)
			same := b.must(b.refresh(tok.Refresh))
			if same.Access != tok.Access || same.Refresh != tok.Refresh || same.Fields["expires_in"] != 60.0 {
				t.Errorf("a minute before its end: %s", same.Raw)
			}
			b.sb.Advance(51 * time.Second)
			next := b.must(b.refresh(tok.Refresh))
			if next.Access == tok.Access || next.Refresh != tok.Refresh || next.Fields["expires_in"] != 1800.0 {
				t.Errorf("nine seconds before its end: %s", next.Raw)
			}
			if got := kinds(b.sb.Report().Violations); got != "" {
				t.Errorf("violations = %s", got)
			}
		})
	}
}

func TestOneRefreshAtTheNewServerMovesAGrantThere(t *testing.T) {
	b := startR(t, sandbox.Config{})
	old := b.url + "/r/oauth/access_token.php"
	here := b.token
	b.token = old
	tok := b.connect(ingrid, "redirect_uri", "")
	b.token = here
	moved := b.must(b.refresh(tok.Refresh))
	if moved.Status != http.StatusOK || len(moved.Fields) != 4 || moved.Refresh == tok.Refresh || strings.Count(moved.Access, ".") != 2 {
		t.Fatalf("answered %d %s", moved.Status, moved.Raw)
	}
	b.token = old
	if a := b.must(b.refresh(moved.Refresh)); a.Status != http.StatusBadRequest {
		t.Errorf("the old server answered %d to a token of the new one", a.Status)
	}
}

func Test401sOfR(t *testing.T) {
	b := startR(t, sandbox.Config{})
	tok := b.connect(ingrid, "redirect_uri", "")
	refused := func(name, want string, token string) {
		t.Helper()
		if a := b.get("/V3/Account.json", token); a.Status != http.StatusUnauthorized || !strings.Contains(a.Raw, want) {
			t.Errorf("%s answered %d %s, want %s", name, a.Status, a.Raw, want)
		}
	}
	const expired, revoked = `"hint":"Access token could not be verified"`, `"hint":"Access token has been revoked"`
	refused("no token", expired, "")
	refused("an unknown token", expired, "x")
	for body, want := range map[string]string{"expired": expired, "revoked": revoked, "merchantos": `"errorClass":"BadAuthenticationRequestError"`, "empty": ""} {
		b.sb.Fault(sandbox.Fault{App: "r-series", Fault: "api_401", Times: 1, Match: map[string]string{"body": body}})
		refused("the fault "+body, want, tok.Access)
	}
	b.control(http.MethodPost, "/users/"+ingrid+"/lock", "", nil)
	refused("a locked employee's token", revoked, tok.Access)
	if a := b.must(b.refresh(tok.Refresh)); a.Fields["error"] != "invalid_grant" {
		t.Errorf("a locked employee's refresh token answered %d %s", a.Status, a.Raw)
	}
	b.control(http.MethodPost, "/users/"+ingrid+"/unlock", "", nil)
	if a := b.get("/V3/Account.json", tok.Access); a.Status != http.StatusOK {
		t.Errorf("unlocked, the token answered %d %s", a.Status, a.Raw)
	}
	b.control(http.MethodPost, "/users/"+ingrid+"/revoke", `{"only":"access_tokens"}`, nil)
	refused("an access token that the merchant ended", revoked, tok.Access)
	tok = b.must(b.refresh(tok.Refresh))
	b.sb.Advance(time.Hour)
	refused("an expired token", expired, tok.Access)
	b.control(http.MethodPost, "/users", `{"email":"`+ingrid+`","account":{"id":7,"name":"Elsewhere"}}`, nil)
	tok2 := b.must(b.refresh(tok.Refresh))
	refused("an employee of another account now", revoked, tok2.Access)
}

func TestRevokingAtRKillsThePair(t *testing.T) {
	b := startR(t, sandbox.Config{})
	tok := b.connect(ingrid, "redirect_uri", "")
	b.token = strings.TrimSuffix(b.token, "token") + "revoke"
	if a := b.sendR("application/json", map[string]string{"client_id": b.clientID, "client_secret": "x", "refresh_token": tok.Refresh}); a.Status != http.StatusUnauthorized {
		t.Errorf("another secret answered %d", a.Status)
	}
	if a := b.sendR("application/json", map[string]string{"client_id": b.clientID, "client_secret": secret, "refresh_token": tok.Refresh}); a.Status != http.StatusOK {
		t.Errorf("revoke answered %d %s", a.Status, a.Raw)
	}
	if a := b.get("/V3/Account.json", tok.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("the access token answered %d", a.Status)
	}
}

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
