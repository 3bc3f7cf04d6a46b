package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// login is an authorization under way in some browser.
type login struct {
	id        string
	series    *series
	client    *client
	redirect  string
	scope     []string
	state     string
	nonce     string
	challenge string
	plain     bool // the challenge is the verifier
	begun     time.Time
	email     string // once somebody logged in
	at        time.Time
	tenant    string // what the user logged in to: an account, a retailer
}

// code is an authorization code and what it may be exchanged for.
type code struct {
	login    *login
	session  string
	expires  time.Time
	used     bool
	hiddenBy string // the fault that kept the answer to its use from arriving
	grant    *grant // made from it
}

const (
	loginLife = 30 * time.Minute
	// codesKept is how long a used code is remembered, so that a second use is seen.
	codesKept = time.Hour
)

// authorize is the authorization endpoint: RFC 6749 section 4.1.1.
func (s *Sandbox) authorize(sr *series, r *http.Request) reply {
	q := r.URL.Query()
	entry := entryOf(r)
	entry.ClientID = clip(q.Get("client_id"))
	cl := s.w.client(sr, q.Get("client_id"))
	if cl == nil {
		entry.Outcome = "Client not found"
		return s.refuseBrowser(sr, "invalid_client", "Client not found.")
	}
	redirect, known := cl.redirectFor(q.Get("redirect_uri"))
	if !known && redirect == "" && sr.redirectRegistered {
		entry.Outcome = "registration page"
		return s.registerPage(http.StatusOK, sr, cl, r.URL.RawQuery, "")
	}
	if !known {
		entry.Outcome = "Invalid parameter: redirect_uri"
		return s.refuseBrowser(sr, "invalid_client", "Invalid parameter: redirect_uri")
	}
	if q.Get("state") == "" {
		s.violate(violation{kind: "no_state", client: cl.id, detail: "authorize request without state"})
	}
	if len(q.Get("state")) < sr.leastState {
		entry.Outcome = "state is too short"
		return s.problem(http.StatusBadRequest, fmt.Sprintf("The parameter state must have at least %d characters.", sr.leastState))
	}
	l := &login{
		id: newUUID(), series: sr, client: cl, redirect: redirect, state: q.Get("state"),
		scope: unique(strings.Fields(q.Get("scope"))), nonce: q.Get("nonce"), begun: s.now(),
	}
	if code, desc := checkAuthorize(l, q); code != "" {
		entry.Outcome = code
		if sr.errorsShown {
			return s.refuseBrowser(sr, code, desc)
		}
		return s.sendBack(l, r, url.Values{"error": {code}, "error_description": {desc}})
	}
	if sr.pkce {
		l.challenge, l.plain = q.Get("code_challenge"), q.Get("code_challenge") != "" && q.Get("code_challenge_method") != "S256"
	}
	s.w.sweepLogins(s.now())
	s.w.logins[l.id] = l
	entry.Outcome = "login page"
	return s.loginPage(http.StatusOK, l, "")
}

// refuseBrowser is an error that is not sent on the redirect: a page, or JSON
// where the series answers that.
func (s *Sandbox) refuseBrowser(sr *series, code, text string) reply {
	if !sr.errorsShown {
		return s.problem(http.StatusBadRequest, text)
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": code, "error_description": text})
	}
}

// checkAuthorize returns the error for the redirect, or "".
func checkAuthorize(l *login, q url.Values) (code, description string) {
	switch q.Get("response_type") {
	case "code":
	case "":
		return "invalid_request", "Missing parameter: response_type"
	default:
		return "unsupported_response_type", "Invalid parameter: response_type"
	}
	if len(l.scope) == 0 && l.series.scopeMissing != "" {
		return l.series.scopeMissing, "The parameter scope is missing"
	}
	for _, sc := range l.scope {
		if !l.client.allows(sc) {
			return "invalid_scope", "Invalid scopes: " + clip(strings.Join(l.scope, " "))
		}
	}
	challenge, method := q.Get("code_challenge"), q.Get("code_challenge_method")
	switch {
	case !l.series.pkce:
		return "", ""
	case challenge == "" && l.client.public:
		return "invalid_request", "Missing parameter: code_challenge"
	case challenge == "" && method == "":
		return "", ""
	case l.series.plainPKCE && (method == "plain" || method == ""):
		if !validVerifier(challenge) {
			return "invalid_request", "Invalid parameter: code_challenge"
		}
		return "", ""
	}
	if method != "S256" {
		return "invalid_request", "Invalid parameter: code_challenge_method"
	}
	if raw, err := base64.RawURLEncoding.DecodeString(challenge); err != nil || len(raw) != sha256.Size {
		return "invalid_request", "Invalid parameter: code_challenge"
	}
	return "", ""
}

// validVerifier: 43 to 128 characters of [A-Za-z0-9_-] (RFC 7636 section 4.1,
// without the dot and the tilde).
func validVerifier(s string) bool {
	return len(s) >= 43 && len(s) <= 128 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// login checks a user's password.
func (s *Sandbox) login(sr *series, r *http.Request) reply {
	l := s.openLogin(sr, r)
	if l == nil {
		return s.problem(http.StatusBadRequest, "Page has expired. Go back to the application and start again.")
	}
	entry := entryOf(r)
	u, ok := s.w.user(r.PostForm.Get("username"))
	if ok {
		_, ok = sr.reach(u)
	}
	if !ok || u.Locked || u.Password != r.PostForm.Get("password") {
		entry.Outcome = "Invalid username or password"
		return s.loginPage(http.StatusOK, l, "Invalid username or password.")
	}
	entry.Outcome = "logged in"
	l.email, l.at, l.tenant = u.Email, s.now(), sr.tenant(u)
	return redirectTo(s.base(r) + sr.root + sr.consentPath + "?" + url.Values{"session_code": {l.id}}.Encode())
}

// showConsent asks the user.
func (s *Sandbox) showConsent(sr *series, r *http.Request) reply {
	l := s.openLogin(sr, r)
	if l == nil || l.email == "" {
		return s.problem(http.StatusBadRequest, "Page has expired. Go back to the application and start again.")
	}
	entryOf(r).Outcome = "consent page"
	return s.consentPage(l)
}

// consent is the user's answer; it ends the login.
func (s *Sandbox) consent(sr *series, r *http.Request) reply {
	l := s.openLogin(sr, r)
	if l == nil || l.email == "" {
		return s.problem(http.StatusBadRequest, "Page has expired. Go back to the application and start again.")
	}
	delete(s.w.logins, l.id)
	if !r.PostForm.Has("accept") {
		entryOf(r).Outcome = "access_denied"
		return s.sendBack(l, r, url.Values{"error": {"access_denied"}, "error_description": {"User denied access"}})
	}
	if s.w.storesFull(l.client, l.tenant) {
		entryOf(r).Outcome = "too many stores"
		return s.sendBack(l, r, url.Values{"error": {"access_denied"}, "error_description": {storesFullText}})
	}
	entryOf(r).Outcome = "code"
	session := newUUID()
	value := sr.newCode(session)
	s.w.sweepCodes(s.now())
	s.w.codes[value] = &code{login: l, session: session, expires: s.now().Add(s.w.codeLife(sr))}
	back := url.Values{"code": {value}}
	if sr.issuerPath != "" {
		back.Set("session_state", session)
	}
	if sr.callback != nil {
		sr.callback(l, back)
	}
	return s.sendBack(l, r, back)
}

// openLogin finds the login a page belongs to.
func (s *Sandbox) openLogin(sr *series, r *http.Request) *login {
	l := s.w.logins[r.URL.Query().Get("session_code")]
	if l == nil || l.series != sr || s.now().Sub(l.begun) > loginLife {
		return nil
	}
	entryOf(r).ClientID = l.client.id
	return l
}

// sendBack redirects the browser to the client, with state and iss (RFC 9207).
func (s *Sandbox) sendBack(l *login, r *http.Request, q url.Values) reply {
	if l.state != "" {
		q.Set("state", l.state)
	}
	if l.series.issuerPath != "" {
		q.Set("iss", s.issuer(l.series, r))
	}
	u, err := url.Parse(l.redirect) // validRedirect parsed it before
	if err != nil {
		return s.problem(http.StatusBadRequest, "Invalid parameter: redirect_uri")
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += q.Encode()
	return redirectTo(u.String())
}

func (s *Sandbox) issuer(sr *series, r *http.Request) string {
	return s.base(r) + sr.root + sr.issuerPath
}

func unique(in []string) []string {
	var out []string
	for _, v := range in {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// sweepAt is how many logins or codes may pile up before old ones are dropped.
const sweepAt = 4096

func (w *world) sweepLogins(now time.Time) {
	if len(w.logins) < sweepAt {
		return
	}
	for id, l := range w.logins {
		if now.Sub(l.begun) > loginLife {
			delete(w.logins, id)
		}
	}
}

func (w *world) sweepCodes(now time.Time) {
	if len(w.codes) < sweepAt {
		return
	}
	for v, c := range w.codes {
		if now.Sub(c.expires) > codesKept {
			delete(w.codes, v)
		}
	}
}
