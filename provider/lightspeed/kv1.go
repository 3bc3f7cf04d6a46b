package lightspeed

import (
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/provider"
)

// K1 is Restaurant (K-Series) with V1 authorization. Its clients, whose ids
// begin with devp- and not devp-v2-, work until they are migrated.
//
// Nobody is identified: who approved can only be read from a call whose answer
// also carries secrets of the account, and that call is not made.
func K1() provider.Recipe {
	return provider.Recipe{
		Name:  "lightspeed-k-v1",
		Title: "Lightspeed Restaurant (K-Series), V1 authorization",
		Login: "Lightspeed",
		Environments: map[provider.Environment]provider.Endpoints{
			provider.Production: v1(productionAPI),
			provider.Trial:      v1(trialAPI),
			provider.Sandbox:    v1("/k1"),
		},
		Auth: oauth.Basic,
		// The grant parameters go into the URL of the token request.
		Encoding: oauth.Query,
		Policy: grant.Policy{
			// A refresh token works once. What a second use does to the grant is not
			// documented, so the worst is assumed.
			Rotation:       grant.FamilyKill,
			AccessLifetime: time.Hour,
			RefreshIdle:    14 * 24 * time.Hour,
			RefreshWindow:  refreshWindow,
		},
		Errors:        tokenErrors(),
		CheckClientID: checkClientIDV1,
		CheckScope:    checkScope,
		Permissions:   permissions(),
		Discover:      discover,
	}
}

// v1 returns the endpoints on an API host.
func v1(host string) provider.Endpoints {
	return provider.Endpoints{Authorize: host + "/oauth/authorize", Token: host + "/oauth/token", API: host}
}
