package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// withDashboard is a configuration with a dashboard section and a private listener.
func withDashboard(section, private string) (*Config, error) {
	text := strings.Replace(contract, "unix:/run/evergrant/api.sock", private, 1)
	return Parse([]byte(text+section), world())
}

func TestTheDashboardsSectionIsUnderstood(t *testing.T) {
	t.Parallel()
	c, err := withDashboard(`dashboard:
  url: https://evergrant.acme.example/
  oidc:
    issuer: https://id.acme.example/realms/staff
    client_id: evergrant
    client_secret: {env: OTHER_SECRET}
    roles: {operator: [anna@acme.example], support: [care, "care leads"]}
`, "127.0.0.1:8421")
	if err != nil {
		t.Fatal(err)
	}
	want := Dashboard{URL: "https://evergrant.acme.example", OIDC: &OIDC{
		Issuer: "https://id.acme.example/realms/staff", ClientID: "evergrant", ClientSecret: Secret{Env: "OTHER_SECRET"},
		Scopes: []string{"openid", "profile", "email"}, Claim: "groups",
		Roles: Roles{Operator: []string{"anna@acme.example"}, Support: []string{"care", "care leads"}},
	}}
	if diff := cmp.Diff(want, c.Dashboard, cmpopts.IgnoreUnexported(Secret{})); diff != "" {
		t.Error(diff)
	}
	if c.Dashboard.OIDC.ClientSecret.Value().IsZero() {
		t.Error("the client secret was not read")
	}
	shown, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(shown, world())
	if err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	if diff := cmp.Diff(c.Dashboard, again.Dashboard, cmpopts.IgnoreUnexported(Secret{})); diff != "" {
		t.Errorf("what is shown means something else:\n%s", diff)
	}
}

func TestWhereThePrivateListenerIsTellsWhereTheDashboardIs(t *testing.T) {
	t.Parallel()
	c, err := withDashboard("", "127.0.0.1:8421")
	if err != nil {
		t.Fatal(err)
	}
	for private, want := range map[string]string{
		"127.0.0.1:8421":             "http://127.0.0.1:8421",
		"localhost:8421":             "http://localhost:8421",
		"[::1]:8421":                 "http://[::1]:8421",
		"0.0.0.0:8421":               "http://127.0.0.1:8421",
		"[::]:8421":                  "http://127.0.0.1:8421",
		":8421":                      "http://127.0.0.1:8421",
		"10.0.0.5:8421":              "",
		"evergrant.internal:8421":    "",
		"unix:/run/evergrant/a.sock": "",
		"/run/evergrant/a.sock":      "",
	} {
		if got := c.DashboardURL(private); got != want {
			t.Errorf("at %s: %q, want %q", private, got, want)
		}
	}
	c.Dashboard.URL = "https://evergrant.acme.example"
	if got := c.DashboardURL("unix:/x"); got != c.Dashboard.URL {
		t.Errorf("the file's word does not count: %q", got)
	}
}

func TestMistakesInTheDashboardsSectionAreNamed(t *testing.T) {
	t.Parallel()
	const fine = `dashboard:
  url: https://evergrant.acme.example
  oidc: {issuer: "https://id.acme.example", client_id: evergrant, roles: {operator: [anna@acme.example]}}
`
	if _, err := withDashboard(fine, "unix:/run/e.sock"); err != nil {
		t.Fatalf("the section that the mistakes are made in: %v", err)
	}
	for name, c := range map[string]struct{ old, with, private, want string }{
		"an address that is no origin":       {"evergrant.acme.example", "evergrant.acme.example/dash", "127.0.0.1:1", "dashboard.url (line 48): must be only a scheme and a host"},
		"http to another machine":            {"url: https://", "url: http://", "127.0.0.1:1", "dashboard.url (line 48): may use http only on this machine"},
		"an issuer over http":                {`"https://id`, `"http://id`, "127.0.0.1:1", "dashboard.oidc.issuer (line 49): may use http only"},
		"an issuer with a query":             {"id.acme.example", "id.acme.example?x=1", "127.0.0.1:1", "dashboard.oidc.issuer (line 49): may not contain a query"},
		"no issuer":                          {`issuer: "https://id.acme.example", `, "", "127.0.0.1:1", "dashboard.oidc.issuer: is missing"},
		"no client":                          {"client_id: evergrant, ", "", "127.0.0.1:1", "dashboard.oidc.client_id: is missing"},
		"nobody":                             {"operator: [anna@acme.example]", "", "127.0.0.1:1", "dashboard.oidc.roles (line 49): lets nobody in"},
		"a role that is none":                {"operator:", "operators:", "127.0.0.1:1", "dashboard.oidc.roles.operators (line 49): unknown key; did you mean operator?"},
		"an empty entry":                     {"[anna@acme.example]", `[""]`, "127.0.0.1:1", "dashboard.oidc.roles.operator[0] (line 49): is empty"},
		"scopes without openid":              {"client_id: evergrant", "client_id: evergrant, scopes: [email]", "127.0.0.1:1", "dashboard.oidc.scopes (line 49): must contain openid"},
		"scopes in one text":                 {"client_id: evergrant", `client_id: evergrant, scopes: [openid, "email groups"]`, "127.0.0.1:1", "dashboard.oidc.scopes[1] (line 49): is not a scope"},
		"a secret in the file":               {"client_id: evergrant", "client_id: evergrant, client_secret: hunter2", "127.0.0.1:1", "a secret may not be written into this file"},
		"a reference that leads nowhere":     {"client_id: evergrant", "client_id: evergrant, client_secret: {env: NONE}", "127.0.0.1:1", "dashboard.oidc.client_secret (line 49): environment variable NONE is not set"},
		"a socket and no address":            {"  url: https://evergrant.acme.example\n", "", "unix:/run/e.sock", "dashboard.url: is missing"},
		"another machine and no address":     {"  url: https://evergrant.acme.example\n", "", "10.0.0.5:8421", "dashboard.url: is missing"},
		"the section's old name of a member": {"oidc:", "login:", "127.0.0.1:1", "dashboard.login (line 49): unknown key"},
	} {
		text := strings.Replace(fine, c.old, c.with, 1)
		_, err := withDashboard(text, c.private)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells the secret", name)
		}
	}
}
