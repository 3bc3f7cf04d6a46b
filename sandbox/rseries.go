package sandbox

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// serverOld and serverNew name the authorization servers of R-Series: the one of
	// 2024-07-31, and the one before, which is deprecated but alive.
	serverOld, serverNew = "old", "new"
	// oldServerAccess is how long the old server's access tokens live, and
	// oldServerRenews how much is left of one when a refresh makes another.
	oldServerAccess = 30 * time.Minute
	oldServerRenews = 10 * time.Second
	// mostRefreshes is how many refreshes of a grant are answered in a minute.
	mostRefreshes = 5
)

// rSeries is Retail (R-Series), with both of its authorization servers.
func (s *Sandbox) rSeries() *series {
	const oauthPath = "/auth/oauth"
	return &series{
		name:               "lightspeed-r",
		family:             "r-series",
		title:              "Lightspeed Retail (R-Series)",
		root:               "/r",
		authorizePath:      oauthPath + "/authorize",
		loginPath:          "/auth/login",
		consentPath:        oauthPath + "/consent",
		tokenPath:          oauthPath + "/token",
		registerPath:       "/auth/register",
		pkce:               true,
		plainPKCE:          true,
		redirectRegistered: true,
		scopeMissing:       "invalid_scope",
		errorsShown:        true,
		owns:               notOfK,
		takesScope:         func(sc string) bool { return strings.HasPrefix(sc, "employee:") },
		describe:           describeR,
		rotation:           retireOnUse,
		oldAccessRetires:   true,
		scopeFixed:         true,
		access:             time.Hour,
		refreshOffline:     30 * 24 * time.Hour,
		refreshOnline:      30 * 24 * time.Hour,
		code:               time.Minute,
		reach:              reachR,
		tenant: func(u User) string {
			if u.Account == nil {
				return ""
			}
			return strconv.FormatInt(u.Account.ID, 10)
		},
		newCode:   func(string) string { return "def502" + randomHex(100) },
		readToken: func(_ http.ResponseWriter, r *http.Request) tokenRequest { return readRetail(r, true) },
		mint:      mintR,
		reply:     replyR,
		texts: refusals{
			badClient:      oauthError{http.StatusUnauthorized, "invalid_client", "Client authentication failed"},
			noCode:         invalidRequestR(http.StatusBadRequest),
			badCode:        invalidGrantR(),
			badRedirect:    invalidGrantR(),
			deadToken:      invalidGrantR(),
			unknownToken:   invalidGrantR(),
			foreignToken:   invalidGrantR(),
			noRefreshToken: invalidRequestR(http.StatusBadRequest),
			noGrantType:    invalidRequestR(http.StatusBadRequest),
			badGrantType:   oauthError{http.StatusBadRequest, "unsupported_grant_type", "The authorization grant type is not supported by the authorization server."},
		},
		refusal:      refusalR,
		limit:        s.limitR,
		unauthorized: unauthorizedR,
		forbidden:    forbiddenR,
		meter:        meterR,
		routes: func(sr *series) {
			notPost := func(w http.ResponseWriter, _ *http.Request) {
				e := invalidRequestR(http.StatusMethodNotAllowed)
				w.Header().Set("Allow", http.MethodPost)
				writeJSON(w, e.status, map[string]any{"error": e.code, "error_description": e.description})
			}
			s.mux.HandleFunc(sr.root+sr.tokenPath, notPost)
			s.mux.HandleFunc("POST "+sr.root+sr.registerPath, s.page(sr, s.register))
			s.mux.HandleFunc("POST "+sr.root+oauthPath+"/revoke", s.endGrant(sr, func(r tokenRequest) string { return r.refreshToken }, http.StatusOK))
			s.mux.HandleFunc("GET "+sr.root+oauthPath+"/introspect", s.api(sr, "", introspectR))
			s.mux.HandleFunc("GET "+sr.root+"/.well-known/jwks", certs)
			s.mux.HandleFunc("GET "+sr.root+"/oauth/authorize.php", s.page(sr, s.authorize))
			s.mux.HandleFunc("POST "+sr.root+"/oauth/access_token.php", s.tokenEndpoint(sr, true))
			s.routeRAPI(sr)
		},
	}
}

// The texts are those of the library whose wording the API's 401 has.

func invalidGrantR() oauthError {
	return oauthError{http.StatusBadRequest, "invalid_grant", "The provided authorization grant (e.g., authorization code, resource owner credentials) or refresh token is invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client."}
}

func invalidRequestR(status int) oauthError {
	return oauthError{status, "invalid_request", "The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed."}
}

// refusalR may have a third member: a hint that names what is wrong.
func refusalR(c *call, e *oauthError) map[string]any {
	body := map[string]any{"error": e.code, "error_description": e.description}
	check := func(parameter string) { body["hint"] = "Check the `" + parameter + "` parameter" }
	switch {
	case e.code == "invalid_scope":
		check("scope")
	case e.code != "invalid_request":
	case c.req.grantType == "refresh_token" && c.req.refreshToken == "":
		check("refresh_token")
	case c.req.grantType == "authorization_code" && c.req.code == "":
		check("code")
	case c.req.grantType == "":
		check("grant_type")
	}
	return body
}

// limitR counts the refreshes of a grant. A sixth within a minute is refused; of
// the old server no limit is known.
func (s *Sandbox) limitR(c *call, _ *client) *oauthError {
	g := c.grant
	if g == nil || c.req.grantType != "refresh_token" {
		return nil
	}
	now := s.now()
	g.asked = append(slices.DeleteFunc(g.asked, func(t time.Time) bool { return now.Sub(t) >= time.Minute }), now)
	if len(g.asked) <= mostRefreshes {
		return nil
	}
	s.violate(violation{kind: "too_many_refreshes", client: g.client.id, grant: g,
		detail: strconv.Itoa(len(g.asked)) + " refreshes within a minute, and 5 are answered"})
	if c.old {
		return nil
	}
	wait := wholeSeconds(g.asked[len(g.asked)-mostRefreshes].Add(time.Minute).Sub(now))
	c.header.Set("Retry-After", strconv.Itoa(wait))
	return &oauthError{http.StatusTooManyRequests, "too_many_requests", "Too many refresh attempts for this connection"}
}

// mintR makes the token strings: a JWT, or what the old server made.
func mintR(p *pair) {
	if p.grant.old {
		p.access = randomHex(20)
		if p.withRefresh {
			p.refresh = randomHex(20)
		}
		return
	}
	fraction := func(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
	p.access = signRS256("JWT", map[string]any{
		"jti": randomHex(40), "iss": p.issuer, "aud": p.grant.client.id, "sub": strconv.FormatInt(employeeID(p.grant.email), 10),
		"acct": p.grant.tenant, "scope": strings.Join(p.scope, " "),
		"iat": fraction(p.now), "nbf": fraction(p.now), "exp": fraction(p.now.Add(p.accessLife)),
	})
	if p.withRefresh {
		p.refresh = "def502" + randomHex(160)
	}
}

// replyR has exactly four members, and one more from the old server.
func replyR(p *pair) map[string]any {
	m := map[string]any{"token_type": "Bearer", "expires_in": seconds(p.accessLife), "access_token": p.access}
	if p.refresh != "" {
		m["refresh_token"] = p.refresh
	}
	if p.grant.old {
		m["token_type"] = "bearer"
		m["scope"] = strings.Join(p.scope, " ") + " systemuserid:" + strconv.FormatInt(employeeID(p.grant.email), 10)
	}
	return m
}

// employeeID is the number of an employee.
func employeeID(email string) int64 {
	n := int64(0)
	for _, b := range []byte(strings.ToLower(email)) {
		n = (n*31 + int64(b)) % 100_000
	}
	return n + 1
}

// register gives a client its one redirect URI, as the vendor's form for clients
// does, and goes on with the authorize request.
func (s *Sandbox) register(sr *series, r *http.Request) reply {
	q := r.URL.Query()
	cl := s.w.client(sr, q.Get("client_id"))
	if cl == nil {
		return s.refuseBrowser(sr, "invalid_client", "Client not found.")
	}
	entryOf(r).ClientID = cl.id
	if len(cl.redirects) == 0 && !cl.acceptsRedirect(r.PostForm.Get("redirect_uri")) {
		entryOf(r).Outcome = "Invalid parameter: redirect_uri"
		return s.registerPage(http.StatusOK, sr, cl, r.URL.RawQuery, "That is neither https nor http to this machine.")
	}
	entryOf(r).Outcome = "registered"
	return redirectTo(s.base(r) + sr.root + sr.authorizePath + "?" + q.Encode())
}

// reachR: an employee of an account logs in, whatever shops there are.
func reachR(u User) ([]place, bool) {
	if u.Account == nil {
		return nil, false
	}
	p := place{Name: u.Account.Name}
	for _, shop := range u.Account.Shops {
		if !shop.Archived {
			p.Locations = append(p.Locations, shop.Name)
		}
	}
	return []place{p}, true
}

// describeR says what a scope of R-Series allows.
func describeR(scope string) string {
	what, read := strings.CutSuffix(strings.TrimPrefix(scope, "employee:"), "_read")
	what = strings.ReplaceAll(what, "_", " ")
	switch {
	case what == "all":
		return "see and change everything you can"
	case read:
		return "see: " + what
	}
	return "see and change: " + what
}
