// Package sandbox is Lightspeed on this machine: a stand-in for the vendor's
// authorization servers (K-Series, R-Series, X-Series) and for enough of their
// APIs to prove a token and to page through something, as one http.Handler
// without network, storage or goroutines.
//
// It is a second opinion. It shares no code with the engine it tests, it
// remembers every refresh token it ever issued, and its judge ([Sandbox.Report])
// says what a client did wrong, through every fault the sandbox itself caused.
//
// # What is where
//
//	/                    what there is, who can log in
//	/k                   K-Series V2: realm k-series (Keycloak), API
//	/k1                  K-Series V1: /oauth, the same API
//	/r                   R-Series: /auth/oauth and the old server's /oauth/*.php, /API/V3
//	/x/connect           X-Series: where merchants log in
//	/x/{domain_prefix}   X-Series: a retailer's host, with /api/1.0/token and /api/2.0
//	/_sandbox/state      clients, users, grants, lifetimes, clock, faults
//	/_sandbox/reset      back to the demo users; the clock stays where it is
//	/_sandbox/clock      {"advance":"1d"}
//	/_sandbox/lifetimes  {"series","access":"20s","refresh":"30m","code":"15s"}, for tokens issued later
//	/_sandbox/clients    {"client_id","series","client_secret","redirect_uris","scopes","rotation","window",
//	                      "server","public","store_cap"}
//	/_sandbox/users      {"email","password","name","businesses","account","retailer"};
//	                     /{email}/revoke {"only":"access_tokens"}, /{email}/lock, /{email}/unlock
//	/_sandbox/faults     {"client_id","fault","times","for","match"}
//	/_sandbox/log        requests seen, never a token
//	/_sandbox/report     the judge
//
// A client is registered when it first shows up: its first authorize request
// fixes the redirect URI, its first token request fixes the secret. Registering
// it at /_sandbox/clients sets either strictly. Requests of R-Series name no
// redirect URI: its clients are registered there, in [Config.Clients], or on the
// page that a person is shown instead. Client ids of R-Series and X-Series do not
// tell whose they are; what is said about them names the series.
//
// # How true it is
//
// What is copied from the vendor's documentation or from recorded traffic is in
// testdata/shapes, each answer with its source, and:
//
//   - K-Series: paths, client id prefixes, Basic-only client authentication (V2),
//     grant parameters in the URL query (V1), exact redirect compare, 15 s one-use
//     codes, lifetimes, rotation, the added scopes profile and email, errors shown
//     as a page or sent on the redirect, coverage that follows the user, HAL links
//     that point at another host, every way of paging.
//   - R-Series: no redirect URI, PKCE by S256 and plain, 60 s codes, form, JSON and
//     multipart bodies, the JWT's claims, a refresh token that stays good until the
//     new access token is used, five refreshes a minute, 30 idle days; the old
//     server's same token again; both hints of a 401; text-only scalars, the object
//     instead of an array of one, absolute next links; bucket and burst limit.
//   - X-Series: a host for each retailer, state and scope mandatory, forms only, the
//     old pair dead at once, ten token requests (the documentation's example), 300
//     requests for each register and 50 in five minutes, dates in Retry-After, paging
//     by version, 30 stores.
//
// Approximated of R-Series: the texts of errors, the 429 of the sixth refresh, when
// the old access token ends (with its refresh token), the 403, the samples; each
// shop counts as one register. Of X-Series: errors of the token endpoint, 401 and
// 403, how long a refresh token lives (a year), the minute of the token endpoint's
// limit, how an app at its limit of stores is refused (access_denied), the samples,
// page sizes.
//
// Approximated of K-Series: the body of a 401 (the vendor does not state it), what
// reuse of a refresh token does (Keycloak's single use: the whole grant ends), the
// error texts of V1 (Spring's), the revoke and logout endpoints (Keycloak's), the
// fields of sales, payments, items and staff, the reach of a token (a V1 token is
// refused at /k and the reverse, where the vendor's API host is one).
//
// Absent: single sign-on between two authorizations, K-Series' rate limits (none
// are published), webhooks, writing, load_relations and the version before V3 of
// R-Series, every API that is not named above.
package sandbox
