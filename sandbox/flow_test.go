package sandbox_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/sandbox"
)

func TestV2Flow(t *testing.T) {
	b := start(t, sandbox.Config{})
	q := b.consent(anna)
	if got, want := q.Get("state"), "st4te"; got != want {
		t.Errorf("state = %q, want %q", got, want)
	}
	if got, want := q.Get("iss"), b.url+"/k/realms/k-series"; got != want {
		t.Errorf("iss = %q, want %q", got, want)
	}
	if q.Get("session_state") == "" {
		t.Error("the callback has no session_state")
	}
	first := b.must(b.exchange(q.Get("code")))
	if first.Status != http.StatusOK {
		t.Fatalf("exchange answered %d %s", first.Status, first.Raw)
	}
	want := map[string]any{
		"expires_in": 1500.0, "refresh_expires_in": 0.0, "token_type": "Bearer", "not-before-policy": 0.0,
		"scope": "financial-api orders-api offline_access profile email", "session_state": q.Get("session_state"),
	}
	got := map[string]any{}
	for k, v := range first.Fields {
		if k != "access_token" && k != "refresh_token" {
			got[k] = v
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("token answer (-want +got):\n%s", diff)
	}
	if n := len(first.Access); n < 900 || n > 2500 {
		t.Errorf("access token is %d bytes long, want about 1 KB", n)
	}
	if first.Header.Get("X-Sandbox") != "true" || first.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers = %v", first.Header)
	}
	if a := b.get("/f/data/businesses", first.Access); a.Status != http.StatusOK {
		t.Errorf("businesses answered %d %s", a.Status, a.Raw)
	}
	second := b.must(b.refresh(first.Refresh))
	if second.Refresh == "" || second.Refresh == first.Refresh || second.Access == first.Access {
		t.Errorf("a refresh must rotate both tokens, got %d %s", second.Status, second.Raw)
	}
	if a := b.get("/f/data/businesses", first.Access); a.Status != http.StatusOK {
		t.Errorf("the old access token must live to its end, got %d", a.Status)
	}
	rep := b.sb.Report()
	if rep.Exchanges != 1 || rep.Refreshes != 1 || rep.SendsPerRotation != 1 || rep.Grants.Live != 1 || len(rep.Violations) != 0 {
		t.Errorf("report = %+v", rep)
	}
}

func TestV1Flow(t *testing.T) {
	b := startV1(t, sandbox.Config{})
	q := b.consent(anna)
	if q.Has("iss") || q.Has("session_state") {
		t.Errorf("V1 sends no iss and no session_state, got %v", q)
	}
	first := b.must(b.exchange(q.Get("code")))
	if got := first.Fields["expires_in"]; got != 3600.0 {
		t.Errorf("expires_in = %v, want 3600", got)
	}
	if got := first.Fields["scope"]; got != "financial-api orders-api offline_access" {
		t.Errorf("scope = %v, want what was asked for", got)
	}
	second := b.must(b.refresh(first.Refresh))
	if second.Status != http.StatusOK || second.Refresh == first.Refresh {
		t.Errorf("refresh answered %d %s", second.Status, second.Raw)
	}
	info := b.get("/oauth/userinfo", second.Access)
	if !strings.Contains(info.Raw, `"emailAddress":"`+anna+`"`) || !strings.Contains(info.Raw, "ROLE_CONFIG") {
		t.Errorf("userinfo answered %d %s", info.Status, info.Raw)
	}
	if rep := b.sb.Report(); len(rep.Violations) != 0 {
		t.Errorf("V1's documented query parameters are no violation, got %v", rep.Violations)
	}
	b.sb.Advance(14*24*time.Hour + time.Second)
	if a := b.must(b.refresh(second.Refresh)); a.Status != http.StatusBadRequest {
		t.Errorf("a refresh token of 14 days answered %d %s", a.Status, a.Raw)
	}
}

func TestV1RefusesParametersInTheBody(t *testing.T) {
	b := startV1(t, sandbox.Config{})
	code := b.consent(anna).Get("code")
	b.inQuery = false
	if a := b.must(b.exchange(code)); a.Status != http.StatusBadRequest || !strings.HasPrefix(a.Error, "invalid_request") {
		t.Errorf("answered %d %s", a.Status, a.Raw)
	}
	b.inQuery = true
	if a := b.must(b.exchange(code)); a.Status != http.StatusOK {
		t.Errorf("the code must still be good, got %d %s", a.Status, a.Raw)
	}
}

func TestAccessTokenVerifiesAgainstCerts(t *testing.T) {
	b := start(t, sandbox.Config{})
	tok := b.connect(anna, "scope", "openid financial-api", "nonce", "n0nce")
	var keys struct {
		Keys []struct{ N, E string }
	}
	resp := b.must(b.do(mustRequest(t, http.MethodGet, b.url+v2Root+"/certs")))
	if err := json.Unmarshal([]byte(resp.Raw), &keys); err != nil || len(keys.Keys) != 1 {
		t.Fatalf("certs answered %s: %v", resp.Raw, err)
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(decode64(t, keys.Keys[0].N)), E: int(new(big.Int).SetBytes(decode64(t, keys.Keys[0].E)).Int64())}
	id, _ := tok.Fields["id_token"].(string)
	for name, jwt := range map[string]string{"access token": tok.Access, "id token": id} {
		parts := strings.Split(jwt, ".")
		if len(parts) != 3 {
			t.Fatalf("%s is no JWT: %q", name, jwt)
		}
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], decode64(t, parts[2])); err != nil {
			t.Errorf("%s does not verify: %v", name, err)
		}
		var claims map[string]any
		if err := json.Unmarshal(decode64(t, parts[1]), &claims); err != nil {
			t.Fatal(err)
		}
		if claims["azp"] != v2ClientID || claims["iss"] != b.url+"/k/realms/k-series" || claims["email"] != anna || claims["sub"] == "" {
			t.Errorf("%s claims = %v", name, claims)
		}
	}
	if got := tok.Fields["refresh_expires_in"]; got != 1800.0 {
		t.Errorf("without offline_access refresh_expires_in = %v, want 1800", got)
	}
}

func TestDiscoveryNamesWhatIsServed(t *testing.T) {
	b := start(t, sandbox.Config{})
	a := b.must(b.do(mustRequest(t, http.MethodGet, b.url+"/k/realms/k-series/.well-known/openid-configuration")))
	for field, want := range map[string]string{"issuer": b.url + "/k/realms/k-series", "authorization_endpoint": b.authorize, "token_endpoint": b.token} {
		if a.Fields[field] != want {
			t.Errorf("%s = %v, want %s", field, a.Fields[field], want)
		}
	}
	other := start(t, sandbox.Config{URL: "https://sandbox.example/"})
	a = other.must(other.do(mustRequest(t, http.MethodGet, other.url+"/k/realms/k-series/.well-known/openid-configuration")))
	if got := a.Fields["issuer"]; got != "https://sandbox.example/k/realms/k-series" {
		t.Errorf("with Config.URL issuer = %v", got)
	}
}

func TestAuthorizeErrorsShownAsAPage(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.connect(anna) // fixes the redirect URI
	for name, c := range map[string]struct{ url, want string }{
		"a client of another series is not found":      {b.authorizeURL("client_id", "devp-acme"), "Client not found"},
		"a client of no series is not found":           {b.authorizeURL("client_id", "acme"), "Client not found"},
		"a redirect URI with a slash more is refused":  {b.authorizeURL("redirect_uri", callback+"/"), "Invalid parameter: redirect_uri"},
		"a missing redirect URI is refused":            {b.authorizeURL("redirect_uri", ""), "Invalid parameter: redirect_uri"},
		"plain http to another machine is refused":     {b.authorizeURL("client_id", "devp-v2-new", "redirect_uri", "http://app.example/cb"), "Invalid parameter: redirect_uri"},
		"V1 does not know a client of V2":              {strings.Replace(b.authorizeURL(), b.authorize, b.url+"/k1/oauth/authorize", 1), "Client not found"},
		"a login that nobody began is an expired page": {b.url + "/k/realms/k-series/login-actions/consent?session_code=x", "Page has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.must(b.do(mustRequest(t, http.MethodGet, c.url)))
			if a.Status != http.StatusBadRequest || !strings.Contains(a.Raw, c.want) || !strings.Contains(a.Raw, "SANDBOX") {
				t.Errorf("answered %d %s", a.Status, a.Raw)
			}
		})
	}
}

func TestAuthorizeErrorsSentOnTheRedirect(t *testing.T) {
	b := start(t, sandbox.Config{})
	iss := b.url + "/k/realms/k-series"
	for name, c := range map[string]struct {
		url  string
		want url.Values
	}{
		"an unknown scope": {
			b.authorizeURL("scope", "financial_api offline_access"),
			url.Values{"error": {"invalid_scope"}, "error_description": {"Invalid scopes: financial_api offline_access"}, "iss": {iss}, "state": {"st4te"}},
		},
		"no response_type": {
			b.authorizeURL("response_type", ""),
			url.Values{"error": {"invalid_request"}, "error_description": {"Missing parameter: response_type"}, "iss": {iss}, "state": {"st4te"}},
		},
		"a response_type other than code": {
			b.authorizeURL("response_type", "token"),
			url.Values{"error": {"unsupported_response_type"}, "error_description": {"Invalid parameter: response_type"}, "iss": {iss}, "state": {"st4te"}},
		},
		"a plain PKCE challenge": {
			b.authorizeURL("code_challenge", strings.Repeat("a", 43), "code_challenge_method", "plain"),
			url.Values{"error": {"invalid_request"}, "error_description": {"Invalid parameter: code_challenge_method"}, "iss": {iss}, "state": {"st4te"}},
		},
		"a challenge that is no SHA-256 sum": {
			b.authorizeURL("code_challenge", "short", "code_challenge_method", "S256"),
			url.Values{"error": {"invalid_request"}, "error_description": {"Invalid parameter: code_challenge"}, "iss": {iss}, "state": {"st4te"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := b.http.Do(mustRequest(t, http.MethodGet, c.url))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			to, err := resp.Location()
			if err != nil {
				body, _ := io.ReadAll(resp.Body)
				t.Fatalf("no redirect: %v, %s", err, body)
			}
			if diff := cmp.Diff(c.want, to.Query()); diff != "" {
				t.Errorf("callback query (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInvalidScopeIsWrittenAsTheVendorWritesIt(t *testing.T) {
	b := start(t, sandbox.Config{})
	resp, err := b.http.Do(mustRequest(t, http.MethodGet, b.authorizeURL("scope", "items-api")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Location"); !strings.Contains(got, "error=invalid_scope") || !strings.Contains(got, "error_description=Invalid+scopes%3A+items-api") {
		t.Errorf("Location = %s", got)
	}
}

func TestWrongPasswordStaysOnTheLoginPage(t *testing.T) {
	b := start(t, sandbox.Config{})
	_, page, err := sandbox.Visit{Client: b.http, Email: anna, Password: "wrong"}.Follow(t.Context(), b.authorizeURL())
	if err == nil || !strings.Contains(page, "Invalid username or password") {
		t.Errorf("err = %v, page = %s", err, page)
	}
}

func TestDecliningIsSentOnTheRedirect(t *testing.T) {
	b := start(t, sandbox.Config{})
	final, _, err := sandbox.Visit{Client: b.http, Email: anna, Decline: true}.Follow(t.Context(), b.authorizeURL())
	u, _ := url.Parse(final)
	if err != nil || u.Query().Get("error") != "access_denied" || u.Query().Get("state") != "st4te" || u.Query().Has("code") {
		t.Errorf("final = %s, err = %v", final, err)
	}
}

func TestVisitWithoutAnEmailIsADemoUser(t *testing.T) {
	b := start(t, sandbox.Config{})
	final, page, err := sandbox.Visit{Client: b.http}.Follow(t.Context(), b.authorizeURL())
	if err != nil || !strings.Contains(final, "code=") {
		t.Errorf("final = %s, err = %v, page = %s", final, err, page)
	}
}

func mustRequest(t *testing.T, method, to string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func decode64(t *testing.T, s string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
