package sandbox_test

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

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
