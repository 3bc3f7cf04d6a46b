// Package lightspeed holds the recipes of Lightspeed's APIs. "Lightspeed" is a
// vendor, not an API: each series has its own authorization server, token shape
// and paging, so each has a recipe of its own.
//
// Facts are from https://api-portal.lsk.lightspeed.app and
// https://api-docs.lsk.lightspeed.app; what is not documented there says so.
package lightspeed

import (
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/provider"
)

// The API hosts, the same for both generations of clients.
const (
	productionAPI = "https://api.lsk.lightspeed.app"
	trialAPI      = "https://api.trial.lsk.lightspeed.app"
)

const (
	realm   = "/realms/k-series"
	connect = realm + "/protocol/openid-connect"
)

// K is Restaurant (K-Series) with V2 authorization, a Keycloak realm. Every
// client created since 2025-11-10 is of this generation; its id begins with
// devp-v2-.
func K() provider.Recipe {
	return provider.Recipe{
		Name:  "lightspeed-k",
		Title: "Lightspeed Restaurant (K-Series)",
		Login: "Lightspeed",
		Environments: map[provider.Environment]provider.Endpoints{
			provider.Production: keycloak("https://auth.lsk-prod.app", productionAPI),
			provider.Trial:      keycloak("https://auth.lsk-demo.app", trialAPI),
			provider.Sandbox:    withRevocation(keycloak("/k", "/k")),
		},
		// Only Basic is documented.
		Auth:     oauth.Basic,
		Encoding: oauth.Form,
		// Not demanded of confidential clients, and accepted from them.
		PKCE: true,
		Policy: grant.Policy{
			// Every refresh rotates, and Keycloak ends the session when a spent
			// refresh token comes again.
			Rotation: grant.FamilyKill,
			// Lifetimes are stated in each answer; 25 minutes is what is seen.
			AccessLifetime: 25 * time.Minute,
			RefreshWindow:  refreshWindow,
		},
		Errors:        tokenErrors(),
		CheckClientID: checkClientIDV2,
		CheckScope:    checkScope,
		Permissions:   permissions(),
		Identify:      identify,
		Discover:      discover,
	}
}

// refreshWindow is Lightspeed's advice: refresh in the last 30 seconds.
const refreshWindow = 30 * time.Second

// keycloak returns the endpoints of a realm. Whether integrators may use its
// revocation endpoint is not documented, so it is left out: a refresh token is
// not sent where nobody said it should go.
func keycloak(auth, api string) provider.Endpoints {
	return provider.Endpoints{
		Issuer:    auth + realm,
		Authorize: auth + connect + "/auth",
		Token:     auth + connect + "/token",
		API:       api,
	}
}

// withRevocation adds Keycloak's revocation endpoint, which the sandbox has.
func withRevocation(e provider.Endpoints) provider.Endpoints {
	e.Revoke = e.Issuer + "/protocol/openid-connect/revoke"
	return e
}

// tokenErrors is what the token endpoints answer. "Code not valid", "Incorrect
// redirect_uri" and "Token is not active" all come as invalid_grant.
func tokenErrors() oauth.Errors {
	return oauth.Errors{
		"invalid_grant":       grant.Refused,
		"invalid_client":      grant.Misconfigured,
		"unauthorized_client": grant.Misconfigured,
	}
}

// identify takes the user from the access token, a JWT of the realm. It is not
// verified: it came from the token endpoint over TLS and decides nothing but
// whether two approvals look like the same person's.
func identify(t oauth.Token, _ map[string]string) grant.Identity {
	claims, ok := oauth.JWTClaims(t.AccessToken)
	if !ok {
		return grant.Identity{}
	}
	return grant.Identity{Issuer: provider.TextClaim(claims, "iss"), Subject: provider.TextClaim(claims, "sub")}
}
