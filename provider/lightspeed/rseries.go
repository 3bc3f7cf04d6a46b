package lightspeed

import (
	"fmt"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/provider"
)

// R is Retail (R-Series), on the authorization server of 2024-07-31. One client
// serves many accounts; a token is good for one account and all its shops that
// the approving employee may see (authentication/clients).
//
// Refresh tokens of the older server are taken by this one: the first refresh
// moves them over (authentication/refresh-token).
//
// Facts are from https://developers.lightspeedhq.com/retail; comments name its
// pages.
func R() provider.Recipe {
	return provider.Recipe{
		Name:  "lightspeed-r",
		Title: "Lightspeed Retail (R-Series)",
		Login: "Lightspeed Retail",
		Environments: map[provider.Environment]provider.Endpoints{
			// There is no host for trials: a trial is an account on this one.
			provider.Production: retailR("https://cloud.lightspeedapp.com", "https://api.lightspeedapp.com"),
			provider.Sandbox:    retailR("/r", "/r"),
		},
		// Client id and secret are fields of the body; a public client leaves the
		// secret out. JSON and multipart are documented, JSON refreshes have been seen
		// refused, a form works (authentication/authorization-code-grant).
		Auth:     oauth.Post,
		Encoding: oauth.Form,
		PKCE:     true, // S256; optional for clients with a secret
		// "There is no redirect_uri parameter": a client has exactly one
		// (authentication/authorization-code-grant, clients).
		RedirectRegistered: true,
		ScopeRequired:      true, // without one: 400 invalid_scope
		Policy: grant.Policy{
			// Since 2026-01-15 a used refresh token stays good until the new access
			// token is first used, and the refresh may be repeated meanwhile, five
			// times a minute at most (authentication/refresh-token, changelog).
			Rotation:         grant.RetireOnUse,
			RefreshPerMinute: 5,
			// Each answer states its own; 3600 and 1800 are documented.
			AccessLifetime: 30 * time.Minute,
			RefreshIdle:    30 * 24 * time.Hour,
			RefreshWindow:  refreshWindow,
		},
		// Its errors are RFC 6749's; invalid_client also tells that the client is
		// blocked (authentication/refresh-token).
		CheckScope:  checkScopeR,
		Permissions: permissionsR(),
		Identify:    identifyR,
		Discover:    discoverR,
	}
}

// retailR returns the endpoints on an authorization server and an API host.
func retailR(auth, api string) provider.Endpoints {
	const oauthPath = "/auth/oauth"
	return provider.Endpoints{
		Authorize: auth + oauthPath + "/authorize",
		Token:     auth + oauthPath + "/token",
		// Kills the pair, given its latest refresh token (authentication/refresh-token).
		Revoke: auth + oauthPath + "/revoke",
		API:    api,
	}
}

// identifyR takes the account and the employee from the access token, a JWT
// (authentication/access-token). It is not verified and decides nothing but
// whether two approvals look like the same account's. Tokens of the older server
// are opaque; their account comes from the API.
func identifyR(t oauth.Token, _ map[string]string) grant.Identity {
	claims, ok := oauth.JWTClaims(t.AccessToken)
	if !ok {
		return grant.Identity{}
	}
	return grant.Identity{
		Issuer:  provider.TextClaim(claims, "iss"),
		Subject: provider.TextClaim(claims, "sub"),
		Account: provider.TextClaim(claims, "acct"),
	}
}

// scopeR is how every scope of R-Series begins (authentication/scopes).
const scopeR = "employee:"

// checkScopeR refuses scopes of other series, which share the name "Lightspeed
// Retail" or "Lightspeed".
func checkScopeR(s string) error {
	if !strings.HasPrefix(s, scopeR) {
		return fmt.Errorf("scopes of R-Series begin with %s, and %q does not; scopes like sales:read are X-Series' (provider: lightspeed-x)", scopeR, s)
	}
	return nil
}

// permissionsR says what the scopes allow, as far as their names are documented.
func permissionsR() map[string]string {
	return map[string]string{
		"employee:all":             "see and change everything that your login can",
		"employee:register":        "see and make sales",
		"employee:register_read":   "see your sales",
		"employee:inventory":       "see and change your inventory",
		"employee:inventory_read":  "see your inventory",
		"employee:customers":       "see and change your customers",
		"employee:customers_read":  "see your customers",
		"employee:reports":         "see your reports",
		"employee:purchase_orders": "see and make purchase orders",
		"employee:transfers":       "see and make transfers between shops",
	}
}
