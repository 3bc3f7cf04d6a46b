// Package signin says who may come into the dashboard. Nobody is let in unless by
// one of two ways:
//
//	evergrant dashboard ──▶ Invite ──▶ /login/link/TOKEN ── button ──┐
//	                        (a row of logins, used once)             ├──▶ session cookie
//	/login ── button ──▶ identity provider ──▶ /login/callback ──────┘
//	          (state, nonce and verifier in a cookie)
//
// A session is a sealed cookie with a name, a role and an end, so that any replica
// knows it and none keeps it. It opens as long as the store's keyset and the
// configured roles are the same ones: who changes the roles logs everybody out.
//
// No request changes anything by GET, and no POST of another site is taken.
package signin
