package sandbox_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/sandbox"
)

// The table of errors of the token endpoint, one row each and more.
func TestTokenEndpointErrors(t *testing.T) {
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	pkce := []string{"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method", "S256"}
	for name, c := range map[string]struct {
		try    func(b *bench) (answered, error)
		status int
		want   string
	}{
		"a code after 15 seconds": {func(b *bench) (answered, error) {
			code := b.consent(anna).Get("code")
			b.sb.Advance(15 * time.Second)
			return b.exchange(code)
		}, 400, "invalid_grant: Code not valid"},
		"a code used twice": {func(b *bench) (answered, error) {
			code := b.consent(anna).Get("code")
			b.must(b.exchange(code))
			return b.exchange(code)
		}, 400, "invalid_grant: Code not valid"},
		"a code nobody issued": {func(b *bench) (answered, error) { return b.exchange("x") }, 400, "invalid_grant: Code not valid"},
		"another redirect URI than at authorize": {func(b *bench) (answered, error) {
			return b.post(b.t.Context(), secret, "grant_type", "authorization_code", "code", b.consent(anna).Get("code"), "redirect_uri", callback+"/")
		}, 400, "invalid_grant: Incorrect redirect_uri"},
		"a rotated refresh token": {func(b *bench) (answered, error) {
			first := b.connect(anna)
			b.must(b.refresh(first.Refresh))
			return b.refresh(first.Refresh)
		}, 400, "invalid_grant: Token is not active"},
		"an expired refresh token": {func(b *bench) (answered, error) {
			first := b.connect(anna)
			b.sb.Advance(40 * 24 * time.Hour)
			return b.refresh(first.Refresh)
		}, 400, "invalid_grant: Token is not active"},
		"a refresh token without offline_access after 30 minutes": {func(b *bench) (answered, error) {
			first := b.connect(anna, "scope", "financial-api")
			b.sb.Advance(30 * time.Minute)
			return b.refresh(first.Refresh)
		}, 400, "invalid_grant: Token is not active"},
		"a refresh token the user revoked": {func(b *bench) (answered, error) {
			first := b.connect(anna)
			b.sb.RevokeUser(strings.ToUpper(anna))
			return b.refresh(first.Refresh)
		}, 400, "invalid_grant: Token is not active"},
		"a wrong secret": {func(b *bench) (answered, error) {
			first := b.connect(anna)
			return b.post(b.t.Context(), "wrong", "grant_type", "refresh_token", "refresh_token", first.Refresh)
		}, 401, "invalid_client: Invalid client or Invalid client credentials"},
		"credentials in the body": {func(b *bench) (answered, error) {
			first := b.connect(anna)
			return b.post(b.t.Context(), "", "grant_type", "refresh_token", "refresh_token", first.Refresh, "client_id", b.clientID, "client_secret", secret)
		}, 401, "invalid_client: Invalid client or Invalid client credentials"},
		"a client of another generation": {func(b *bench) (answered, error) {
			b.clientID = v1ClientID
			return b.refresh("x")
		}, 401, "invalid_client: Invalid client or Invalid client credentials"},
		"the password grant": {func(b *bench) (answered, error) {
			return b.post(b.t.Context(), secret, "grant_type", "password", "username", anna, "password", "sandbox")
		}, 400, "unauthorized_client: Client not allowed for direct access grants"},
		"no grant type": {func(b *bench) (answered, error) {
			return b.post(b.t.Context(), secret, "code", "x")
		}, 400, "invalid_request: Missing form parameter: grant_type"},
		"no refresh token": {func(b *bench) (answered, error) {
			return b.post(b.t.Context(), secret, "grant_type", "refresh_token")
		}, 400, "invalid_request: No refresh token"},
		"a refresh token nobody issued": {func(b *bench) (answered, error) { return b.refresh("x") }, 400, "invalid_grant: Invalid refresh token"},
		"an access token instead of a refresh token": {func(b *bench) (answered, error) {
			return b.refresh(b.connect(anna).Access)
		}, 400, "invalid_grant: Invalid refresh token"},
		"a refresh token of another client": {func(b *bench) (answered, error) {
			first := b.connect(anna)
			b.clientID = "devp-v2-demo-other"
			return b.refresh(first.Refresh)
		}, 400, "invalid_grant: Invalid refresh token. Token client and authorized client don't match"},
		"a parameter that comes twice": {func(b *bench) (answered, error) {
			return b.post(b.t.Context(), secret, "grant_type", "refresh_token", "refresh_token", "a", "refresh_token", "b")
		}, 400, "invalid_request: duplicated parameter"},
		"a JSON body": {func(b *bench) (answered, error) {
			r := mustRequest(b.t, http.MethodPost, b.token)
			r.Header.Set("Content-Type", "application/json")
			return b.do(r)
		}, 415, "invalid_request: HTTP 415 Unsupported Media Type"},
		"grant parameters in the URL": {func(b *bench) (answered, error) {
			b.token += "?" + url.Values{"grant_type": {"refresh_token"}}.Encode()
			return b.post(b.t.Context(), secret)
		}, 400, "invalid_request: Missing form parameter: grant_type"},
		"a scope that was not granted": {func(b *bench) (answered, error) {
			first := b.connect(anna)
			return b.post(b.t.Context(), secret, "grant_type", "refresh_token", "refresh_token", first.Refresh, "scope", "items")
		}, 400, "invalid_scope: Invalid scopes: items"},
		"a challenge without its verifier": {func(b *bench) (answered, error) {
			return b.exchange(b.consent(anna, pkce...).Get("code"))
		}, 400, "invalid_grant: PKCE code verifier not specified"},
		"a challenge with another verifier": {func(b *bench) (answered, error) {
			return b.exchange(b.consent(anna, pkce...).Get("code"), "code_verifier", verifier+"x")
		}, 400, "invalid_grant: PKCE verification failed"},
		"a challenge with its verifier (RFC 7636 appendix B)": {func(b *bench) (answered, error) {
			return b.exchange(b.consent(anna, pkce...).Get("code"), "code_verifier", verifier)
		}, 200, ": "},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, sandbox.Config{})
			a := b.must(c.try(b))
			if a.Status != c.status || a.Error != c.want {
				t.Errorf("answered %d %q, want %d %q", a.Status, a.Error, c.status, c.want)
			}
		})
	}
}

func TestAWrongExchangeUsesTheCodeUp(t *testing.T) {
	b := start(t, sandbox.Config{})
	code := b.consent(anna).Get("code")
	b.must(b.post(t.Context(), secret, "grant_type", "authorization_code", "code", code, "redirect_uri", callback+"/"))
	if a := b.must(b.exchange(code)); a.Error != "invalid_grant: Code not valid" {
		t.Errorf("answered %d %s", a.Status, a.Raw)
	}
}

func TestACodeUsedTwiceEndsItsGrant(t *testing.T) {
	b := start(t, sandbox.Config{})
	code := b.consent(anna).Get("code")
	first := b.must(b.exchange(code))
	b.must(b.exchange(code))
	if a := b.must(b.refresh(first.Refresh)); a.Error != "invalid_grant: Token is not active" {
		t.Errorf("refresh answered %d %s", a.Status, a.Raw)
	}
	if got := kinds(b.sb.Report().Violations); got != "code_reused" {
		t.Errorf("violations = %q", got)
	}
}

func TestSecretRotation(t *testing.T) {
	b := start(t, sandbox.Config{})
	first := b.connect(anna)
	if a := b.control(http.MethodPost, "/clients", `{"client_id":"`+v2ClientID+`","client_secret":"n3w"}`, nil); a.Status != 200 || strings.Contains(a.Raw, "n3w") {
		t.Fatalf("answered %d %s", a.Status, a.Raw)
	}
	if a := b.must(b.refresh(first.Refresh)); a.Status != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("the old secret answered %d %s", a.Status, a.Raw)
	}
	if a := b.must(b.post(t.Context(), "n3w", "grant_type", "refresh_token", "refresh_token", first.Refresh)); a.Status != http.StatusOK {
		t.Errorf("the new secret answered %d %s; a refused client must cost nothing", a.Status, a.Raw)
	}
}

func TestARefreshMayNarrowTheScope(t *testing.T) {
	b := start(t, sandbox.Config{})
	first := b.connect(anna)
	a := b.must(b.post(t.Context(), secret, "grant_type", "refresh_token", "refresh_token", first.Refresh, "scope", "orders-api offline_access"))
	if got := a.Fields["scope"]; got != "orders-api offline_access profile email" {
		t.Errorf("scope = %v", got)
	}
	if got := b.get("/f/data/businesses", a.Access).Status; got != http.StatusForbidden {
		t.Errorf("businesses without financial-api answered %d", got)
	}
	if a = b.must(b.refresh(a.Refresh)); a.Fields["scope"] != "financial-api orders-api offline_access profile email" {
		t.Errorf("the grant's scope must come back, got %v", a.Fields["scope"])
	}
}

func TestRotationPolicies(t *testing.T) {
	const dead = "invalid_grant: Token is not active"
	type step struct {
		do   string // old, new: refresh with it; use: call the API with the new access token; wait
		want string // "" for success
	}
	for name, c := range map[string]struct {
		client string
		steps  []step
		live   int
	}{
		"family_kill: reuse ends the grant":              {`"rotation":"family_kill"`, []step{{"old", dead}, {"new", dead}}, 0},
		"strict: reuse is refused, the successor lives":  {`"rotation":"strict"`, []step{{"old", dead}, {"new", ""}}, 1},
		"grace: good within the window, then refused":    {`"rotation":"grace","window":"30s"`, []step{{"old", ""}, {"wait 30s", ""}, {"old", ""}, {"wait 1s", ""}, {"old", dead}, {"new", ""}}, 1},
		"grace: 30 s when no window is given":            {`"rotation":"grace"`, []step{{"wait 31s", ""}, {"old", dead}}, 1},
		"lenient: good for a day":                        {`"rotation":"lenient"`, []step{{"wait 24h", ""}, {"old", ""}, {"wait 1s", ""}, {"old", dead}}, 1},
		"retire_on_use: good until the new access token": {`"rotation":"retire_on_use"`, []step{{"old", ""}, {"old", ""}, {"use", ""}, {"old", dead}, {"new", ""}}, 1},
		"retire_on_use: good until the new refresh":      {`"rotation":"retire_on_use"`, []step{{"old", ""}, {"new", ""}, {"old", dead}}, 1},
		"retire_on_use: at most for the window":          {`"rotation":"retire_on_use","window":"1m"`, []step{{"wait 61s", ""}, {"old", dead}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, sandbox.Config{})
			b.control(http.MethodPost, "/clients", `{"client_id":"`+v2ClientID+`",`+c.client+`}`, nil)
			first := b.connect(anna)
			current := b.must(b.refresh(first.Refresh))
			for i, s := range c.steps {
				var a answered
				switch s.do {
				case "old":
					a = b.must(b.refresh(first.Refresh))
				case "new":
					a = b.must(b.refresh(current.Refresh))
				case "use":
					b.get("/f/data/businesses", current.Access)
					continue
				default:
					d, err := time.ParseDuration(strings.TrimPrefix(s.do, "wait "))
					if err != nil {
						t.Fatal(err)
					}
					b.sb.Advance(d)
					continue
				}
				if got := strings.TrimPrefix(a.Error, ": "); got != s.want {
					t.Fatalf("step %d %s answered %d %q, want %q", i, s.do, a.Status, got, s.want)
				}
				if a.Status == http.StatusOK && a.Refresh == first.Refresh {
					t.Fatalf("step %d answered the old refresh token", i)
				}
			}
			rep := b.sb.Report()
			if rep.Grants.Live != c.live {
				t.Errorf("live grants = %d, want %d", rep.Grants.Live, c.live)
			}
		})
	}
}

func TestStaticRotationKeepsTheRefreshToken(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.control(http.MethodPost, "/clients", `{"client_id":"`+v2ClientID+`","rotation":"static"}`, nil)
	first := b.connect(anna)
	for range 3 {
		b.sb.Advance(39 * 24 * time.Hour) // each use begins its 40 days again
		a := b.must(b.refresh(first.Refresh))
		if a.Status != http.StatusOK || a.Refresh != first.Refresh {
			t.Fatalf("answered %d %s", a.Status, a.Raw)
		}
	}
	if rep := b.sb.Report(); len(rep.Violations) != 0 || rep.Refreshes != 3 {
		t.Errorf("report = %+v", rep)
	}
}

func TestRevokeAndLogoutEndTheGrant(t *testing.T) {
	for path, done := range map[string]int{"/revoke": http.StatusOK, "/logout": http.StatusNoContent} {
		t.Run(path, func(t *testing.T) {
			b := start(t, sandbox.Config{})
			first := b.connect(anna)
			b.token = b.url + v2Root + path
			parameter := map[string]string{"/revoke": "token", "/logout": "refresh_token"}[path]
			if a := b.must(b.post(t.Context(), "wrong", parameter, first.Refresh)); a.Status != http.StatusUnauthorized {
				t.Errorf("a wrong secret answered %d", a.Status)
			}
			if a := b.must(b.post(t.Context(), secret, parameter, "unknown")); a.Status != done {
				t.Errorf("an unknown token answered %d", a.Status)
			}
			if a := b.must(b.post(t.Context(), secret, parameter, first.Refresh)); a.Status != done {
				t.Errorf("answered %d %s", a.Status, a.Raw)
			}
			if a := b.get("/f/data/businesses", first.Access); a.Status != http.StatusUnauthorized {
				t.Errorf("the access token must be dead, got %d", a.Status)
			}
		})
	}
}

func TestRevokingAnAccessTokenLeavesTheGrant(t *testing.T) {
	b := start(t, sandbox.Config{})
	first := b.connect(anna)
	token := b.token
	b.token = b.url + v2Root + "/revoke"
	b.must(b.post(t.Context(), secret, "token", first.Access))
	b.token = token
	if a := b.get("/f/data/businesses", first.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("the access token must be dead, got %d", a.Status)
	}
	if a := b.must(b.refresh(first.Refresh)); a.Status != http.StatusOK {
		t.Errorf("the refresh token must be alive, got %d %s", a.Status, a.Raw)
	}
}

func TestLifetimesApplyToTokensIssuedLater(t *testing.T) {
	b := start(t, sandbox.Config{AccessLifetime: time.Minute})
	first := b.connect(anna)
	if got := first.Fields["expires_in"]; got != 60.0 {
		t.Errorf("Config.AccessLifetime: expires_in = %v", got)
	}
	b.control(http.MethodPost, "/lifetimes", `{"access":"20s","refresh":"1h","code":"2s"}`, nil)
	b.sb.Advance(59 * time.Second)
	if a := b.get("/f/data/businesses", first.Access); a.Status != http.StatusOK {
		t.Errorf("a token issued before keeps its life, got %d", a.Status)
	}
	second := b.must(b.refresh(first.Refresh))
	if got := second.Fields["expires_in"]; got != 20.0 {
		t.Errorf("expires_in = %v, want 20", got)
	}
	b.sb.Advance(20 * time.Second)
	if a := b.get("/f/data/businesses", second.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("an expired token answered %d", a.Status)
	}
	code := b.consent(anna).Get("code")
	b.sb.Advance(2 * time.Second)
	if a := b.must(b.exchange(code)); a.Error != "invalid_grant: Code not valid" {
		t.Errorf("a code of 2 s answered %d %s", a.Status, a.Raw)
	}
	b.sb.Advance(time.Hour)
	if a := b.must(b.refresh(second.Refresh)); a.Error != "invalid_grant: Token is not active" {
		t.Errorf("a refresh token of 1 h answered %d %s", a.Status, a.Raw)
	}
}
