// Package provider says what a provider is: a recipe for one authorization
// server and its API. A recipe is data and a few small functions; everything
// else, from sending a refresh to storing its answer, is the same for all.
package provider

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
)

// Environment names one of a provider's worlds. Clients, users and tokens of
// one are unknown in another.
type Environment string

// The environments.
const (
	Production Environment = "production"
	Trial      Environment = "trial"
	Sandbox    Environment = "sandbox" // Lightspeed on this machine
)

// ErrNoDiscovery is returned by [Recipe.Discover] when the provider has no call
// for the granted scope that lists what a token reaches.
var ErrNoDiscovery = errors.New("the provider lists no locations for this scope")

// Endpoints are the URLs of an authorization server and its API.
type Endpoints struct {
	Issuer    string // compared with iss (RFC 9207) where the provider sends it
	Authorize string
	// Token, Refresh, Revoke and API may contain the recipe's variables as {name};
	// see [App.ResolvedFor].
	Token   string
	Refresh string // where refreshes go, if not to Token
	Revoke  string // "" if there is none (RFC 7009)
	API     string // base of the API; where tokens may be sent
	// IssRequired is set when the metadata promises iss on every redirect
	// (authorization_response_iss_parameter_supported, RFC 9207 section 3).
	IssRequired bool
}

// RefreshURL is where refreshes go.
func (e Endpoints) RefreshURL() string { return cmp.Or(e.Refresh, e.Token) }

// Recipe is one provider.
type Recipe struct {
	Name  string // lightspeed-k
	Title string // for people: "Lightspeed Restaurant (K-Series)"
	Login string // what a merchant calls the place to log in: "Lightspeed"
	// Environments holds the endpoints by environment. For Sandbox they are paths
	// under the sandbox's address.
	Environments map[Environment]Endpoints
	Auth         oauth.ClientAuth
	Encoding     oauth.Encoding
	PKCE         bool
	Policy       grant.Policy
	Errors       oauth.Errors
	// Variables are what Token, Revoke and API differ in by connection, such as
	// X-Series' domain_prefix. They come with the redirect, as parameters of these
	// names, and are kept with the grant's credentials.
	Variables []string
	// Suffixes is what the provider writes after a variable's value, by name: with
	// ".myshopify.com" for shop, "acme.myshopify.com" is taken for acme, and so is acme.
	Suffixes map[string]string
	// RedirectRegistered: the provider knows exactly one redirect URI, so none is
	// sent, neither to be authorized nor with the code.
	RedirectRegistered bool
	// ScopeRequired: without a scope nobody can approve.
	ScopeRequired bool
	// AuthorizeParams are added to the authorize URL.
	AuthorizeParams url.Values
	// CodeParams are added to the request that exchanges a code.
	CodeParams url.Values
	// Expired are answers of the API that mean what elsewhere 401 does; see
	// [Recipe.RefusesToken].
	Expired []Refusal
	// CheckClientID reports why a client id cannot belong to this provider, with
	// the recipe that fits. Nil accepts all.
	CheckClientID func(id string, env Environment) error
	// CheckScope reports a scope that is known to be a misspelling. Nil accepts all.
	CheckScope func(scope string) error
	// Ours are errors that come with the redirect and are the operator's to solve,
	// though by their code the merchant said no; see [Recipe.IsOurs].
	Ours []RedirectError
	// Permissions says what a scope allows, for merchants, as the end of "may
	// …": "read your sales". Scopes without an entry are not mentioned to them.
	Permissions map[string]string
	// Identify says whose approval a token response is, which came from the
	// endpoints with these variables. Nil: nobody's.
	Identify func(t oauth.Token, vars map[string]string) grant.Identity
	// Discover reads what an access token reaches. Nil, or ErrNoDiscovery: the
	// provider has no such call for this scope and locations are given by hand; a
	// Reach beside that error may still say whose token it is.
	Discover func(ctx context.Context, api API) (Reach, error)

	// Untried: written from documentation, and nobody has tried it live.
	Untried bool
	Quirks  []string // what differs from what one would expect, for people
	Sources []string // of the facts: URLs
}

// RedirectError is an error that comes with the redirect (RFC 6749 section
// 4.1.2.1).
type RedirectError struct {
	Code string
	Says string // part of the description, in lower case
}

// IsOurs reports whether the recipe lists an error that came with the redirect as
// one that the operator has to solve.
func (r Recipe) IsOurs(code, description string) bool {
	description = strings.ToLower(description)
	return slices.ContainsFunc(r.Ours, func(e RedirectError) bool {
		return e.Code == code && strings.Contains(description, e.Says)
	})
}

// Refusal is an answer of an API to a token that is not good any more.
type Refusal struct {
	Status int
	Says   string // part of the body, in lower case
}

// RefusesToken reports whether an answer of the API says that the access token
// is not good any more: 401, or what the recipe lists. Of the body a beginning
// is enough.
func (r Recipe) RefusesToken(status int, body []byte) bool {
	return status == http.StatusUnauthorized || slices.ContainsFunc(r.Expired, func(e Refusal) bool {
		return e.Status == status && bytes.Contains(bytes.ToLower(body), []byte(e.Says))
	})
}

// Reach is what a token reaches.
type Reach struct {
	Locations []grant.Location // GrantID and SeenAt are filled in by the caller
	// Businesses are the ids of the businesses the token reaches, for the identity.
	Businesses []string
	// Account is what the provider calls the one tenant of the token, for the
	// identity; "" if it has none or the token response says it already.
	Account string
	Name    string // of the account or the first business, for people
}

// API is one grant's way to its provider's API. Requests carry its access token
// and go nowhere but to Base's host.
type API struct {
	Client *http.Client // adds the Authorization header; follows no redirects
	Base   string
	Scope  string
	// Variables are the connection's; nil for a recipe that declares none.
	Variables map[string]string
}
