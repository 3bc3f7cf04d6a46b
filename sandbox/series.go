package sandbox

import (
	"net/http"
	"net/url"
	"strconv"
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
	// registerPath is where a client without a redirect URI gets one; only where
	// redirectRegistered.
	registerPath string
	// issuerPath is sent as iss on the redirect, made absolute; "" sends none.
	issuerPath string
	// tokensInURL: the token endpoint takes its parameters from the URL query.
	tokensInURL bool
	basic       bool // clients authenticate by HTTP Basic
	pkce        bool
	plainPKCE   bool // the challenge may be the verifier itself
	// redirectRegistered: requests name no redirect URI, a client has exactly one.
	redirectRegistered bool
	// leastState is how many characters state must have.
	leastState int
	// scopeMissing answers an authorize request without a scope; "" lets it pass.
	scopeMissing string
	// errorsShown: what is wrong with an authorize request is said to the browser in
	// JSON, not on the redirect.
	errorsShown bool
	// owns reports whether a client id may belong to this series.
	owns func(clientID string) bool
	// idTells: ids show that they belong to this series and to no other.
	idTells bool
	// scopes are enabled on a client that registers itself; where they are none,
	// those are that takesScope knows.
	scopes     []string
	takesScope func(scope string) bool
	// describe says what a scope allows.
	describe func(scope string) string
	// rotation is what a client of this series gets, until it is given another.
	rotation rotation
	// oldAccessDies: a refresh ends the access token before at once. oldAccessRetires:
	// the first use of the new one does.
	oldAccessDies, oldAccessRetires bool
	// scopeFixed: a refresh may not name a scope.
	scopeFixed bool
	// storeCap is how many retailers an unapproved client may connect; 0 is any number.
	storeCap int
	// agent: requests must say who sends them.
	agent bool
	// access, code and the two refresh lifetimes, with and without offline_access.
	access, refreshOffline, refreshOnline, code time.Duration
	// addedScopes are granted without being asked for.
	addedScopes []string

	// reach is what u sees here, and false if u cannot log in.
	reach func(u User) ([]place, bool)
	// tenant is what a token of u is bound to: an account, a retailer; "" is nothing.
	tenant func(u User) string

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
	// refusal is the body of the token endpoint's error answer. Nil is RFC 6749's.
	refusal func(c *call, e *oauthError) map[string]any
	// retryAfter writes how long to wait; nil writes seconds.
	retryAfter func(now time.Time, wait time.Duration) string
	// callback adds to the redirect with a code. May be nil.
	callback func(l *login, back url.Values)
	// limit counts a token request with good credentials. May be nil.
	limit func(c *call, cl *client) *oauthError

	// unauthorized is the API's 401. why is one of the reasons below, or the body an
	// api_401 fault asks for.
	unauthorized func(why string) *apiError
	// forbidden is the API's 403 for a scope that is missing.
	forbidden func(c *apiCall) *apiError
	// meter counts a call of the API with a good token. May be nil.
	meter func(c *apiCall) *apiError

	// routes adds what only this series has.
	routes func(sr *series)
}

// Why the API refuses a token.
const (
	noToken      = "no token"
	unknownToken = "unknown token"
	expiredToken = "expired"
	revokedToken = "revoked"
)

// place is a business, account or retailer, and where it sells.
type place struct {
	Name      string
	Locations []string
}

// refusals are the ways a token endpoint says no.
type refusals struct {
	badClient, noCode, badCode, badRedirect, deadToken, unknownToken, foreignToken, noRefreshToken, noGrantType, badGrantType oauthError
}

// oauthError is an error answer of RFC 6749 section 5.2.
type oauthError struct {
	status      int
	code        string
	description string
}

// retryAfterText is the value of Retry-After (RFC 9110 section 10.2.3).
func (sr *series) retryAfterText(now time.Time, wait time.Duration) string {
	if sr.retryAfter != nil {
		return sr.retryAfter(now, wait)
	}
	return strconv.Itoa(int(wait / time.Second))
}

// routeSeries adds the routes of one series.
func (s *Sandbox) routeSeries(sr *series) {
	s.mux.HandleFunc("GET "+sr.root+sr.authorizePath, s.page(sr, s.authorize))
	s.mux.HandleFunc("POST "+sr.root+sr.loginPath, s.page(sr, s.login))
	s.mux.HandleFunc("GET "+sr.root+sr.consentPath, s.page(sr, s.showConsent))
	s.mux.HandleFunc("POST "+sr.root+sr.consentPath, s.page(sr, s.consent))
	s.mux.HandleFunc("POST "+sr.root+sr.tokenPath, s.tokenEndpoint(sr, false))
	sr.routes(sr)
}
