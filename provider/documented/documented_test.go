package documented

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
)

// facts are what the documentation of one platform says. Sources are the
// recipe's.
type facts struct {
	env       provider.Environment
	endpoints provider.Endpoints // what the operator names
	vars      map[string]string  // with the redirect
	scopes    []string

	authorize string // the authorize URL without state and challenge
	token     string // where a code is exchanged
	refresh   string // where tokens are renewed, if elsewhere
	api       string

	json   bool   // token requests are JSON
	basic  bool   // the client in a header
	code   string // the parameters of an exchange, besides the client's
	answer string // of the token endpoint
	want   oauth.Token
	whose  grant.Identity
	policy grant.Policy
}

const redirect = "https%3A%2F%2Fconnect.acme.example%2Foauth%2Fcallback%2Fapp"

func table() map[string]facts {
	return map[string]facts{
		"lightspeed-l": {
			scopes:    []string{"orders"},
			authorize: "https://lightspeedapis.com/resto/oauth2/v1/authorize?client_id=acme&code_challenge_method=S256&redirect_uri=" + redirect + "&response_type=code&scope=orders",
			token:     "https://lightspeedapis.com/resto/oauth2/v1/token", api: "https://lightspeedapis.com",
			basic: true, code: "code=c&code_verifier=v&grant_type=authorization_code&redirect_uri=" + redirect,
			answer: `{"access_token":"at","refresh_token":"rt","expires_in":3600}`, want: oauth.Token{ExpiresIn: time.Hour},
			policy: grant.Policy{Rotation: grant.Grace, Window: time.Minute, AccessLifetime: time.Hour, RefreshIdle: 30 * day, RefreshWindow: 30 * time.Second},
		},
		"lightspeed-o": {
			authorize: "https://my.kounta.com/authorize?client_id=acme&redirect_uri=" + redirect + "&response_type=code",
			token:     "https://api.kounta.com/v1/token", api: "https://api.kounta.com",
			code:   "code=c&grant_type=authorization_code&redirect_uri=" + redirect,
			answer: `{"access_token":"at","token_type":"bearer","expires_in":7200,"refresh_token":"rt"}`, want: oauth.Token{ExpiresIn: 2 * time.Hour},
			policy: grant.Policy{Rotation: grant.Unknown, RefreshWindow: 30 * time.Second},
		},
		"quickbooks": {
			env: provider.Trial, vars: map[string]string{"realmId": "9130354"}, scopes: []string{"com.intuit.quickbooks.accounting"},
			authorize: "https://appcenter.intuit.com/connect/oauth2?client_id=acme&redirect_uri=" + redirect + "&response_type=code&scope=com.intuit.quickbooks.accounting",
			token:     "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer", api: "https://sandbox-quickbooks.api.intuit.com/v3/company/9130354",
			basic: true, code: "code=c&grant_type=authorization_code&redirect_uri=" + redirect,
			answer: `{"token_type":"bearer","expires_in":3600,"refresh_token":"rt","x_refresh_token_expires_in":8726400,"access_token":"at"}`,
			want:   oauth.Token{ExpiresIn: time.Hour, RefreshExpiresIn: 101 * day}, whose: grant.Identity{Account: "9130354"},
			policy: grant.Policy{Rotation: grant.Lenient, Window: day, AccessLifetime: time.Hour, RefreshIdle: 100 * day, RefreshAbsolute: 1825 * day},
		},
		"xero": {
			scopes:    []string{"accounting.transactions", "offline_access"},
			authorize: "https://login.xero.com/identity/connect/authorize?client_id=acme&redirect_uri=" + redirect + "&response_type=code&scope=accounting.transactions%20offline_access",
			token:     "https://identity.xero.com/connect/token", api: "https://api.xero.com",
			basic: true, code: "code=c&grant_type=authorization_code&redirect_uri=" + redirect,
			answer: `{"access_token":"at","expires_in":1800,"token_type":"Bearer","refresh_token":"rt","scope":"accounting.transactions offline_access"}`,
			want:   oauth.Token{ExpiresIn: 30 * time.Minute, Scope: "accounting.transactions offline_access"},
			policy: grant.Policy{Rotation: grant.Grace, Window: 30 * time.Minute, AccessLifetime: 30 * time.Minute, RefreshIdle: 60 * day},
		},
		"square": {
			env: provider.Trial, scopes: []string{"ITEMS_READ", "ORDERS_READ"},
			authorize: "https://connect.squareupsandbox.com/oauth2/authorize?client_id=acme&redirect_uri=" + redirect + "&response_type=code&scope=ITEMS_READ%20ORDERS_READ",
			token:     "https://connect.squareupsandbox.com/oauth2/token", api: "https://connect.squareupsandbox.com",
			json: true, code: "code=c&grant_type=authorization_code&redirect_uri=" + redirect,
			answer: `{"access_token":"at","token_type":"bearer","expires_at":"2026-02-01T00:00:00Z","merchant_id":"ML2PM","refresh_token":"rt","short_lived":false}`,
			want:   oauth.Token{ExpiresIn: 31 * day, Extra: map[string]string{"merchant_id": "ML2PM", "short_lived": "false"}}, whose: grant.Identity{Account: "ML2PM"},
			policy: grant.Policy{Rotation: grant.Static, AccessLifetime: 30 * day, RefreshWindow: 23 * day},
		},
		"shopify": {
			endpoints: provider.Endpoints{Authorize: "https://acme-shop.myshopify.com/admin/oauth/authorize"},
			vars:      map[string]string{"shop": "acme-shop.myshopify.com", "hmac": "700e2d"}, scopes: []string{"read_orders,read_products"},
			authorize: "https://acme-shop.myshopify.com/admin/oauth/authorize?client_id=acme&redirect_uri=" + redirect + "&response_type=code&scope=read_orders%2Cread_products",
			token:     "https://acme-shop.myshopify.com/admin/oauth/access_token", api: "https://acme-shop.myshopify.com",
			code:   "code=c&expiring=1&grant_type=authorization_code&redirect_uri=" + redirect,
			answer: `{"access_token":"at","scope":"read_orders,read_products","expires_in":3600,"refresh_token":"rt","refresh_token_expires_in":7776000}`,
			want:   oauth.Token{ExpiresIn: time.Hour, RefreshExpiresIn: 90 * day, Scope: "read_orders,read_products"}, whose: grant.Identity{Account: "acme-shop"},
			policy: grant.Policy{Rotation: grant.RetireOnUse, Window: 30 * day, AccessLifetime: time.Hour, RefreshIdle: 90 * day},
		},
		"clover": {
			env:       europe,
			authorize: "https://www.eu.clover.com/oauth/v2/authorize?client_id=acme&redirect_uri=" + redirect + "&response_type=code",
			token:     "https://api.eu.clover.com/oauth/v2/token", refresh: "https://api.eu.clover.com/oauth/v2/refresh", api: "https://api.eu.clover.com",
			json: true, code: "code=c&grant_type=authorization_code&redirect_uri=" + redirect,
			answer: `{"access_token":"at","access_token_expiration":1767229200,"refresh_token":"rt","refresh_token_expiration":1798761600}`,
			want:   oauth.Token{ExpiresIn: time.Hour, RefreshExpiresIn: 365 * day},
			policy: grant.Policy{Rotation: grant.FamilyKill},
		},
	}
}

// sentAt is when the answers above came: 2026-01-01T00:00:00Z.
var sentAt = time.Unix(1767225600, 0)

func app(t *testing.T, r provider.Recipe, f facts) *provider.App {
	t.Helper()
	a, err := provider.NewApp(provider.AppOptions{
		Name: "app", Recipe: r, Environment: f.env, Endpoints: f.endpoints, ClientID: "acme",
		Secrets: []secret.String{secret.New("s3cret")}, Scopes: f.scopes, PublicURL: "https://connect.acme.example",
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRecipesAreWhatTheDocumentationSays(t *testing.T) {
	all := table()
	for _, r := range Recipes() {
		f, ok := all[r.Name]
		if !ok {
			t.Errorf("nothing is known of %s", r.Name)
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			a := app(t, r, f)
			vars, err := a.Variables(f.vars)
			if err != nil {
				t.Fatal(err)
			}
			ep, err := a.ResolvedFor(t.Context(), nil, vars)
			if err != nil {
				t.Fatal(err)
			}
			if f.refresh == "" {
				f.refresh = f.token
			}
			if ep.Token != f.token || ep.RefreshURL() != f.refresh || ep.API != f.api {
				t.Errorf("endpoints = %+v", ep)
			}
			if diff := cmp.Diff(f.policy, a.Policy); diff != "" {
				t.Errorf("policy (-want +got):\n%s", diff)
			}
			if !r.Untried || len(r.Quirks) == 0 || len(r.Sources) == 0 {
				t.Error("it is not marked as from documentation, with quirks and sources")
			}
			checkAuthorize(t, a, ep, f)
			checkAnswer(t, a, vars, f)
		})
	}
}

func checkAuthorize(t *testing.T, a *provider.App, ep provider.Endpoints, f facts) {
	req := oauth.AuthorizeRequest{
		Endpoint: ep.Authorize, ClientID: a.ClientID, RedirectURI: a.RedirectParam(a.RedirectURI), State: "s", Scopes: a.Scopes, Extra: a.AuthorizeParams(),
	}
	if a.PKCE {
		req.Verifier = secret.New("v")
	}
	raw, err := oauth.AuthorizeURL(req)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("state") != "s" || a.PKCE != q.Has("code_challenge") {
		t.Errorf("authorize URL = %s", raw)
	}
	q.Del("state")
	q.Del("code_challenge")
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	if u.String() != f.authorize {
		t.Errorf("authorize URL\n  %s, want\n  %s", u, f.authorize)
	}
}

func checkAnswer(t *testing.T, a *provider.App, vars map[string]string, f facts) {
	tok, err := oauth.ParseToken(oauth.Answer{Sent: true, Complete: true, Status: 200, SentAt: sentAt, Body: []byte(f.answer)})
	if err != nil {
		t.Fatal(err)
	}
	if a.Recipe.Identify != nil {
		if diff := cmp.Diff(f.whose, a.Recipe.Identify(tok, vars)); diff != "" {
			t.Errorf("identity (-want +got):\n%s", diff)
		}
	}
	if missing := a.MissingScopes(tok.Scope); len(missing) > 0 {
		t.Errorf("scopes %q are missing", missing)
	}
	if tok.AccessToken.Reveal() != "at" || tok.RefreshToken.Reveal() != "rt" || tok.Type != "Bearer" {
		t.Errorf("token = %+v", tok)
	}
	tok.AccessToken, tok.RefreshToken, tok.Type = secret.String{}, secret.String{}, ""
	if diff := cmp.Diff(f.want, tok, cmp.Comparer(func(a, b secret.String) bool { return a.Reveal() == b.Reveal() })); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
}

// received is what a token endpoint was sent.
type received struct {
	path, kind, basic string
	params            url.Values
}

func TestTokenRequestsHaveTheShapeThatIsDocumented(t *testing.T) {
	all := table()
	for _, r := range Recipes() {
		t.Run(r.Name, func(t *testing.T) {
			var got []received
			s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { got = append(got, receive(t, req)) }))
			defer s.Close()
			f := all[r.Name]
			f.endpoints = provider.Endpoints{Authorize: s.URL + "/authorize", Token: s.URL + "/token", API: s.URL}
			if f.refresh != "" {
				f.endpoints.Refresh = s.URL + "/refresh"
			}
			a := app(t, r, f)
			sender := oauth.NewSender(oauth.SenderConfig{})
			defer sender.Close()
			verifier := secret.String{}
			if a.PKCE {
				verifier = secret.New("v")
			}
			send := func(u string, params url.Values) {
				sender.Send(t.Context(), oauth.Request{TokenURL: u, Client: a.Client(0), Encoding: r.Encoding, Params: params})
			}
			send(a.Endpoints.Token, a.ExchangeParams(oauth.CodeParams(secret.New("c"), a.RedirectParam(a.RedirectURI), verifier)))
			send(a.Endpoints.RefreshURL(), oauth.RefreshParams(secret.New("rt")))

			code, err := url.ParseQuery(f.code)
			if err != nil {
				t.Fatal(err)
			}
			exchange, renewal := received{path: "/token", kind: "application/x-www-form-urlencoded", params: code},
				received{path: "/token", kind: "application/x-www-form-urlencoded", params: url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"rt"}}}
			if f.refresh != "" {
				renewal.path = "/refresh"
			}
			want := []received{exchange, renewal}
			for i := range want {
				if f.json {
					want[i].kind = "application/json"
				}
				if f.basic {
					want[i].basic = "acme:s3cret"
					continue
				}
				want[i].params.Set("client_id", "acme")
				want[i].params.Set("client_secret", "s3cret")
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(received{})); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// receive reads a token request in either encoding.
func receive(t *testing.T, req *http.Request) received {
	got := received{path: req.URL.Path, kind: req.Header.Get("Content-Type"), params: url.Values{}}
	if id, pw, ok := req.BasicAuth(); ok {
		got.basic = id + ":" + pw
	}
	body, err := io.ReadAll(req.Body)
	if err != nil || req.Method != http.MethodPost || req.URL.RawQuery != "" {
		t.Errorf("%s %s, %v", req.Method, req.RequestURI, err)
	}
	if got.kind != "application/json" {
		if got.params, err = url.ParseQuery(string(body)); err != nil {
			t.Error(err)
		}
		return got
	}
	var object map[string]string
	if err := json.Unmarshal(body, &object); err != nil {
		t.Error(err)
	}
	for name, v := range object {
		got.params.Set(name, v)
	}
	return got
}

func TestErrorsOfTokenEndpointsMeanWhatTheyShould(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   grant.Outcome
	}{
		{"a refused refresh token", 400, `{"error":"invalid_grant"}`, grant.Refused},
		{"as Xero words it", 400, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`, grant.Refused},
		{"a wrong secret", 401, `{"error":"invalid_client"}`, grant.Misconfigured},
		{"a wrong secret, as Xero answers", 400, `{"error":"invalid_client"}`, grant.Misconfigured},
		{"an app that may not", 400, `{"error":"unauthorized_client"}`, grant.Misconfigured},
		{"an error of Square's shape", 401, `{"errors":[{"category":"AUTHENTICATION_ERROR","code":"UNAUTHORIZED","detail":"x"}]}`, grant.Unclear},
		{"an error of Clover's shape", 401, `{"message":"401 Unauthorized"}`, grant.Unclear},
		{"too many", 429, `{}`, grant.Throttled},
		{"a page", 502, `<html>`, grant.Unclear},
	}
	for _, r := range Recipes() {
		for _, tt := range tests {
			a := oauth.Answer{Sent: true, Complete: true, Status: tt.status, ContentType: "application/json", Body: []byte(tt.body)}
			if got := oauth.Classify(a, r.Errors).Outcome; got != tt.want {
				t.Errorf("%s: %s is %s, want %s", r.Name, tt.name, got, tt.want)
			}
		}
	}
}

func TestWhatAnAPISaysToATokenThatHasEnded(t *testing.T) {
	const kounta = `{"error":"invalid_token","error_description":"The access token provided has expired"}`
	for _, r := range Recipes() {
		for _, tt := range []struct {
			status int
			body   string
			want   bool
		}{
			{401, ``, true}, {400, kounta, r.Name == "lightspeed-o"}, {400, `{"error":"bad request"}`, false}, {403, kounta, false}, {200, kounta, false},
		} {
			if got := r.RefusesToken(tt.status, []byte(tt.body)); got != tt.want {
				t.Errorf("%s: %d %s refuses the token: %t", r.Name, tt.status, tt.body, got)
			}
		}
	}
}

func TestShopsOfOtherHostsAreRefused(t *testing.T) {
	a := app(t, shopify(), table()["shopify"])
	for _, shop := range []string{"acme-shop", "acme-shop.myshopify.com"} {
		if v, err := a.Variables(map[string]string{"shop": shop}); err != nil || v["shop"] != "acme-shop" {
			t.Errorf("%s: %v, %v", shop, v, err)
		}
	}
	for _, shop := range []string{"", ".myshopify.com", "evil.example", "evil.example#.myshopify.com", "evil.example/.myshopify.com",
		"a.b.myshopify.com", "x@evil.myshopify.com", "acme.myshopify.com.evil.example", "acme.myshopify.com.myshopify.com", "ACME.myshopify.com"} {
		if v, err := a.Variables(map[string]string{"shop": shop}); err == nil {
			t.Errorf("%q is taken for %v", shop, v)
		}
	}
}

// TestTheDocumentsNameEveryRecipe keeps docs/providers.md and the table alike.
func TestTheDocumentsNameEveryRecipe(t *testing.T) {
	page, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Recipes() {
		if !strings.Contains(string(page), fmt.Sprintf("| `%s` |", r.Name)) {
			t.Errorf("docs/providers.md has no row for %s", r.Name)
		}
		for _, s := range r.Sources {
			if s, _, _ = strings.Cut(s, " ("); !strings.Contains(string(page), s) {
				t.Errorf("docs/providers.md does not name %s's source %s", r.Name, s)
			}
		}
	}
}
