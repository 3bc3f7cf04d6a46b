package provider_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
	"github.com/evergrant/evergrant/provider/lightspeed"
)

// xSeries are the options of an app whose endpoints have a variable.
func xSeries() provider.AppOptions {
	o := options()
	o.Name, o.Recipe, o.ClientID = "x-series", lightspeed.X(), "acme"
	o.Scopes, o.RequiredScopes = []string{"outlets:read"}, nil
	return o
}

func TestEndpointsAreFilledInForAConnection(t *testing.T) {
	a := newApp(t, xSeries())
	vars, err := a.Variables(map[string]string{"domain_prefix": "velo-nord2", "user_id": "7"})
	if diff := cmp.Diff(map[string]string{"domain_prefix": "velo-nord2"}, vars); err != nil || diff != "" {
		t.Fatalf("variables: %v (-want +got):\n%s", err, diff)
	}
	got, err := a.ResolvedFor(t.Context(), nil, vars)
	want := provider.Endpoints{
		Authorize: "https://secure.retail.lightspeed.app/connect",
		Token:     "https://velo-nord2.retail.lightspeed.app/api/1.0/token",
		API:       "https://velo-nord2.retail.lightspeed.app",
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("endpoints: %v (-want +got):\n%s", err, diff)
	}
	if _, err := a.ResolvedFor(t.Context(), nil, nil); !errors.Is(err, provider.ErrVariable) {
		t.Errorf("without variables: %v", err)
	}

	plain := newApp(t, options())
	if vars, err := plain.Variables(map[string]string{"domain_prefix": "evil.example"}); vars != nil || err != nil {
		t.Errorf("a recipe without variables takes %v, %v", vars, err)
	}
	if got, err := plain.ResolvedFor(t.Context(), nil, nil); err != nil || got != plain.Endpoints {
		t.Errorf("endpoints = %+v, %v", got, err)
	}
}

// malicious are values of domain_prefix with which somebody would have the
// client's secret sent elsewhere.
var malicious = []string{
	"", " ", ".", "..", "-", "-a", "a-", "_", "evil.example", "evil.example/", "evil.example/x", "evil.example#", "evil.example?",
	"evil.example:443/", "a.b", "a.", ".a", "velonord.retail.lightspeed.app", "localhost:8080/", "127.0.0.1", "127.0.0.1#", "[::1]", "[::1]#", "::1",
	"169.254.169.254/latest?", "user@evil.example", "user:pw@evil.example/", "velonord@evil.example", "@", "velonord:8443", "velonord/", "velonord/..", "velonord?", "velonord#",
	"velonord%2eevil", "velonord%00", "evil.example%23", "evil.example%2f", `evil.example\`, `velonord\@evil.example`, "velonord\r\nHost: evil.example", "velonord\n", "\tvelonord",
	"velonord ", "velonord\x00", "velonord;", "velonord,evil", "velonord&x=1", "velonord|x", "{domain_prefix}", "{", "}", "$(id)", "VELONORD", "Velonord", "velo_nord",
	"vеlonord" /* Cyrillic */, "ｖｅｌｏｎｏｒｄ", "velonord。evil", "velonord．evil", "velonord\u2024evil", "evil.example／", "evil.example⁄x", "velo\u00adnord", "velo\u200dnord", "véĺonord", "ⅴelonord", "ſhop", "K",
	"\xff\xfe", strings.Repeat("a", 64), strings.Repeat("a", 253), strings.Repeat("a", 5000),
}

// dialed collects where a sender would have gone.
type dialed []string

func (d *dialed) sender(t *testing.T) *oauth.Sender {
	s := oauth.NewSender(oauth.SenderConfig{DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
		*d = append(*d, addr)
		return nil, errors.New("nobody is called in this test")
	}})
	t.Cleanup(s.Close)
	return s
}

// sendAll sends a code with the client's secret and a token wherever the
// endpoints with these variables say.
func sendAll(t *testing.T, s *oauth.Sender, a *provider.App, vars map[string]string) error {
	ep, err := a.ResolvedFor(t.Context(), s, vars)
	if err != nil {
		return err
	}
	s.Send(t.Context(), oauth.Request{TokenURL: ep.Token, Client: a.Client(0), Params: oauth.CodeParams(secret.New("c"), "", secret.String{})})
	if resp, err := s.APIClient(secret.New("at"), "", ep.API).Get(ep.API + "/api/2.0/outlets"); err == nil {
		_ = resp.Body.Close()
	}
	return nil
}

func TestNoMaliciousVariableReceivesARequest(t *testing.T) {
	for name, o := range map[string]func(*provider.AppOptions){
		"as a label of the host": func(*provider.AppOptions) {},
		"as a segment of the path": func(o *provider.AppOptions) {
			o.Environment, o.SandboxURL = provider.Sandbox, "http://127.0.0.1:8430"
		},
	} {
		t.Run(name, func(t *testing.T) {
			options := xSeries()
			o(&options)
			a := newApp(t, options)
			var went dialed
			s := went.sender(t)
			for _, value := range malicious {
				from := map[string]string{"domain_prefix": value}
				vars, err := a.Variables(from)
				if !errors.Is(err, provider.ErrVariable) || vars != nil {
					t.Errorf("%q is taken: %v, %v", value, vars, err)
				}
				if len(value) > 2 && strings.Contains(err.Error(), value) && value != "domain_prefix" {
					t.Errorf("the error quotes %q: %v", value, err)
				}
				// Even if it was stored before anybody checked.
				if err := sendAll(t, s, a, from); !errors.Is(err, provider.ErrVariable) {
					t.Errorf("%q: %v", value, err)
				}
			}
			if _, err := a.Variables(nil); !errors.Is(err, provider.ErrVariable) {
				t.Errorf("no value at all: %v", err)
			}
			if len(went) > 0 {
				t.Errorf("requests went to %q", went)
			}
		})
	}
}

// Whatever a variable is, tokens go to one host below the vendor's or nowhere.
func FuzzVariableLeadsNowhereElse(f *testing.F) {
	for _, v := range malicious {
		f.Add(v)
	}
	f.Add("velonord")
	f.Add("xn--velonord-5ya")
	f.Add(strings.Repeat("a", 63))
	f.Fuzz(func(t *testing.T, value string) {
		a := newApp(t, xSeries())
		var went dialed
		s := went.sender(t)
		vars, err := a.Variables(map[string]string{"domain_prefix": value})
		if err != nil {
			if sendErr := sendAll(t, s, a, map[string]string{"domain_prefix": value}); !errors.Is(sendErr, provider.ErrVariable) || len(went) > 0 {
				t.Fatalf("%q was refused and still sent to %q: %v", value, went, sendErr)
			}
			return
		}
		if err := sendAll(t, s, a, vars); err != nil {
			t.Fatalf("%q was taken and cannot be used: %v", value, err)
		}
		host := value + ".retail.lightspeed.app"
		if diff := cmp.Diff(dialed{host + ":443", host + ":443"}, went); diff != "" {
			t.Errorf("requests went elsewhere (-want +got):\n%s", diff)
		}
		ep, err := a.ResolvedFor(t.Context(), s, vars)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(ep.Token)
		if err != nil || u.Host != host || u.Path != "/api/1.0/token" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" {
			t.Errorf("%q makes %q (%v)", value, ep.Token, err)
		}
	})
}

func TestVariablesOfEndpointsAreOneLabelOrOneSegment(t *testing.T) {
	const v = "{domain_prefix}"
	tests := []struct {
		name   string
		change func(*provider.Endpoints)
		want   string // begins a line of the error; "" if it is right
	}{
		{"a label of a fixed host", func(e *provider.Endpoints) { e.API = "https://" + v + ".retail.example" }, ""},
		{"a label in the middle", func(e *provider.Endpoints) { e.Token = "https://api." + v + ".retail.example:8443/token" }, ""},
		{"a segment of the path", func(e *provider.Endpoints) { e.Revoke = "https://retail.example/" + v + "/revoke?x=1" }, ""},
		{"none at all", func(e *provider.Endpoints) { e.API, e.Token = "https://api.example", "https://id.example/token" }, ""},
		{"the whole host", func(e *provider.Endpoints) { e.API = "https://" + v }, "apps.x-series.endpoints.api: "},
		{"the whole host with a port", func(e *provider.Endpoints) { e.API = "https://" + v + ":443/x" }, "apps.x-series.endpoints.api: "},
		{"a host but for its last label", func(e *provider.Endpoints) { e.API = "https://" + v + ".example" }, "apps.x-series.endpoints.api: "},
		{"a top level", func(e *provider.Endpoints) { e.API = "https://retail.lightspeed." + v }, "apps.x-series.endpoints.api: "},
		{"part of a label", func(e *provider.Endpoints) { e.API = "https://x-" + v + ".retail.example" }, "apps.x-series.endpoints.api: "},
		{"the port", func(e *provider.Endpoints) { e.Token = "https://retail.example:" + v + "/token" }, "apps.x-series.endpoints.token: "},
		{"a user name", func(e *provider.Endpoints) { e.Token = "https://" + v + "@retail.example/token" }, "apps.x-series.endpoints.token: "},
		{"the query", func(e *provider.Endpoints) { e.Token = "https://retail.example/token?p=" + v }, "apps.x-series.endpoints.token: "},
		{"the scheme", func(e *provider.Endpoints) { e.Token = v + "://retail.example/token" }, "apps.x-series.endpoints.token: "},
		{"twice in one segment", func(e *provider.Endpoints) { e.Token = "https://retail.example/" + v + v }, "apps.x-series.endpoints.token: "},
		{"a brace that opens nothing", func(e *provider.Endpoints) { e.Token = "https://retail.example/}domain_prefix{" }, "apps.x-series.endpoints.token: "},
		{"one that is not declared", func(e *provider.Endpoints) { e.Token = "https://{shop}.retail.example" }, "apps.x-series.endpoints.token: "},
		{"before anybody approved", func(e *provider.Endpoints) { e.Authorize = "https://" + v + ".retail.example/connect" }, "apps.x-series.endpoints.authorize: "},
		{"plain http", func(e *provider.Endpoints) { e.API = "http://" + v + ".retail.example" }, "apps.x-series.endpoints.api: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := xSeries()
			tt.change(&o.Endpoints)
			_, err := provider.NewApp(o)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)):
				t.Errorf("error = %v, want one that begins with %q", err, tt.want)
			}
		})
	}
}

func TestAProviderThatWantsAScopeIsAskedForOne(t *testing.T) {
	for _, r := range []provider.Recipe{lightspeed.R(), lightspeed.X()} {
		o := xSeries()
		o.Recipe, o.Scopes = r, nil
		if _, err := provider.NewApp(o); err == nil || !strings.HasPrefix(err.Error(), "apps.x-series.scopes: missing") {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
}
