package manager

import (
	"context"
	"log/slog"
	"time"

	"github.com/evergrant/evergrant/client"
)

// Config is what a [Manager] is made from. Storage, a master key and a public
// URL are required, and apps to be of any use; every other field's zero value is
// a good one. The fields mean what the configuration file's keys of the same name
// do, and are checked as they are.
type Config struct {
	// File is the path of a configuration file, as evergrant serve reads it. It says
	// everything but Logger, Now and OnEvent; no other field may be set beside it.
	// Where it says to listen does not count.
	File string

	// SQLite is the path of the database file, which is made if it does not exist.
	// One process uses it at a time. Either SQLite or Postgres is required.
	SQLite string
	// Postgres is the connection string of a PostgreSQL database, which many
	// processes may share, evergrant serve among them.
	Postgres Secret
	// AllowAsyncCommit accepts a PostgreSQL server that answers before a commit is
	// safe.
	AllowAsyncCommit bool
	// Spool is a folder of this process's own, on a local disk, where answers of
	// providers are kept until they are stored. "" means spool, beside the SQLite
	// file; with PostgreSQL it is required.
	Spool string
	// Mirror is a file on another disk that a second copy of the newest tokens is
	// kept in; "" for none.
	Mirror string

	// MasterKeys encrypt what is stored: the first one seals, all open. At least one
	// is required. Keep a copy of it apart from the database.
	MasterKeys []MasterKey

	// Apps are the registrations at providers, by name: the part of a ref after
	// the @.
	Apps map[string]App
	// Refresh is when and how hard the grants of all apps are renewed.
	Refresh Refresh
	// SandboxURL is where the apps go whose Environment is sandbox; "" means
	// http://127.0.0.1:8422.
	SandboxURL string

	// PublicURL is where merchants reach [Manager.ConnectHandler]: a scheme and a
	// host, without a path. It is required, because every redirect URI begins with
	// it: PublicURL/oauth/callback/APP.
	PublicURL string
	// Brand is how merchants know your product.
	Brand Brand
	// LinkTTL is how long links to merchants work; 0 means seven days.
	LinkTTL time.Duration
	// ReturnURLAllow lists where links may send merchants when they are done, such
	// as https://app.acme.example/*.
	ReturnURLAllow []string

	// Logger gets a line for each event, and what goes wrong; nil means
	// slog.Default(). No token is ever in it.
	Logger *slog.Logger
	// Now is the time; nil means time.Now.
	Now func() time.Time
	// OnEvent is called while [Manager.Run] runs with each event of the log that is
	// new, in order, one at a time; of processes that share a database, each is told
	// of all events. What happens while nobody runs is not told: read the log with
	// Client().Events, or have webhooks, where nothing may be missed. Its context
	// ends with Run. Nil: nobody is told.
	OnEvent func(ctx context.Context, e client.Event)
}

// MasterKey is a key that what is stored is encrypted with.
type MasterKey struct {
	ID string // a short name, such as 2026-11
	// Key is 32 bytes in base64: what [NewMasterKey] returns and the command
	// evergrant master-key generate prints.
	Key Secret
}

// App is a registration at a provider. Fields left zero are as the provider's
// recipe has them.
type App struct {
	// Provider is lightspeed-k, lightspeed-k-v1, lightspeed-r, lightspeed-x, the name
	// of another recipe, or generic.
	Provider string
	// Environment is production, trial or sandbox; "" means production.
	Environment string
	ClientID    string
	// ClientSecret is the app's secret at the provider, and NextClientSecret one that
	// is tried where it is refused, for the days on which it is replaced.
	ClientSecret, NextClientSecret Secret
	Scopes                         []string
	RequiredScopes                 []string // those without which a connection is no use

	// What follows describes a generic provider, or changes a recipe.

	Issuer     string // where endpoints are discovered, for OpenID Connect and RFC 8414
	Endpoints  Endpoints
	ClientAuth string // basic, post, none or private_key_jwt
	PKCE       *bool
	Rotation   Rotation
	// Errors says what error codes of the token endpoint mean where RFC 6749 does not:
	// refused, misconfigured, throttled or unclear, by code or by status and code, as
	// in {"400:invalid_request": "refused"}.
	Errors map[string]string
	// RefreshTokenLifetime is how long refresh tokens live, where answers do not say.
	RefreshTokenLifetime RefreshTokenLifetime
	Refresh              Refresh // over Config.Refresh
	Proxy                Proxy
}

// Endpoints are the addresses of an authorization server and its API.
type Endpoints struct {
	Authorize, Token, Revoke, API string
}

// Rotation is what a provider does with refresh tokens that were used.
type Rotation struct {
	// Policy is static, lenient, grace, retire_on_use, strict, family_kill or unknown.
	Policy string
	// Window is how long a used refresh token is still accepted.
	Window time.Duration
	// OldAccessToken is kept, or revoked_now if a refresh ends the access token
	// before it.
	OldAccessToken string
}

// RefreshTokenLifetime is how long a refresh token lives: unused, and in all.
type RefreshTokenLifetime struct {
	Idle, Absolute time.Duration
}

// Refresh is when and how hard grants are renewed. Zero fields leave what the
// recipe says.
type Refresh struct {
	Window            time.Duration // renewals begin so long before a token ends
	MinInterval       time.Duration // between two refreshes by demand of one grant
	MaxInFlight       int           // requests at once
	MaxInFlightStrict int           // of providers whose refresh tokens work once
	Rate              float64       // token requests a second
}

// Proxy is what Client().Send may do. Empty fields allow everything.
type Proxy struct {
	Methods, Paths []string
	Queue          time.Duration // how long a request waits for the provider's rate limit
}

// Brand is how merchants know your product.
type Brand struct {
	Name         string
	SupportEmail string
	Colour       string // such as #0b5d3b
	Logo         string // an SVG or PNG file of at most 6 KiB; "" for none
}
