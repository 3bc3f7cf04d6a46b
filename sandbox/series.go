package sandbox

import (
	"net/http"
	"time"
)

// series is one of the vendor's products, as far as the machinery that all of
// them share needs to know it. One file per series fills it in.
type series struct {
	name   string // lightspeed-k; a fault may say it, or the family, instead of a client id
	family string // k-series: what people call it, whatever the generation
	title  string
	root   string // /k

	// Paths under root. The login and consent pages carry ?session_code=.
	authorizePath, loginPath, consentPath, tokenPath string
	// issuerPath is sent as iss on the redirect, made absolute; "" sends none.
	issuerPath string
	// tokensInURL: the token endpoint takes its parameters from the URL query.
	tokensInURL bool
	pkce        bool
	// owns reports whether a client id belongs to this series.
	owns func(clientID string) bool
	// access, code and the two refresh lifetimes, with and without offline_access.
	access, refreshOffline, refreshOnline, code time.Duration
	// addedScopes are granted without being asked for.
	addedScopes []string

	// newCode makes an authorization code for a session.
	newCode func(session string) string
	// readToken reads a token request; what is wrong with its form is in err.
	readToken func(w http.ResponseWriter, r *http.Request) tokenRequest
	// mint makes the token strings of p, whose lifetimes and scope are set.
	mint func(p *pair)
	// reply is the token endpoint's 200.
	reply func(p *pair) map[string]any
	// texts are the error descriptions of the token endpoint.
	texts refusals

	// routes adds what only this series has.
	routes func(sr *series)
}

// refusals are the ways a token endpoint says no.
type refusals struct {
	badClient, badCode, badRedirect, deadToken, unknownToken, foreignToken, noRefreshToken, badGrantType oauthError
}

// oauthError is an error answer of RFC 6749 section 5.2.
type oauthError struct {
	status      int
	code        string
	description string
}

// routeSeries adds the routes of one series.
func (s *Sandbox) routeSeries(sr *series) {
	s.mux.HandleFunc("GET "+sr.root+sr.authorizePath, s.page(sr, s.authorize))
	s.mux.HandleFunc("POST "+sr.root+sr.loginPath, s.page(sr, s.login))
	s.mux.HandleFunc("GET "+sr.root+sr.consentPath, s.page(sr, s.showConsent))
	s.mux.HandleFunc("POST "+sr.root+sr.consentPath, s.page(sr, s.consent))
	s.mux.HandleFunc("POST "+sr.root+sr.tokenPath, s.tokenEndpoint(sr))
	s.routeAPI(sr)
	sr.routes(sr)
}
