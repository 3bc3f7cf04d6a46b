package provider_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
	"github.com/evergrant/evergrant/provider/builtin"
)

// options are those of an app that is right.
func options() provider.AppOptions {
	return provider.AppOptions{
		Name: "k-series", Recipe: builtin.Recipes()["lightspeed-k"], ClientID: "devp-v2-prod-acme",
		Secrets: []secret.String{secret.New("s3cret")}, Scopes: []string{"financial-api", "offline_access"},
		RequiredScopes: []string{"financial-api"}, PublicURL: "https://connect.acme.example/",
	}
}

// generic are the options of an app of the generic recipe.
func generic(e provider.Endpoints) provider.AppOptions {
	o := options()
	o.Name, o.Recipe, o.ClientID, o.Endpoints = "other", builtin.Recipes()["generic"], "acme", e
	return o
}

func TestAnAppIsItsRecipeFilledIn(t *testing.T) {
	a, err := provider.NewApp(options())
	if err != nil {
		t.Fatal(err)
	}
	want := provider.Endpoints{
		Issuer:    "https://auth.lsk-prod.app/realms/k-series",
		Authorize: "https://auth.lsk-prod.app/realms/k-series/protocol/openid-connect/auth",
		Token:     "https://auth.lsk-prod.app/realms/k-series/protocol/openid-connect/token",
		API:       "https://api.lsk.lightspeed.app",
	}
	if diff := cmp.Diff(want, a.Endpoints); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	if a.RedirectURI != "https://connect.acme.example/oauth/callback/k-series" {
		t.Errorf("redirect URI = %s", a.RedirectURI)
	}
	if a.Environment != provider.Production || a.Auth != oauth.Basic || !a.PKCE || a.Policy.Rotation != grant.FamilyKill || a.Policy.RefreshWindow != 30*time.Second {
		t.Errorf("app = %+v", a.Policy)
	}
	c := a.Client(0)
	if c.ID != a.ClientID || c.Secret.Reveal() != "s3cret" || c.Audience != want.Issuer {
		t.Errorf("client = %+v", c)
	}
	if !a.Client(1).Secret.IsZero() {
		t.Error("an app with one secret has a second one")
	}
	got, err := a.Resolved(t.Context(), nil) // nobody is asked
	if err != nil || got != want {
		t.Errorf("Resolved = %+v, %v", got, err)
	}
}

func TestTheSandboxsEndpointsAreUnderItsAddress(t *testing.T) {
	o := options()
	o.Environment, o.SandboxURL, o.ClientID = provider.Sandbox, "http://127.0.0.1:8430/", "devp-v2-demo-acme"
	a, err := provider.NewApp(o)
	if err != nil {
		t.Fatal(err)
	}
	want := provider.Endpoints{
		Issuer:    "http://127.0.0.1:8430/k/realms/k-series",
		Authorize: "http://127.0.0.1:8430/k/realms/k-series/protocol/openid-connect/auth",
		Token:     "http://127.0.0.1:8430/k/realms/k-series/protocol/openid-connect/token",
		Revoke:    "http://127.0.0.1:8430/k/realms/k-series/protocol/openid-connect/revoke",
		API:       "http://127.0.0.1:8430/k",
	}
	if diff := cmp.Diff(want, a.Endpoints); diff != "" {
		t.Errorf("V2 (-want +got):\n%s", diff)
	}
	o.Recipe, o.ClientID = builtin.Recipes()["lightspeed-k-v1"], "devp-acme"
	if a, err = provider.NewApp(o); err != nil {
		t.Fatal(err)
	}
	want = provider.Endpoints{
		Authorize: "http://127.0.0.1:8430/k1/oauth/authorize",
		Token:     "http://127.0.0.1:8430/k1/oauth/token",
		API:       "http://127.0.0.1:8430/k1",
	}
	if diff := cmp.Diff(want, a.Endpoints); diff != "" {
		t.Errorf("V1 (-want +got):\n%s", diff)
	}
}

func TestOverriddenEndpointsTakeTheirCompanionsWithThem(t *testing.T) {
	o := options()
	o.Environment, o.SandboxURL, o.ClientID = provider.Sandbox, "http://127.0.0.1:8430", "x"
	o.Endpoints = provider.Endpoints{Authorize: "https://as.example/auth", Token: "https://as.example/token"}
	a, err := provider.NewApp(o)
	if err != nil {
		t.Fatal(err)
	}
	if a.Endpoints.Issuer != "" || a.Endpoints.Revoke != "" || a.Endpoints.API != "http://127.0.0.1:8430/k" {
		t.Errorf("endpoints = %+v", a.Endpoints)
	}
	o.Endpoints.Issuer, o.Endpoints.Revoke = "https://as.example", "https://as.example/revoke"
	if a, err = provider.NewApp(o); err != nil || a.Endpoints.Issuer != "https://as.example" || a.Endpoints.Revoke != "https://as.example/revoke" {
		t.Errorf("endpoints = %+v, %v", a, err)
	}
}

func TestWhatIsWrongIsNamedByItsField(t *testing.T) {
	two := []secret.String{secret.New("a"), secret.New("b")}
	tests := []struct {
		name   string
		change func(*provider.AppOptions)
		want   string // begins a line of the error
	}{
		{"no client id", func(o *provider.AppOptions) { o.ClientID = " " }, "apps.k-series.client_id: missing"},
		{"a V1 client", func(o *provider.AppOptions) { o.ClientID = "devp-acme" }, "apps.k-series.client_id: ids that begin with devp- and not devp-v2- are V1 clients; use provider: lightspeed-k-v1"},
		{"a trial client in production", func(o *provider.AppOptions) { o.ClientID = "devp-v2-demo-acme" }, "apps.k-series.client_id: ids that begin with devp-v2-demo- are unknown in production"},
		{"a production client in trial", func(o *provider.AppOptions) { o.Environment = provider.Trial }, "apps.k-series.client_id: ids that begin with devp-v2-prod- are unknown in trial"},
		{"a line break in the client id", func(o *provider.AppOptions) { o.ClientID = "acme\n" }, "apps.k-series.client_id: contains"},
		{"no secret", func(o *provider.AppOptions) { o.Secrets = nil }, "apps.k-series.client_secret: missing; client_auth basic needs one"},
		{"an empty secret", func(o *provider.AppOptions) { o.Secrets = []secret.String{{}} }, "apps.k-series.client_secret: empty"},
		{"three secrets", func(o *provider.AppOptions) { o.Secrets = append(two, secret.New("c")) }, "apps.k-series.client_secret: 3 secrets"},
		{"a secret nobody sends", func(o *provider.AppOptions) { o.Auth = oauth.None }, "apps.k-series.client_secret: client_auth none"},
		{"an unknown way to authenticate", func(o *provider.AppOptions) { o.Auth = "magic" }, `apps.k-series.client_auth: "magic" is not one of`},
		{"an unknown environment", func(o *provider.AppOptions) { o.Environment = "moon" }, `apps.k-series.environment: lightspeed-k has no environment "moon"; it has production, sandbox, trial`},
		{"a sandbox nobody knows the way to", func(o *provider.AppOptions) { o.Environment = provider.Sandbox }, "apps.k-series.environment: sandbox needs the sandbox's address"},
		{"a misspelt scope", func(o *provider.AppOptions) { o.Scopes = append(o.Scopes, "offline-access") }, `apps.k-series.scopes: there is no scope "offline-access"; it is written "offline_access"`},
		{"a scope with a space", func(o *provider.AppOptions) { o.Scopes = []string{"a b"} }, `apps.k-series.scopes: "a b" is not a scope`},
		{"a scope twice", func(o *provider.AppOptions) { o.Scopes = append(o.Scopes, o.Scopes[0]) }, `apps.k-series.scopes: "financial-api" is listed twice`},
		{"a required scope nobody asks for", func(o *provider.AppOptions) { o.RequiredScopes = []string{"items"} }, `apps.k-series.required_scopes: "items" is not among scopes`},
		{"plain http", func(o *provider.AppOptions) { o.Endpoints.Token = "http://as.example/token" }, "apps.k-series.endpoints.token: "},
		{"a variable the recipe does not have", func(o *provider.AppOptions) { o.Endpoints.API = "https://{shop}.example" }, "apps.k-series.endpoints.api: lightspeed-k declares no variables"},
		{"a public address with a path", func(o *provider.AppOptions) { o.PublicURL = "https://acme.example/x" }, "server.public_url: "},
		{"an unknown rotation", func(o *provider.AppOptions) {
			o.Policy = func(p grant.Policy) grant.Policy { p.Rotation = "often"; return p }
		}, `apps.k-series.rotation.policy: rotation policy "often"`},
		{"a negative window", func(o *provider.AppOptions) {
			o.Policy = func(p grant.Policy) grant.Policy { p.RefreshWindow = -1; return p }
		}, "apps.k-series.refresh.window: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options()
			tt.change(&o)
			_, err := provider.NewApp(o)
			if err == nil {
				t.Fatal("accepted")
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if strings.HasPrefix(line, tt.want) {
					return
				}
			}
			t.Errorf("error = %q, want a line that begins with %q", err, tt.want)
		})
	}
}

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
	o := options()
	o.ClientID, o.Secrets, o.PublicURL = "", nil, ""
	_, err := provider.NewApp(o)
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("error = %v", err)
	}
}

func TestAGenericAppNeedsToKnowItsEndpoints(t *testing.T) {
	if _, err := provider.NewApp(generic(provider.Endpoints{})); err == nil ||
		!strings.Contains(err.Error(), "apps.other.endpoints.authorize: missing") || !strings.Contains(err.Error(), "apps.other.endpoints.token: missing") {
		t.Errorf("error = %v", err)
	}
	if _, err := provider.NewApp(generic(provider.Endpoints{Issuer: "https://id.example"})); err != nil {
		t.Error(err)
	}
	if _, err := provider.NewApp(generic(provider.Endpoints{Authorize: "https://id.example/a", Token: "https://id.example/t"})); err != nil {
		t.Error(err)
	}
}

func TestAnAppMissesOnlyWhatWasNotGranted(t *testing.T) {
	a, err := provider.NewApp(options())
	if err != nil {
		t.Fatal(err)
	}
	for granted, want := range map[string][]string{
		"": nil, "profile financial-api email": nil, "offline_access": {"financial-api"}, "offline_access,financial-api": nil,
	} {
		if diff := cmp.Diff(want, a.MissingScopes(granted)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", granted, diff)
		}
	}
}

func TestTheCatalogueIsConsistent(t *testing.T) {
	for name, r := range builtin.Recipes() {
		if name != r.Name || r.Title == "" || r.Login == "" || r.Auth == "" || r.Encoding == "" || r.Policy.Rotation == "" {
			t.Errorf("%s: %+v", name, r)
		}
		for env, e := range r.Environments {
			if env == provider.Sandbox {
				continue
			}
			for _, raw := range []string{e.Issuer, e.Authorize, e.Token, e.Refresh, e.Revoke, e.API} {
				if raw != "" {
					for _, v := range r.Variables {
						raw = strings.ReplaceAll(raw, "{"+v+"}", "velonord")
					}
					if err := oauth.CheckEndpoint(raw); err != nil {
						t.Errorf("%s in %s: %v", name, env, err)
					}
				}
			}
		}
	}
}
