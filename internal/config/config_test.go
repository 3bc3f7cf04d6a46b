package config

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/provider/builtin"
)

// apiKey is long enough and no secret.
const apiKey = "evg_0123456789abcdef0123456789abcdef"

// masterKey is 32 bytes of zero.
const masterKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// signingSecret is 24 bytes of the letter a.
const signingSecret = "whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"

// world is a Source whose every file and variable the test knows.
func world() Source {
	return Source{
		File: "evergrant.yaml",
		Dir:  "/etc/evergrant",
		LookupEnv: func(name string) (string, bool) {
			v, ok := map[string]string{
				"EVERGRANT_API_KEY": apiKey, "OTHER_SECRET": "other", "CREDENTIALS_DIRECTORY": "/run/credentials",
			}[name]
			return v, ok
		},
		ReadFile: func(path string) ([]byte, error) {
			v, ok := map[string]string{
				"/etc/evergrant/master.key": masterKey + "\n", "/etc/evergrant/k-secret": "sesame\n",
				"/run/credentials/x": "credential", "/run/credentials/whsec": signingSecret,
				"/etc/evergrant/short": "whsec_c2hvcnQ=", "/etc/evergrant/empty": "\n", "/etc/evergrant/two": "line\n\n",
			}[path]
			if !ok {
				return nil, fs.ErrNotExist
			}
			return []byte(v), nil
		},
	}
}

// minimal is the least that a configuration needs, without apps.
const minimal = `version: 1
server: {public_url: https://connect.acme.example}
encryption: {keys: [{id: k1, file: ./master.key}]}
`

// contract is the example of the contract.
const contract = `version: 1
server:
  public_url: https://connect.acme.example
  listen: 127.0.0.1:8420
  private_listen: unix:/run/evergrant/api.sock
storage:
  sqlite: ./evergrant.db
spool: ./spool
encryption:
  keys: [{id: k1, file: ./master.key}]
apps:
  k-series:
    provider: lightspeed-k
    environment: production
    client_id: devp-v2-prod-acme
    client_secret: [{file: ./k-secret}, {credential: x}]
    scopes: [financial-api, orders-api, offline_access]
    required_scopes: [financial-api]
  other:
    provider: generic
    client_id: acme
    client_secret: {env: OTHER_SECRET}
    scopes: [openid, offline_access]
    issuer: https://id.example
    endpoints:
      authorize: https://id.example/auth
      token: https://id.example/token
      revoke: https://id.example/revoke
      api: https://api.example
    client_auth: basic
    pkce: true
    rotation: {policy: grace, window: 30m, old_access_token: kept}
    refresh_token_lifetime: {idle: 14d}
    refresh: {window: 60s}
refresh:
  window: 30s
  min_interval: 30s
  keepalive: auto
  max_in_flight: 32
  max_in_flight_strict: 8
links: {ttl: 7d, return_url_allow: ["https://app.acme.example/*"]}
brand: {name: Acme Loyalty, support: {email: help@acme.example}, colour: "#0b5d3b"}
api_keys:
  - {name: acme-app, key: {env: EVERGRANT_API_KEY}, scopes: [tokens, connections, links]}
events: {webhooks: [{name: app, url: https://app.acme.example/hooks, signing_secret: {credential: whsec}, types: ["connection.*"]}]}
telemetry: {log: {format: json, level: info}, otlp: {endpoint: http://127.0.0.1:4318}}
`

func TestACollectorIsAnAddressWithoutSecrets(t *testing.T) {
	t.Parallel()
	const ours = "http://127.0.0.1:4318"
	for endpoint, want := range map[string]string{
		ours: "", "http://collector:4318/": "", "https://otlp.example/prefix": "",
		"127.0.0.1:4318":                 "must be the address of a collector",
		"grpc://127.0.0.1:4317":          "must be the address of a collector",
		"https://user:pw@otlp.example":   "OTEL_EXPORTER_OTLP_HEADERS",
		"https://otlp.example/?token=pw": "may not contain a query",
	} {
		c, err := Parse([]byte(strings.Replace(contract, ours, `"`+endpoint+`"`, 1)), world())
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", endpoint, err)
		case want == "" && c.Telemetry.OTLP.Endpoint != strings.TrimRight(endpoint, "/"):
			t.Errorf("%s was read as %s", endpoint, c.Telemetry.OTLP.Endpoint)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", endpoint, err, want)
		}
	}
}

func TestTheContractsExampleIsUnderstood(t *testing.T) {
	t.Parallel()
	c, err := Parse([]byte(contract), world())
	if err != nil {
		t.Fatal(err)
	}
	pkce := true
	want := &Config{
		Version:    1,
		Server:     Server{"https://connect.acme.example", "127.0.0.1:8420", "unix:/run/evergrant/api.sock"},
		Storage:    Storage{SQLite: "/etc/evergrant/evergrant.db"},
		Spool:      "/etc/evergrant/spool",
		Encryption: Encryption{Keys: []MasterKey{{ID: "k1", Secret: Secret{File: "/etc/evergrant/master.key"}}}},
		Apps: map[string]*App{
			"k-series": {
				Provider: "lightspeed-k", Environment: "production", ClientID: "devp-v2-prod-acme",
				ClientSecret:   Secrets{{File: "/etc/evergrant/k-secret"}, {Credential: "x"}},
				Scopes:         []string{"financial-api", "orders-api", "offline_access"},
				RequiredScopes: []string{"financial-api"},
			},
			"other": {
				Provider: "generic", Environment: "production", ClientID: "acme", ClientSecret: Secrets{{Env: "OTHER_SECRET"}},
				Scopes: []string{"openid", "offline_access"}, Issuer: "https://id.example",
				Endpoints:  Endpoints{"https://id.example/auth", "https://id.example/token", "https://id.example/revoke", "https://api.example"},
				ClientAuth: "basic", PKCE: &pkce,
				Rotation:             Rotation{"grace", 30 * Duration(time.Minute), "kept"},
				RefreshTokenLifetime: RefreshTokenLifetime{Idle: 14 * day},
				Refresh:              Refresh{Window: Duration(time.Minute)},
			},
		},
		Refresh: Refresh{30 * Duration(time.Second), 30 * Duration(time.Second), "auto", 32, 8, 0},
		Links:   Links{7 * day, []string{"https://app.acme.example/*"}},
		Brand:   Brand{Name: "Acme Loyalty", Support: Support{"help@acme.example"}, Colour: "#0b5d3b"},
		APIKeys: []APIKey{{Name: "acme-app", Key: Secret{Env: "EVERGRANT_API_KEY"},
			Scopes: []string{"tokens", "connections", "links"}}},
		Events: Events{[]Webhook{{Name: "app", URL: "https://app.acme.example/hooks", SigningSecret: Secrets{{Credential: "whsec"}},
			Types: []string{"connection.*"}}}},
		Telemetry:  Telemetry{Log: Log{"json", "info"}, OTLP: OTLP{"http://127.0.0.1:4318"}},
		SandboxURL: "http://127.0.0.1:8422",
	}
	if diff := cmp.Diff(want, c, ignoreHidden()); diff != "" {
		t.Errorf("unexpected configuration (-want +got):\n%s", diff)
	}
	for got, want := range map[string]string{
		c.Encryption.Keys[0].Value().Reveal():             masterKey,
		c.Apps["k-series"].ClientSecret[0].value.Reveal(): "sesame",
		c.Apps["k-series"].ClientSecret[1].value.Reveal(): "credential",
		c.Apps["other"].ClientSecret[0].value.Reveal():    "other",
		c.APIKeys[0].Key.Value().Reveal():                 apiKey,
		c.Webhooks()[0].Secrets[0].Reveal():               signingSecret,
	} {
		if got != want {
			t.Errorf("a reference led to %q, want %q", got, want)
		}
	}
}

// ignoreHidden leaves out what comes from the file's form and not from its meaning.
func ignoreHidden() cmp.Option {
	return cmp.Options{cmpopts.IgnoreUnexported(Config{}, Secret{}), cmpopts.EquateEmpty()}
}

func TestAMinimalFileGetsUsableDefaults(t *testing.T) {
	t.Parallel()
	c, err := Parse([]byte(minimal), world())
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Version:    1,
		Server:     Server{"https://connect.acme.example", "127.0.0.1:8420", "127.0.0.1:8421"},
		Storage:    Storage{SQLite: "/etc/evergrant/evergrant.db"},
		Spool:      "/etc/evergrant/spool",
		Encryption: Encryption{Keys: []MasterKey{{ID: "k1", Secret: Secret{File: "/etc/evergrant/master.key"}}}},
		Links:      Links{TTL: 7 * day},
		Telemetry:  Telemetry{Log: Log{"json", "info"}},
		SandboxURL: "http://127.0.0.1:8422",
	}
	if diff := cmp.Diff(want, c, ignoreHidden()); diff != "" {
		t.Errorf("unexpected defaults (-want +got):\n%s", diff)
	}
	if got := c.Socket(); got != "/etc/evergrant/admin.sock" {
		t.Errorf("admin socket is at %s", got)
	}
}

func TestErrorCodesMeanWhatTheFileSaysAndElseWhatTheRecipeSays(t *testing.T) {
	t.Parallel()
	c, err := Parse([]byte(minimal+`apps:
  dex: {provider: generic, client_id: x, client_secret: {env: OTHER_SECRET}, issuer: https://dex.example, errors: {"400:invalid_request": refused}}
  plain: {provider: generic, client_id: x, client_secret: {env: OTHER_SECRET}, issuer: https://id.example}
  k: {provider: lightspeed-k, client_id: devp-v2-x, client_secret: {env: OTHER_SECRET}, errors: {busy: throttled}}
`), world())
	if err != nil {
		t.Fatal(err)
	}
	recipe := maps.Clone(builtin.Recipes()["lightspeed-k"].Errors)
	recipe["busy"] = grant.Throttled
	for name, want := range map[string]oauth.Errors{
		"dex": {"400:invalid_request": grant.Refused}, "plain": nil, "k": recipe,
	} {
		if diff := cmp.Diff(want, c.Providers()[name].Recipe.Errors); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestMistakesNameTheirPlaceAndWhatToDo(t *testing.T) {
	t.Parallel()
	app := func(lines string) string {
		return minimal + "apps:\n  a:\n    provider: generic\n    client_id: x\n" + lines
	}
	tests := []struct {
		name string
		yaml string
		want string
	}{
		{"an unknown key names the nearest", minimal + "apps:\n  k:\n    provider: generic\n    clinet_id: x\n    client_id: y\n",
			"evergrant.yaml: apps.k.clinet_id (line 7): unknown key; did you mean client_id?"},
		{"an unknown key far from all lists them", minimal + "links: {colour: red}\n",
			"links.colour (line 4): unknown key; the keys here are return_url_allow, ttl"},
		{"a key given twice", minimal + "spool: a\nspool: b\n", "spool (line 5): is given twice, first in line 4; remove one"},
		{"an app given twice", app("    pkce: true\n  a: {}\n"), "apps.a (line 9): is given twice, first in line 5"},
		{"no version", strings.TrimPrefix(minimal, "version: 1\n"), "version: must be 1"},
		{"no public URL", "version: 1\nencryption: {keys: [{id: k1, file: ./master.key}]}\n", "server.public_url: is missing"},
		{"http off loopback", strings.Replace(minimal, "https://", "http://", 1),
			"server.public_url (line 2): may use http only on this machine (localhost, 127.0.0.1, [::1]); write https://"},
		{"a public URL with a path", strings.Replace(minimal, "acme.example", "acme.example/evergrant", 1), "without a path"},
		{"a user in the public URL", strings.Replace(minimal, "https://", "https://me:pw@", 1), "may not contain a user"},
		{"a listener without a port", strings.Replace(minimal, "public_url:", "listen: localhost, public_url:", 1),
			"server.listen (line 2): must be a host and a port"},
		{"no master key", "version: 1\nserver: {public_url: https://c.example}\n",
			"encryption.keys: is missing; make a master key with: evergrant master-key generate --out master.key"},
		{"a master key that is not there", strings.Replace(minimal, "./master.key", "./nowhere", 1),
			"encryption.keys[0] (line 3): file /etc/evergrant/nowhere does not exist; create it or correct the path"},
		{"an empty secret", strings.Replace(minimal, "./master.key", "./empty", 1), "{file: /etc/evergrant/empty} is empty"},
		{"two references at once", strings.Replace(minimal, "file: ./master.key", "file: ./master.key, env: X", 1), "exactly one of file, env and credential"},
		{"a credential with a path", strings.Replace(minimal, "file: ./master.key", "credential: ../x", 1), "only the name of a file"},
		{"a literal client secret", app("    client_secret: sesame\n"),
			"apps.a.client_secret (line 8): a secret may not be written into this file"},
		{"a literal client secret in a list", app("    client_secret: [sesame]\n"), "apps.a.client_secret[0] (line 8): a secret may not be written"},
		{"a variable that is not set", app("    client_secret: {env: NOWHERE}\n"), "environment variable NOWHERE is not set"},
		{"three client secrets", app("    client_secret: [{env: A}, {env: B}, {env: C}]\n"), "lists 3 secrets; at most two"},
		{"an app without a provider", minimal + "apps: {a: {client_id: x}}\n", "apps.a.provider: is missing"},
		{"an app that is nothing", minimal + "apps: {a: }\n", "apps.a.provider: is missing"},
		{"an app name with a capital", minimal + "apps: {A: {provider: generic, client_id: x}}\n", "apps.A (line 4): app name"},
		{"an environment with a slip", app("    environment: prodution\n"),
			`apps.a.environment (line 8): generic has no environment "prodution"; it has production`},
		{"a required scope nobody asks for", app("    scopes: [a]\n    required_scopes: [b]\n"), `apps.a.required_scopes (line 9): "b" is not among`},
		{"scopes in one word", app("    scopes: [a b]\n"), `apps.a.scopes (line 8): "a b" is not a scope`},
		{"scopes as text", app("    scopes: a b\n"), "apps.a.scopes (line 8): must be a list"},
		{"an http endpoint off loopback", app("    endpoints: {token: http://id.example/token}\n"), "apps.a.endpoints.token (line 8): the URL must begin with https://"},
		{"an http issuer off loopback", app("    issuer: http://id.example\n"), "apps.a.issuer (line 8): the URL must begin with https://"},
		{"a variable the recipe does not declare", app("    endpoints: {token: \"https://{prefix}.id.example/token\"}\n"), "apps.a.endpoints.token (line 8): generic declares no variables"},
		{"a client auth that is none", app("    client_auth: digest\n"), "is not one of basic, post, none, private_key_jwt"},
		{"a secret for a public client", app("    client_auth: none\n    client_secret: {env: OTHER_SECRET}\n"), "apps.a.client_secret (line 9): client_auth none sends no secret"},
		{"an error code that means nothing known", app("    errors: {invalid_request: refuse}\n"),
			"apps.a.errors.invalid_request (line 8): must be one of refused, misconfigured, throttled, unclear; did you mean refused?"},
		{"an error without a code", app("    errors: {\"\": refused}\n"), "apps.a.errors (line 8): has an empty code"},
		{"an unknown rotation", app("    rotation: {policy: sometimes}\n"), "apps.a.rotation.policy (line 8): rotation policy"},
		{"a window without a unit", app("    refresh: {window: 30}\n"), "apps.a.refresh.window (line 8): is not a duration; write one like 30s"},
		{"a window of nothing", minimal + "refresh: {window: 0s}\n", "refresh.window (line 4): must be between 1s and 1d"},
		{"no rate", minimal + "refresh: {rate: 0}\n", "refresh.rate (line 4): must be between 0.01 and 10000 token requests per second"},
		{"a rate that is no number", minimal + "refresh: {rate: NaN}\n", "refresh.rate (line 4): must be between 0.01 and 10000 token requests per second"},
		{"a rate in words", minimal + "refresh: {rate: fast}\n", "refresh.rate (line 4): must be a number, like 2.5"},
		{"no requests in flight", minimal + "refresh: {max_in_flight: 0}\n", "refresh.max_in_flight (line 4): must be between 1 and 1000"},
		{"keepalive other than auto", minimal + "refresh: {keepalive: never}\n", "refresh.keepalive (line 4): must be auto"},
		{"a return URL for every host", minimal + "links: {return_url_allow: [\"https://app.example*\"]}\n", "needs a / after the host"},
		{"a star in the middle", minimal + "links: {return_url_allow: [\"https://*.example/x\"]}\n", "* only at the very end"},
		{"an API key that is too short", minimal + "api_keys: [{name: a, key: {env: OTHER_SECRET}, scopes: [tokens]}]\n",
			"api_keys[0].key (line 4): {env: OTHER_SECRET}: an API key is evg_ followed by at least 32"},
		{"an API key without scopes", minimal + "api_keys: [{name: a, key: {env: EVERGRANT_API_KEY}}]\n", "api_keys[0].scopes: is missing"},
		{"an API key with an unknown scope", minimal + "api_keys: [{name: a, key: {env: EVERGRANT_API_KEY}, scopes: [token]}]\n", "is not one of tokens"},
		{"an API key for an unknown app", minimal + "api_keys: [{name: a, key: {env: EVERGRANT_API_KEY}, scopes: [tokens], apps: [b]}]\n", "is not one of the apps"},
		{"one API key under two names", minimal + "api_keys:\n- {name: a, key: {env: EVERGRANT_API_KEY}, scopes: [tokens]}\n" +
			"- {name: b, key: {env: EVERGRANT_API_KEY}, scopes: [links]}\n", "is the same key as that of a"},
		{"a logo that is not there", minimal + "brand: {logo: logo.svg}\n", "brand.logo (line 4): cannot be read: file does not exist"},
		{"a logo that is none", minimal + "brand: {logo: two}\n", "brand.logo (line 4): /etc/evergrant/two is neither a PNG nor an SVG"},
		{"a colour by name", minimal + "brand: {colour: green}\n", "brand.colour (line 4): must be six hex digits"},
		{"two databases", minimal + "storage: {sqlite: a.db, postgres: {env: OTHER_SECRET}}\n", "storage (line 4): names both sqlite and postgres"},
		{"PostgreSQL from nowhere", minimal + "storage: {postgres: {env: DATABASE_URL}}\n", "storage.postgres (line 4): environment variable DATABASE_URL is not set"},
		{"PostgreSQL in the open", minimal + "storage: {postgres: 'postgres://a:b@c/d'}\n", "storage.postgres (line 4): a secret may not be written into this file"},
		{"asynchronous commits of a file", minimal + "storage: {allow_async_commit: true}\n", "storage.allow_async_commit (line 4): is for storage.postgres only"},
		{"an anchor", minimal + "brand: &b {name: x}\n", "anchors and aliases are not supported"},
		{"two documents", minimal + "---\nversion: 1\n", "holds more than one document"},
		{"nothing at all", "", "is empty; make a configuration with: evergrant init"},
		{"a list", "- version: 1\n", "line 1: must be a mapping"},
		{"not YAML", "version: [1\n", "is not YAML: line"},
		{"a socket that is too long", strings.Replace(minimal, "public_url:", "private_listen: unix:/"+strings.Repeat("x", 110)+", public_url:", 1), "a socket's path may have at most"},
		{"one address for both listeners", strings.Replace(minimal, "public_url:", "private_listen: 127.0.0.1:8420, public_url:", 1), "is the public listener's address too"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(tt.yaml), world())
			if err == nil {
				t.Fatalf("no error; want %q", tt.want)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is\n%s\nand lacks\n%s", err, tt.want)
			}
			if strings.Contains(err.Error(), "sesame") {
				t.Error("the error repeats a secret")
			}
		})
	}
}

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte("version: 2\nserver: {public_url: http://a.example, listen: x}\nbrand: {colour: red}\n"), world())
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("error is a %T, want Problems", err)
	}
	var got []string
	for _, p := range ps {
		got = append(got, p.Path)
	}
	want := []string{"encryption.keys", "version", "server.public_url", "server.listen", "brand.colour"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unexpected problems (-want +got):\n%s", diff)
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != len(ps) {
		t.Errorf("%d problems in %d lines", len(ps), lines)
	}
}

func TestAFlagWinsOverAVariableAndAVariableOverTheFile(t *testing.T) {
	t.Parallel()
	src := world()
	env := src.LookupEnv
	src.LookupEnv = func(name string) (string, bool) {
		switch name {
		case "EVERGRANT_SERVER_LISTEN":
			return "127.0.0.1:1", true
		case "EVERGRANT_SERVER_PRIVATE_LISTEN":
			return "127.0.0.1:2", true
		case "EVERGRANT_LINKS_TTL":
			return "2d", true
		}
		return env(name)
	}
	src.Set = map[string]string{"server.listen": "127.0.0.1:3"}
	c, err := Parse([]byte(contract), src)
	if err != nil {
		t.Fatal(err)
	}
	if c.Server.Listen != "127.0.0.1:3" || c.Server.PrivateListen != "127.0.0.1:2" || c.Links.TTL != 2*day {
		t.Errorf("got %+v and %v", c.Server, c.Links.TTL)
	}
}

func TestOnlyOneTrailingNewlineOfASecretIsDropped(t *testing.T) {
	t.Parallel()
	c, err := Parse([]byte(strings.Replace(contract, "./k-secret", "./two", 1)), world())
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Apps["k-series"].ClientSecret[0].Value().Reveal(); got != "line\n" {
		t.Errorf("secret is %q", got)
	}
}

func TestASecretMayStayUnread(t *testing.T) {
	t.Parallel()
	src := world()
	src.NoSecrets = true
	src.ReadFile = func(string) ([]byte, error) { return nil, errors.New("must not be read") }
	if _, err := Parse([]byte(contract), src); err != nil {
		t.Error(err)
	}
}

func TestYAMLShowsReferencesAndMeansTheSame(t *testing.T) {
	t.Parallel()
	c, err := Parse([]byte(contract), world())
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"sesame", masterKey, apiKey, "credential\n"} {
		if strings.Contains(string(text), s) {
			t.Errorf("the output contains the secret %q:\n%s", s, text)
		}
	}
	again, err := Parse(text, world())
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if diff := cmp.Diff(c, again, ignoreHidden()); diff != "" {
		t.Errorf("parsing the output gives another configuration (-want +got):\n%s", diff)
	}
}

func TestAnAppsPolicyIsTheRecipesWithItsOverrides(t *testing.T) {
	t.Parallel()
	c, err := Parse([]byte(contract), world())
	if err != nil {
		t.Fatal(err)
	}
	recipe := grant.Policy{Rotation: grant.Strict, Window: time.Hour, RefreshIdle: time.Hour, AccessLifetime: time.Minute}
	want := grant.Policy{
		Rotation: grant.Grace, Window: 30 * time.Minute, OldAccessToken: grant.Kept, RefreshIdle: 14 * 24 * time.Hour,
		AccessLifetime: time.Minute, RefreshWindow: time.Minute, MinInterval: 30 * time.Second, MaxInFlight: 32,
	}
	if diff := cmp.Diff(want, c.policy(c.Apps["other"])(recipe)); diff != "" {
		t.Errorf("other (-want +got):\n%s", diff)
	}
	want = recipe
	want.RefreshWindow, want.MinInterval, want.MaxInFlight = 30*time.Second, 30*time.Second, 8
	if diff := cmp.Diff(want, c.policy(c.Apps["k-series"])(recipe)); diff != "" {
		t.Errorf("k-series (-want +got):\n%s", diff)
	}
}

func TestLoadResolvesPathsAgainstTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "evergrant.yaml")
	for name, text := range map[string]string{path: minimal, filepath.Join(dir, "master.key"): masterKey + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Storage.SQLite, filepath.Join(dir, "evergrant.db"); got != want {
		t.Errorf("store is at %s, want %s", got, want)
	}
	if got := c.Encryption.Keys[0].Value().Reveal(); got != masterKey {
		t.Errorf("master key is %q", got)
	}
	_, err = Load(filepath.Join(dir, "absent.yaml"), nil)
	if err == nil || !strings.Contains(err.Error(), "evergrant init") {
		t.Errorf("error for an absent file is %v", err)
	}
}

func TestARateIsAnAppsOwnOrEverybodys(t *testing.T) {
	t.Parallel()
	text := strings.Replace(contract, "max_in_flight_strict: 8", "max_in_flight_strict: 8\n  rate: 2.5", 1)
	c, err := Parse([]byte(strings.Replace(text, "refresh: {window: 60s}", "refresh: {window: 60s, rate: 20}", 1)), world())
	if err != nil {
		t.Fatal(err)
	}
	for app, want := range map[string]float64{"k-series": 2.5, "other": 20} {
		if got := c.policy(c.Apps[app])(grant.Policy{RatePerSecond: 7}).RatePerSecond; got != want {
			t.Errorf("%s has the rate %v, want %v", app, got, want)
		}
	}
}
