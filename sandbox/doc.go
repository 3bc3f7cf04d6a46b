// Package sandbox is Lightspeed on this machine: a stand-in for the vendor's
// authorization servers and for enough of its APIs to prove a token, as one
// http.Handler without network, storage or goroutines.
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
//	/_sandbox/state      clients, users, grants, lifetimes, clock, faults
//	/_sandbox/reset      back to the demo users; the clock stays where it is
//	/_sandbox/clock      {"advance":"1d"}
//	/_sandbox/lifetimes  {"access":"20s","refresh":"30m","code":"15s"}, for tokens issued later
//	/_sandbox/clients    {"client_id","client_secret","redirect_uris","scopes","rotation","window"}
//	/_sandbox/users      {"email","password","name","businesses"}; /{email}/revoke
//	/_sandbox/faults     {"client_id","fault","times","for","match"}
//	/_sandbox/log        requests seen, never a token
//	/_sandbox/report     the judge
//
// A client is registered when it first shows up: its first authorize request
// fixes the redirect URI, its first token request fixes the secret. Registering
// it at /_sandbox/clients sets either strictly.
//
// # How true it is
//
// Copied from the vendor's documentation or from recorded traffic: paths, client
// id prefixes, Basic-only client authentication (V2), grant parameters in the
// URL query (V1), exact redirect compare, 15 s one-use codes, lifetimes,
// rotation, the added scopes profile and email, the token endpoint's error
// table, errors shown as a page or sent on the redirect, coverage that follows
// the user, HAL links that point at another host, paging by token.
//
// Approximated: the body of a 401 (the vendor does not state it), what reuse of a
// refresh token does (Keycloak's single use: the whole grant ends), the
// error texts of V1 (Spring's), the revoke and logout endpoints (Keycloak's), the
// fields of a sale, the reach of a token (a V1 token is refused at /k and the
// reverse, where the vendor's API host is one).
//
// Absent: single sign-on between two authorizations, rate limits (none are
// published), webhooks, every API but businesses and sales.
package sandbox
