package sandbox

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// realm is where the Keycloak realm of K-Series V2 lives under its root.
const realm = "/realms/k-series"

// kSeriesV2 is K-Series behind its Keycloak realm.
func (s *Sandbox) kSeriesV2() *series {
	const protocol = realm + "/protocol/openid-connect"
	return s.kAPI(&series{
		name:           "lightspeed-k",
		family:         "k-series",
		title:          "Lightspeed K-Series (V2)",
		root:           "/k",
		authorizePath:  protocol + "/auth",
		loginPath:      realm + "/login-actions/authenticate",
		consentPath:    realm + "/login-actions/consent",
		tokenPath:      protocol + "/token",
		issuerPath:     realm,
		pkce:           true,
		owns:           func(id string) bool { return strings.HasPrefix(id, "devp-v2-") },
		access:         1500 * time.Second,
		refreshOffline: 40 * 24 * time.Hour,
		refreshOnline:  30 * time.Minute,
		code:           15 * time.Second,
		addedScopes:    []string{"profile", "email"},
		newCode:        func(session string) string { return newUUID() + "." + session + "." + newUUID() },
		readToken:      readFormTokenRequest,
		mint:           mintKeycloak,
		reply:          replyKeycloak,
		texts: refusals{
			badClient:      oauthError{http.StatusUnauthorized, "invalid_client", "Invalid client or Invalid client credentials"},
			badCode:        oauthError{http.StatusBadRequest, "invalid_grant", "Code not valid"},
			badRedirect:    oauthError{http.StatusBadRequest, "invalid_grant", "Incorrect redirect_uri"},
			deadToken:      oauthError{http.StatusBadRequest, "invalid_grant", "Token is not active"},
			unknownToken:   oauthError{http.StatusBadRequest, "invalid_grant", "Invalid refresh token"},
			foreignToken:   oauthError{http.StatusBadRequest, "invalid_grant", "Invalid refresh token. Token client and authorized client don't match"},
			noRefreshToken: oauthError{http.StatusBadRequest, "invalid_request", "No refresh token"},
			noGrantType:    noGrantType(),
			badGrantType:   oauthError{http.StatusBadRequest, "unauthorized_client", "Client not allowed for direct access grants"},
		},
		routes: func(sr *series) {
			s.mux.HandleFunc("GET "+sr.root+realm+"/.well-known/openid-configuration", s.discovery(sr))
			s.mux.HandleFunc("GET "+sr.root+protocol+"/certs", certs)
			s.mux.HandleFunc(sr.root+"/realms/", s.nothingHere)
			s.mux.HandleFunc("POST "+sr.root+protocol+"/revoke", s.endGrant(sr, func(r tokenRequest) string { return r.token }, http.StatusOK))
			s.mux.HandleFunc("POST "+sr.root+protocol+"/logout", s.endGrant(sr, func(r tokenRequest) string { return r.refreshToken }, http.StatusNoContent))
			s.routeKAPI(sr)
		},
	})
}

// kAPI fills in what both generations of K-Series share.
func (s *Sandbox) kAPI(sr *series) *series {
	sr.basic, sr.idTells = true, true
	sr.texts.noCode = sr.texts.badCode
	sr.rotation = familyKill
	sr.scopes = []string{
		"orders-api", "financial-api", "items", "propertymanagement", "id-cards", "staff-api",
		"reservations-api", "offline_access", "openid", "profile", "email",
	}
	sr.describe = describeK
	sr.reach = reachK
	sr.tenant = func(User) string { return "" }
	sr.unauthorized = unauthorizedK
	sr.forbidden = func(c *apiCall) *apiError { return c.orderAndPay(http.StatusForbidden, "Forbidden", "Access Denied") }
	return sr
}

// reachK: whoever has something elsewhere only cannot log in here.
func reachK(u User) ([]place, bool) {
	var out []place
	for _, b := range u.Businesses {
		p := place{Name: b.Name}
		for _, l := range b.Locations {
			p.Locations = append(p.Locations, l.Name)
		}
		out = append(out, p)
	}
	return out, len(out) > 0 || u.Account == nil && u.Retailer == nil
}

// noGrantType is what both generations answer to a request without one.
func noGrantType() oauthError {
	return oauthError{http.StatusBadRequest, "invalid_request", "Missing form parameter: grant_type"}
}

// describeK says what a scope of K-Series allows.
func describeK(scope string) string {
	switch {
	case scope == "orders-api":
		return "see businesses, floors and menus, place orders and payments"
	case scope == "financial-api":
		return "read sales"
	case scope == "items":
		return "read and change items"
	case scope == "propertymanagement":
		return "charge to rooms"
	case scope == "id-cards":
		return "use identification cards"
	case scope == "staff-api":
		return "read and change staff"
	case scope == "offline_access":
		return "stay connected while you are away"
	case scope == "openid", scope == "profile", scope == "email":
		return "know who you are"
	case strings.HasPrefix(scope, "reservation"):
		return "read and change reservations"
	}
	return ""
}

// readFormTokenRequest reads a form body; the URL's query does not count.
func readFormTokenRequest(_ http.ResponseWriter, r *http.Request) tokenRequest {
	var req tokenRequest
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		req.err = &oauthError{http.StatusUnsupportedMediaType, "invalid_request", "HTTP 415 Unsupported Media Type"}
	} else if err := r.ParseForm(); err != nil {
		req.err = &oauthError{http.StatusBadRequest, "invalid_request", "Failed to parse form"}
	}
	readParameters(&req, r.PostForm)
	readBasic(&req, r)
	if req.clientID == "" {
		req.clientID = r.PostForm.Get("client_id") // so that faults and the log know whose it is
	}
	return req
}

// readParameters takes the parameters of a grant; none may come twice (RFC 6749
// section 3.2).
func readParameters(req *tokenRequest, form url.Values) {
	for name, values := range form {
		if len(values) > 1 && req.err == nil {
			req.err = &oauthError{http.StatusBadRequest, "invalid_request", "duplicated parameter"}
		}
		switch name {
		case "grant_type":
			req.grantType = values[0]
		case "code":
			req.code = values[0]
		case "redirect_uri":
			req.redirectURI = values[0]
		case "code_verifier":
			req.verifier = values[0]
		case "refresh_token":
			req.refreshToken = values[0]
		case "scope":
			req.scope = values[0]
		case "token":
			req.token = values[0]
		}
	}
}

// readBasic takes the client's credentials, form-encoded or not: RFC 6749 section
// 2.3.1 wants them encoded, many clients do not.
func readBasic(req *tokenRequest, r *http.Request) {
	id, secret, ok := r.BasicAuth()
	if !ok {
		return
	}
	req.hasCredentials = true
	req.clientID, req.secret = unescape(id), unescape(secret)
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil && !strings.Contains(s, "+") {
		return plain
	}
	return s
}

// mintKeycloak makes the three JWTs of Keycloak.
func mintKeycloak(p *pair) {
	g := p.grant
	offline := g.offline()
	claims := func(typ string, expires time.Time) map[string]any {
		m := map[string]any{
			"iat": p.now.Unix(), "jti": newUUID(), "iss": p.issuer, "sub": stableUUID(g.email),
			"typ": typ, "azp": g.client.id, "session_state": g.session, "sid": g.session, "scope": strings.Join(p.scope, " "),
		}
		if !expires.IsZero() {
			m["exp"] = expires.Unix()
		}
		return m
	}
	person := func(m map[string]any) map[string]any {
		given, family, _ := strings.Cut(p.user.Name, " ")
		m["name"], m["given_name"], m["family_name"] = p.user.Name, given, family
		m["preferred_username"], m["email"], m["email_verified"] = g.email, g.email, true
		m["auth_time"] = g.created.Unix()
		m["acr"] = "1"
		return m
	}
	access := person(claims("Bearer", p.now.Add(p.accessLife)))
	access["aud"] = "account"
	access["allowed-origins"] = []string{"*"}
	access["realm_access"] = map[string]any{"roles": []string{"default-roles-k-series", "offline_access", "uma_authorization"}}
	p.access = signRS256("JWT", access)
	if p.withRefresh {
		typ, expires := "Refresh", p.now.Add(p.refreshLife)
		if offline {
			typ, expires = "Offline", time.Time{}
		}
		refresh := claims(typ, expires)
		refresh["aud"] = p.issuer
		p.refresh = signHS512(refresh)
	}
	if slices.Contains(p.scope, "openid") {
		id := person(claims("ID", p.now.Add(p.accessLife)))
		id["aud"] = g.client.id
		if p.nonce != "" {
			id["nonce"] = p.nonce
		}
		p.id = signRS256("JWT", id)
	}
}

// replyKeycloak is the token answer of the realm. refresh_expires_in is 0 with
// offline_access: no countdown is given.
func replyKeycloak(p *pair) map[string]any {
	m := map[string]any{
		"access_token": p.access, "expires_in": seconds(p.accessLife), "refresh_expires_in": int64(0),
		"token_type": "Bearer", "not-before-policy": 0, "session_state": p.grant.session, "scope": strings.Join(p.scope, " "),
	}
	if p.refresh != "" {
		m["refresh_token"] = p.refresh
		if !p.grant.offline() {
			m["refresh_expires_in"] = seconds(p.refreshLife)
		}
	}
	if p.id != "" {
		m["id_token"] = p.id
	}
	return m
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// discovery is OpenID Connect discovery.
func (s *Sandbox) discovery(sr *series) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		issuer := s.issuer(sr, r)
		at := func(name string) string { return fmt.Sprintf("%s/protocol/openid-connect/%s", issuer, name) }
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer":                                         issuer,
			"authorization_endpoint":                         at("auth"),
			"token_endpoint":                                 at("token"),
			"revocation_endpoint":                            at("revoke"),
			"end_session_endpoint":                           at("logout"),
			"jwks_uri":                                       at("certs"),
			"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
			"response_types_supported":                       []string{"code"},
			"response_modes_supported":                       []string{"query"},
			"subject_types_supported":                        []string{"public"},
			"id_token_signing_alg_values_supported":          []string{"RS256"},
			"token_endpoint_auth_methods_supported":          []string{"client_secret_basic"},
			"code_challenge_methods_supported":               []string{"S256"},
			"scopes_supported":                               sr.scopes,
			"authorization_response_iss_parameter_supported": true,
		})
	}
}

func certs(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, jwks())
}
