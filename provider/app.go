package provider

import (
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
)

// App is our registration at a provider: a recipe with everything it leaves
// open filled in. [NewApp] builds it once, from the configuration; it is not
// changed afterwards and safe for concurrent use.
type App struct {
	Name        string // k-series
	Recipe      Recipe
	Environment Environment
	// Endpoints are absolute, and as far as they are known without asking the
	// provider. Use [App.ResolvedFor] before sending anything.
	Endpoints      Endpoints
	ClientID       string
	Secrets        []secret.String // the first is tried first; a second while rotating
	Auth           oauth.ClientAuth
	PKCE           bool
	Scopes         []string
	RequiredScopes []string
	Policy         grant.Policy
	RedirectURI    string // PublicURL + /oauth/callback/ + Name
	SandboxURL     string // where the sandbox listens; "" outside of environment sandbox

	found  atomic.Pointer[Endpoints] // completed by discovery, once that succeeded
	asking singleflight.Group
}

// Client returns the app's client with its i-th secret.
func (a *App) Client(i int) oauth.Client {
	c := oauth.Client{ID: a.ClientID, Auth: a.Auth, Audience: a.Endpoints.Issuer}
	if i < len(a.Secrets) {
		c.Secret = a.Secrets[i]
	}
	return c
}

// RedirectParam is the redirect_uri to send to be authorized and with the code:
// the given one, or "" where the provider knows the only one there is.
func (a *App) RedirectParam(uri string) string {
	if a.Recipe.RedirectRegistered {
		return ""
	}
	return uri
}

// AuthorizeParams are what the app adds to the authorize URL: the recipe's, and
// prompt=consent where a refresh token depends on it (OpenID Connect Core
// section 11: offline_access is to be ignored without it).
func (a *App) AuthorizeParams() url.Values {
	v := url.Values{}
	if slices.Contains(a.Scopes, "openid") && slices.Contains(a.Scopes, "offline_access") {
		v.Set("prompt", "consent")
	}
	for name, values := range a.Recipe.AuthorizeParams {
		v[name] = values
	}
	return v
}

// ExchangeParams adds the recipe's to the parameters that exchange a code.
func (a *App) ExchangeParams(v url.Values) url.Values {
	for name, values := range a.Recipe.CodeParams {
		v[name] = values
	}
	return v
}

// MissingScopes returns the required scopes that are not in granted, a list
// separated by spaces, or by commas where the provider does that. A provider that says nothing about the scope granted what was
// asked for (RFC 6749 section 5.1), so an empty list misses nothing.
func (a *App) MissingScopes(granted string) []string {
	if granted == "" {
		return nil
	}
	have := strings.Fields(granted)
	have = append(have, strings.FieldsFunc(granted, func(r rune) bool { return r == ' ' || r == ',' })...)
	var missing []string
	for _, s := range a.RequiredScopes {
		if !slices.Contains(have, s) {
			missing = append(missing, s)
		}
	}
	return missing
}

// Apps finds an app by name.
type Apps map[string]*App
