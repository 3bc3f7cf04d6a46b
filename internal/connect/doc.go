// Package connect is the part merchants see: links, the trip to the provider
// and back, the one exchange of the authorization code, and a plain page for
// every way it can end.
//
//	GET  /connect/{token} ────────────── landing; changes nothing but "opened"
//	        │ button
//	POST /connect/{token}/start ──────── mints state, cookie and PKCE verifier
//	        │ 303
//	     provider: login, consent
//	        │ redirect
//	GET  /oauth/callback/{app} ───────── state, cookie, iss; then, once, the exchange
//	        │ 303
//	GET  /connect/{token}/done           or /connect/{token}/problem; reloadable
//	POST /connect/{token}/help ───────── from an expired link: asks for a new one
//
// Every page speaks the languages in text/. Which one follows from what the
// merchant picked, the link's locale and the browser, in this order.
//
// The state of a link:
//
//	created ──▶ opened ──▶ at_provider ──▶ completed
//	                          ▲   │
//	                          │   ▼
//	                         failed          any unfinished one ──▶ expired, revoked
//
// A link is used up only by a finished authorization. Its token is known to its
// maker and to nobody else: the store has a hash, and while a merchant is at the
// provider the sealed authorization has the token, so that the callback knows
// where to send the browser.
//
// An authorization code is sent at most once (RFC 6749 section 4.1.2). The
// answer goes into the spool before it is understood, and into the store before
// the merchant hears of it. What a crash leaves in the spool, [Service.Recover]
// finishes.
package connect
