// Package documented holds recipes that were written from documentation and that
// nobody here has tried live. They are data: what differs from the words of
// [provider.Recipe] is none of the recipe's.
//
// The table is Go and not a file read at start, because the compiler then checks
// every word of it, and because there is no reader to write, test and trust.
package documented

import (
	"net/url"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/provider"
)

const day = 24 * time.Hour

// Recipes returns the table. It is the caller's.
func Recipes() []provider.Recipe {
	all := []provider.Recipe{lightspeedL(), lightspeedO(), quickbooks(), xero(), square(), shopify(), clover()}
	for i := range all {
		all[i].Untried = true
	}
	return all
}

// lightspeedL is Restaurant (L-Series).
func lightspeedL() provider.Recipe {
	at := func(host string) provider.Endpoints {
		return provider.Endpoints{Authorize: host + "/resto/oauth2/v1/authorize", Token: host + "/resto/oauth2/v1/token", API: host}
	}
	return provider.Recipe{
		Name: "lightspeed-l", Title: "Lightspeed Restaurant (L-Series)", Login: "Lightspeed",
		Environments: map[provider.Environment]provider.Endpoints{
			provider.Production: at("https://lightspeedapis.com"),
			provider.Trial:      at("https://test.lightspeedapis.com"),
		},
		Auth: oauth.Basic, Encoding: oauth.Form, PKCE: true,
		Policy: grant.Policy{
			Rotation: grant.Grace, Window: time.Minute,
			AccessLifetime: time.Hour, RefreshIdle: 30 * day, RefreshWindow: 30 * time.Second,
		},
		Quirks: []string{
			"PKCE is required: pkce: false cannot work",
			"a refresh token that was just used is accepted for 60 s more",
		},
		Sources: []string{"https://www.postman.com (public workspace l-series-api)", "https://github.com/chronogolf/lightspeed_restaurant"},
	}
}

// lightspeedO is Retail and Hospitality (O-Series), once Kounta.
func lightspeedO() provider.Recipe {
	return provider.Recipe{
		Name: "lightspeed-o", Title: "Lightspeed O-Series (Kounta)", Login: "Lightspeed",
		Environments: map[provider.Environment]provider.Endpoints{
			provider.Production: {
				Authorize: "https://my.kounta.com/authorize", Token: "https://api.kounta.com/v1/token", API: "https://api.kounta.com",
			},
		},
		Auth: oauth.Post, Encoding: oauth.Form,
		// Neither rotation nor lifetimes are documented.
		Policy:  grant.Policy{Rotation: grant.Unknown, RefreshWindow: 30 * time.Second},
		Expired: []provider.Refusal{{Status: 400, Says: "the access token provided has expired"}},
		Quirks: []string{
			"the API answers 400, not 401, to an access token that has ended",
			"a redirect URI that is not the registered one shows the merchant a page with error 500",
			"60 requests a minute with Basic, 180 with OAuth",
		},
		Sources: []string{"https://apidoc.kounta.com/authentication", "https://support.kounta.com/hc/en-us/articles/4403209207951"},
	}
}

// quickbooks is QuickBooks Online.
func quickbooks() provider.Recipe {
	const realm = "realmId"
	at := func(api string) provider.Endpoints {
		return provider.Endpoints{
			Authorize: "https://appcenter.intuit.com/connect/oauth2",
			Token:     "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
			API:       api + "/v3/company/{" + realm + "}",
		}
	}
	return provider.Recipe{
		Name: "quickbooks", Title: "QuickBooks Online", Login: "QuickBooks",
		Environments: map[provider.Environment]provider.Endpoints{
			provider.Production: at("https://quickbooks.api.intuit.com"),
			provider.Trial:      at("https://sandbox-quickbooks.api.intuit.com"),
		},
		Variables: []string{realm},
		Auth:      oauth.Basic, Encoding: oauth.Form, ScopeRequired: true,
		Policy: grant.Policy{
			Rotation: grant.Lenient, Window: day,
			AccessLifetime: time.Hour, RefreshIdle: 100 * day, RefreshAbsolute: 5 * 365 * day,
		},
		Identify: variable(realm),
		Quirks: []string{
			"the company comes as realmId with the redirect; adopted tokens need it as a variable",
			"refresh tokens before the newest live 24 h more",
			"since November 2025 a grant ends after five years, however much it is used",
			"its revocation endpoint takes JSON, so a disconnect is local",
		},
		Sources: []string{
			"https://developer.intuit.com/app/developer/qbo/docs/develop/authentication-and-authorization/faq",
			"https://github.com/intuit/oauth-jsclient", "https://blogs.intuit.com (2025-11-12)",
		},
	}
}

// xero is Xero.
func xero() provider.Recipe {
	return provider.Recipe{
		Name: "xero", Title: "Xero", Login: "Xero",
		Environments: map[provider.Environment]provider.Endpoints{
			provider.Production: {
				Authorize: "https://login.xero.com/identity/connect/authorize",
				Token:     "https://identity.xero.com/connect/token",
				Revoke:    "https://identity.xero.com/connect/revocation",
				API:       "https://api.xero.com",
			},
		},
		Auth: oauth.Basic, Encoding: oauth.Form, ScopeRequired: true,
		Policy: grant.Policy{
			Rotation: grant.Grace, Window: 30 * time.Minute,
			AccessLifetime: 30 * time.Minute, RefreshIdle: 60 * day,
		},
		Quirks: []string{
			"without offline_access there is no refresh token",
			"a token can be good for several organisations: GET /connections lists them, and calls name one in Xero-Tenant-Id",
			"a used refresh token may be sent again for 30 min",
		},
		Sources: []string{"https://developer.xero.com/faq/oauth2", "https://developer.xero.com/documentation/guides/oauth2/auth-flow"},
	}
}

// square is Square, with a client secret.
func square() provider.Recipe {
	at := func(host string) provider.Endpoints {
		return provider.Endpoints{Authorize: host + "/oauth2/authorize", Token: host + "/oauth2/token", API: host}
	}
	return provider.Recipe{
		Name: "square", Title: "Square", Login: "Square",
		Environments: map[provider.Environment]provider.Endpoints{
			provider.Production: at("https://connect.squareup.com"),
			provider.Trial:      at("https://connect.squareupsandbox.com"),
		},
		Auth: oauth.Post, Encoding: oauth.JSON, ScopeRequired: true,
		// Renewed from the seventh day on, as Square advises.
		Policy: grant.Policy{Rotation: grant.Static, AccessLifetime: 30 * day, RefreshWindow: 23 * day},
		Identify: func(t oauth.Token, _ map[string]string) grant.Identity {
			return grant.Identity{Account: t.Extra["merchant_id"]}
		},
		Quirks: []string{
			"token requests are JSON",
			"a refresh answers the same refresh token, which does not end; with PKCE and no secret it would be another one each time",
			"expires_at is a moment written out, and there is no expires_in",
			"revocation wants the secret in a header of Square's own, so a disconnect is local",
			"errors have a shape of Square's own; one that is not OAuth's is waited out, never taken for the end of a grant",
		},
		Sources: []string{
			"https://developer.squareup.com/reference/square/o-auth/obtain-token",
			"https://developer.squareup.com/docs/oauth-api/refresh-revoke-limit-scope",
		},
	}
}

// shopify is Shopify with expiring offline tokens.
func shopify() provider.Recipe {
	const shop = "shop"
	host := "https://{" + shop + "}.myshopify.com"
	return provider.Recipe{
		Name: "shopify", Title: "Shopify", Login: "Shopify",
		Environments: map[provider.Environment]provider.Endpoints{
			// Where to approve is each shop's own host too, and has to be named.
			provider.Production: {Token: host + "/admin/oauth/access_token", API: host},
		},
		Variables: []string{shop},
		Suffixes:  map[string]string{shop: ".myshopify.com"},
		Auth:      oauth.Post, Encoding: oauth.Form, ScopeRequired: true,
		CodeParams: url.Values{"expiring": {"1"}},
		Policy: grant.Policy{
			Rotation: grant.RetireOnUse, Window: 30 * day,
			AccessLifetime: time.Hour, RefreshIdle: 90 * day,
		},
		Identify: variable(shop),
		Quirks: []string{
			"merchants approve on a host of their shop: name endpoints.authorize, https://SHOP.myshopify.com/admin/oauth/authorize, one app entry for each shop, or adopt tokens with the variable shop",
			"scopes are one list with commas: scopes: [\"read_orders,read_products\"]",
			"the API wants the token as X-Shopify-Access-Token, not as Authorization",
			"since 2026-08-28 a used refresh token works until its successor is used, 30 d at most",
		},
		Sources: []string{
			"https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/offline-access-tokens",
			"https://shopify.dev/changelog/offline-access-tokens-now-support-expiry-and-refresh",
		},
	}
}

// Clover's regions beside North America, each of which is a world of its own.
const (
	europe       provider.Environment = "europe"
	latinAmerica provider.Environment = "latin-america"
)

// clover is Clover, v2/OAuth.
func clover() provider.Recipe {
	at := func(web, api string) provider.Endpoints {
		return provider.Endpoints{
			Authorize: web + "/oauth/v2/authorize", Token: api + "/oauth/v2/token", Refresh: api + "/oauth/v2/refresh", API: api,
		}
	}
	return provider.Recipe{
		Name: "clover", Title: "Clover", Login: "Clover",
		Environments: map[provider.Environment]provider.Endpoints{
			provider.Production: at("https://www.clover.com", "https://api.clover.com"),
			europe:              at("https://www.eu.clover.com", "https://api.eu.clover.com"),
			latinAmerica:        at("https://www.la.clover.com", "https://api.la.clover.com"),
			provider.Trial:      at("https://sandbox.dev.clover.com", "https://apisandbox.dev.clover.com"),
		},
		Auth: oauth.Post, Encoding: oauth.JSON,
		// A refresh token works once. What a second use does to its successor is not
		// documented, so the worst is assumed. Each answer states its lifetimes.
		Policy: grant.Policy{Rotation: grant.FamilyKill},
		Quirks: []string{
			"token requests are JSON, and refreshes go to an endpoint of their own",
			"lifetimes are moments, access_token_expiration and refresh_token_expiration",
			"permissions are set with the app at Clover; there are no scopes",
			"merchants of other regions are on other hosts: environment: europe, latin-america",
			"the number of live refresh tokens of a merchant is limited; the oldest ends",
		},
		Sources: []string{
			"https://docs.clover.com/docs/high-trust-app-auth-flow", "https://docs.clover.com/docs/refresh-access-tokens",
			"https://docs.clover.com/docs/legacy-token-migration-flow",
		},
	}
}

// variable identifies an account by the variable under which it was asked.
func variable(name string) func(oauth.Token, map[string]string) grant.Identity {
	return func(_ oauth.Token, vars map[string]string) grant.Identity { return grant.Identity{Account: vars[name]} }
}
