// Package config turns the configuration file into a validated Config: every
// key known, every default filled in, every path absolute, every secret read
// from where the file says it is.
//
// A file with mistakes yields all of them at once, each with its path, its line
// and what to write instead. No error and no output of this package contains a
// secret, and a file that contains one is refused.
package config

import (
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/connect"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/proxy"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/webhook"
	"github.com/evergrant/evergrant/provider"
)

// Config is a whole configuration. Its YAML form, as [Config.YAML] writes it, is
// a configuration file that means the same.
type Config struct {
	Version    int             `yaml:"version"`
	Server     Server          `yaml:"server"`
	Storage    Storage         `yaml:"storage"`
	Spool      string          `yaml:"spool"` // a folder on a local disk
	Encryption Encryption      `yaml:"encryption"`
	Apps       map[string]*App `yaml:"apps,omitempty"`
	Refresh    Refresh         `yaml:"refresh,omitempty"`
	Links      Links           `yaml:"links"`
	Brand      Brand           `yaml:"brand,omitempty"`
	APIKeys    []APIKey        `yaml:"api_keys,omitempty"`
	Dashboard  Dashboard       `yaml:"dashboard,omitempty"`
	Events     Events          `yaml:"events,omitempty"`
	Telemetry  Telemetry       `yaml:"telemetry"`

	// SandboxURL is where apps with environment sandbox go. It comes from
	// EVERGRANT_SANDBOX_URL only, so that a file for production cannot name one.
	SandboxURL string `yaml:"-"`

	file  string
	lines map[string]int // of every key, for errors found later

	// What the secrets are for; empty in a configuration loaded without them.
	masters []seal.Master
	apps    provider.Apps
	keys    []access.Key
	hooks   []webhook.Endpoint
	logo    connect.Logo
}

// Server is where the program listens and what the world calls it.
type Server struct {
	PublicURL     string `yaml:"public_url"`     // without a path or a trailing slash
	Listen        string `yaml:"listen"`         // host:port
	PrivateListen string `yaml:"private_listen"` // host:port, or unix: and an absolute path
}

// Storage is where everything is kept: in a file, or in a PostgreSQL database.
type Storage struct {
	SQLite   string `yaml:"sqlite,omitempty"`
	Postgres Secret `yaml:"postgres,omitempty"` // a connection string
	// AllowAsyncCommit accepts a PostgreSQL server that answers before a commit is
	// safe.
	AllowAsyncCommit bool   `yaml:"allow_async_commit,omitempty"`
	Mirror           string `yaml:"mirror,omitempty"` // a file on another disk; "" for none
}

// Shared reports whether other processes may use the same storage.
func (s Storage) Shared() bool { return s.SQLite == "" }

// Encryption names the master keys: the first encrypts, all decrypt.
type Encryption struct {
	Keys []MasterKey `yaml:"keys"`
}

// MasterKey is one master key by reference.
type MasterKey struct {
	ID     string `yaml:"id"`
	Secret `yaml:",inline"`
}

// App is one registration at a provider.
type App struct {
	Provider       string   `yaml:"provider"`
	Environment    string   `yaml:"environment"` // production, trial or sandbox
	ClientID       string   `yaml:"client_id"`
	ClientSecret   Secrets  `yaml:"client_secret,omitempty"` // two while rotating
	Scopes         []string `yaml:"scopes,omitempty,flow"`
	RequiredScopes []string `yaml:"required_scopes,omitempty,flow"`

	Issuer     string    `yaml:"issuer,omitempty"`
	Endpoints  Endpoints `yaml:"endpoints,omitempty"`
	ClientAuth string    `yaml:"client_auth,omitempty"` // "": the recipe's
	PKCE       *bool     `yaml:"pkce,omitempty"`        // nil: the recipe's

	// Errors says what error codes of the token endpoint mean, where they mean
	// something else than in RFC 6749: the name of a [grant.Outcome] by code, or by
	// status and code, as in "400:invalid_request". They come before the recipe's.
	Errors map[string]string `yaml:"errors,omitempty"`

	Rotation             Rotation             `yaml:"rotation,omitempty"`
	RefreshTokenLifetime RefreshTokenLifetime `yaml:"refresh_token_lifetime,omitempty"`
	Refresh              Refresh              `yaml:"refresh,omitempty"` // overrides Config.Refresh
	Proxy                Proxy                `yaml:"proxy,omitempty"`
}

// Proxy is what callers may do through the proxy. Empty fields allow everything.
type Proxy struct {
	Methods []string `yaml:"methods,omitempty,flow"`
	Paths   []string `yaml:"paths,omitempty,flow"`
	Queue   Duration `yaml:"queue,omitempty"` // how long a request waits for the provider's rate limit
}

// Endpoints override a recipe's. Empty ones stay as they are.
type Endpoints struct {
	Authorize string `yaml:"authorize,omitempty"`
	Token     string `yaml:"token,omitempty"`
	Revoke    string `yaml:"revoke,omitempty"`
	API       string `yaml:"api,omitempty"`
}

// Rotation overrides what a recipe says about used refresh tokens.
type Rotation struct {
	Policy         string   `yaml:"policy,omitempty"`
	Window         Duration `yaml:"window,omitempty"` // how long an old refresh token is still accepted
	OldAccessToken string   `yaml:"old_access_token,omitempty"`
}

// RefreshTokenLifetime is how long refresh tokens live where the provider does
// not say it in its answers.
type RefreshTokenLifetime struct {
	Idle     Duration `yaml:"idle,omitempty"`
	Absolute Duration `yaml:"absolute,omitempty"`
}

// Refresh is when and how hard grants are renewed. Zero fields leave the
// recipe's values.
type Refresh struct {
	Window            Duration `yaml:"window,omitempty"`
	MinInterval       Duration `yaml:"min_interval,omitempty"`
	Keepalive         string   `yaml:"keepalive,omitempty"` // auto
	MaxInFlight       int      `yaml:"max_in_flight,omitempty"`
	MaxInFlightStrict int      `yaml:"max_in_flight_strict,omitempty"`
	Rate              float64  `yaml:"rate,omitempty"` // token requests per second; 0 for no limit of ours
}

// Links are the links merchants follow.
type Links struct {
	TTL            Duration `yaml:"ttl"`
	ReturnURLAllow []string `yaml:"return_url_allow,omitempty,flow"`
}

// Brand is how merchants know the developer's product.
type Brand struct {
	Name    string  `yaml:"name,omitempty"`
	Support Support `yaml:"support,omitempty"`
	Colour  string  `yaml:"colour,omitempty"` // #rrggbb
	Logo    string  `yaml:"logo,omitempty"`   // an SVG or PNG file; "" for none
}

// Support is whom a merchant may ask.
type Support struct {
	Email string `yaml:"email,omitempty"`
}

// APIKey is a key made outside Evergrant.
type APIKey struct {
	Name       string   `yaml:"name"`
	Key        Secret   `yaml:"key"`
	Scopes     []string `yaml:"scopes,flow"`
	Apps       []string `yaml:"apps,omitempty,flow"`
	Businesses []string `yaml:"businesses,omitempty,flow"`
}

// Events is how the event log is delivered.
type Events struct {
	Webhooks []Webhook `yaml:"webhooks,omitempty"`
}

// Webhook is an address that events are sent to.
type Webhook struct {
	Name          string   `yaml:"name"`
	URL           string   `yaml:"url"`
	SigningSecret Secrets  `yaml:"signing_secret"`       // two while rotating
	Types         []string `yaml:"types,omitempty,flow"` // every event if none is given
}

// Telemetry is what the program tells about itself.
type Telemetry struct {
	Log   Log    `yaml:"log"`
	OTLP  OTLP   `yaml:"otlp,omitempty"`
	Audit string `yaml:"audit,omitempty"` // a file that a line for each use is added to; "" for none
}

// OTLP says where traces are sent.
type OTLP struct {
	Endpoint string `yaml:"endpoint,omitempty"` // "": nowhere
}

// Log is the form and the loudness of the log.
type Log struct {
	Format string `yaml:"format"` // json or text
	Level  string `yaml:"level"`  // debug, info, warn or error
}

// setDefaults fills in what the file left open.
func (c *Config) setDefaults() {
	or := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	or(&c.Server.Listen, "127.0.0.1:8420")
	or(&c.Server.PrivateListen, "127.0.0.1:8421")
	if c.Storage.Postgres == (Secret{}) {
		or(&c.Storage.SQLite, "evergrant.db")
	}
	or(&c.Spool, "spool")
	or(&c.Telemetry.Log.Format, "json")
	or(&c.Telemetry.Log.Level, "info")
	if c.Links.TTL == 0 {
		c.Links.TTL = 7 * day
	}
	for _, a := range c.Apps {
		or(&a.Environment, "production")
	}
	c.Dashboard.setDefaults()
}

// File returns the path of the file the configuration came from, "" if none.
func (c *Config) File() string { return c.file }

// Masters returns the master keys, the one that encrypts in front.
func (c *Config) Masters() []seal.Master { return c.masters }

// Providers returns the apps with their recipes filled in.
func (c *Config) Providers() provider.Apps { return c.apps }

// ProxyRules returns what the apps let callers do through the proxy.
func (c *Config) ProxyRules() map[string]proxy.Rules {
	all := make(map[string]proxy.Rules, len(c.Apps))
	for name, a := range c.Apps {
		all[name] = proxy.Rules{Methods: a.Proxy.Methods, Paths: a.Proxy.Paths, Queue: time.Duration(a.Proxy.Queue)}
	}
	return all
}

// Keys returns the API keys of the file.
func (c *Config) Keys() []access.Key { return c.keys }

// Webhooks returns the webhooks of the file.
func (c *Config) Webhooks() []webhook.Endpoint { return c.hooks }

// access returns the key as the API knows it. Its id follows from its name, so
// that it is the same after every start.
func (k *APIKey) access() access.Key {
	a := access.Key{
		ID: grant.KeyID + k.Name, Name: k.Name, Hash: access.Hash(k.Key.value.Reveal()),
		Apps: k.Apps, Businesses: k.Businesses, FromFile: true,
	}
	for _, s := range k.Scopes {
		a.Scopes = append(a.Scopes, access.Scope(s))
	}
	return a
}

// Values returns the app's client secrets, the one to try first in front.
func (s Secrets) Values() []secret.String {
	var v []secret.String
	for _, r := range s {
		v = append(v, r.value)
	}
	return v
}
