package lightspeed

import (
	"fmt"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/provider"
)

// domainPrefix names a retailer of X-Series. It comes with the redirect, so the
// browser can change it; only a DNS label of the vendor's own host is made of it.
const domainPrefix = "domain_prefix"

// X is Retail (X-Series), once Vend. Every retailer has a host of its own, for
// tokens and for the API; a token is good for one retailer and its outlets.
//
// Facts are from https://x-series-api.lightspeedhq.com/docs/authorization where
// comments name no other page.
func X() provider.Recipe {
	return provider.Recipe{
		Name:  "lightspeed-x",
		Title: "Lightspeed Retail (X-Series)",
		Login: "Lightspeed Retail",
		Environments: map[provider.Environment]provider.Endpoints{
			// There is no host for trials: a developer's store is a retailer like others.
			provider.Production: retailX("https://secure.retail.lightspeed.app", "https://{"+domainPrefix+"}.retail.lightspeed.app"),
			provider.Sandbox:    retailX("/x", "/x/{"+domainPrefix+"}"),
		},
		Variables: []string{domainPrefix},
		// Parameters in the URL are refused since 2017
		// (changelog/2017-03-security-update).
		Auth:     oauth.Post,
		Encoding: oauth.Form,
		// Required of new grants since 2026-06-01: without it, access_denied
		// (changelog/2025-11-scope-parameter-required). The state, which must have
		// eight characters at least (changelog/2023-11-authorization-state-parameter),
		// has 43 for every provider.
		ScopeRequired: true,
		Policy: grant.Policy{
			// A refresh revokes the refresh token it used and the access token issued
			// with that one, at once (changelog/2025-03-refresh-token-flow-update). No
			// window for a second try is documented.
			Rotation:       grant.Strict,
			OldAccessToken: grant.RevokedNow,
			// Each answer states its own, as expires and expires_in. How long a refresh
			// token lives is not documented.
			AccessLifetime: 24 * time.Hour,
			RefreshWindow:  refreshWindow,
		},
		// access_denied is what a merchant's no comes as, and also a missing scope. An
		// app that is not approved may be connected to 30 stores; what the 31st's
		// merchant comes back with is not documented, so its words are looked for.
		Ours: []provider.RedirectError{
			{Code: "access_denied", Says: "scope"}, {Code: "access_denied", Says: "not approved"},
			{Code: "access_denied", Says: "unapproved"}, {Code: "access_denied", Says: "limit"},
		},
		// What the token endpoint answers to errors is not documented, so nothing is
		// added to RFC 6749. There is no endpoint to revoke tokens.
		CheckScope:  checkScopeX,
		Permissions: permissionsX(),
		Identify:    identifyX,
		Discover:    discoverX,
	}
}

// retailX returns the endpoints on the common host and on a retailer's.
func retailX(common, retailer string) provider.Endpoints {
	return provider.Endpoints{
		Authorize: common + "/connect",
		Token:     retailer + "/api/1.0/token",
		API:       retailer,
	}
}

// identifyX is the retailer, by the name under which it was asked for the token.
func identifyX(_ oauth.Token, vars map[string]string) grant.Identity {
	return grant.Identity{Account: vars[domainPrefix]}
}

// checkScopeX refuses scopes of the other series that is called "Lightspeed
// Retail".
func checkScopeX(s string) error {
	if strings.HasPrefix(s, scopeR) {
		return fmt.Errorf("%q is a scope of R-Series (provider: lightspeed-r); those of X-Series are like sales:read", s)
	}
	return nil
}

// permissionsX says what the scopes allow (docs/scopes).
func permissionsX() map[string]string {
	return map[string]string{
		"outlets:read":   "see your outlets",
		"registers:read": "see your registers",
		"sales:read":     "see your sales",
		"sales:write":    "make and change sales",
		"products:read":  "see your products",
		"products:write": "change your products",
		"customers:read": "see your customers",
		"inventory:read": "see your inventory",
	}
}
