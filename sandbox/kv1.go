package sandbox

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// kSeriesV1 is K-Series with its first authorization server, which shares the
// API's host and takes the grant's parameters in the URL query.
func (s *Sandbox) kSeriesV1() *series {
	return s.kAPI(&series{
		name:          "lightspeed-k-v1",
		family:        "k-series",
		title:         "Lightspeed K-Series (V1)",
		root:          "/k1",
		authorizePath: "/oauth/authorize",
		loginPath:     "/login",
		consentPath:   "/oauth/confirm_access",
		tokenPath:     "/oauth/token",
		tokensInURL:   true,
		owns: func(id string) bool {
			return strings.HasPrefix(id, "devp-") && !strings.HasPrefix(id, "devp-v2-")
		},
		access:         time.Hour,
		refreshOffline: 14 * 24 * time.Hour,
		refreshOnline:  14 * 24 * time.Hour,
		code:           15 * time.Second,
		newCode:        func(string) string { return rand.Text()[:10] },
		readToken:      readQueryTokenRequest,
		mint: func(p *pair) {
			p.access = newUUID()
			if p.withRefresh {
				p.refresh = newUUID()
			}
		},
		reply: replyV1,
		texts: refusals{
			badClient:      oauthError{http.StatusUnauthorized, "invalid_client", "Bad client credentials"},
			badCode:        oauthError{http.StatusBadRequest, "invalid_grant", "Invalid authorization code"},
			badRedirect:    oauthError{http.StatusBadRequest, "invalid_grant", "Redirect URI mismatch."},
			deadToken:      oauthError{http.StatusBadRequest, "invalid_grant", "Invalid refresh token"},
			unknownToken:   oauthError{http.StatusBadRequest, "invalid_grant", "Invalid refresh token"},
			foreignToken:   oauthError{http.StatusBadRequest, "invalid_grant", "Wrong client for this refresh token"},
			noRefreshToken: oauthError{http.StatusBadRequest, "invalid_grant", "Invalid refresh token"},
			noGrantType:    noGrantType(),
			badGrantType:   oauthError{http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant type"},
		},
		routes: func(sr *series) {
			s.mux.HandleFunc(sr.root+"/oauth/", s.nothingHere)
			s.mux.HandleFunc("GET "+sr.root+"/oauth/userinfo", s.api(sr, "", userInfo))
			s.routeKAPI(sr)
		},
	})
}

// readQueryTokenRequest reads the URL query and refuses the same parameters in
// the body.
func readQueryTokenRequest(_ http.ResponseWriter, r *http.Request) tokenRequest {
	var req tokenRequest
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		req.err = &oauthError{http.StatusBadRequest, "invalid_request", "The URL query cannot be read"}
	}
	readParameters(&req, query)
	readBasic(&req, r)
	if req.clientID == "" {
		req.clientID = query.Get("client_id") // so that faults and the log know whose it is
	}
	if err := r.ParseForm(); err != nil && req.err == nil {
		req.err = &oauthError{http.StatusBadRequest, "invalid_request", "The body cannot be read"}
	}
	for _, name := range []string{"grant_type", "code", "redirect_uri", "refresh_token", "client_id", "client_secret"} {
		if r.PostForm.Has(name) && req.err == nil {
			req.err = &oauthError{http.StatusBadRequest, "invalid_request", "Grant parameters belong in the URL query"}
		}
	}
	return req
}

func replyV1(p *pair) map[string]any {
	m := map[string]any{
		"access_token": p.access, "token_type": "bearer", "expires_in": seconds(p.accessLife), "scope": strings.Join(p.scope, " "),
	}
	if p.refresh != "" {
		m["refresh_token"] = p.refresh
	}
	return m
}

// accountSecret stands for the secrets of the account that the real answer
// carries. Finding it in a log is a finding.
const accountSecret = "sandbox-account-secret-never-log-this"

// userInfo is the granting user of V1.
func userInfo(c *apiCall) (any, *apiError) {
	given, family, _ := strings.Cut(c.user.Name, " ")
	return map[string]any{
		"id":   c.token.grant.email,
		"name": c.user.Name,
		"attributes": map[string]any{
			"apiSecret": accountSecret,
			"staff": map[string]any{
				"userId": stableUUID(c.token.grant.email), "emailAddress": c.token.grant.email,
				"firstName": given, "lastName": family,
				"roles": []map[string]any{{"name": "ROLE_BACK_OFFICE"}, {"name": "ROLE_REPORT"}, {"name": "ROLE_CONFIG"}},
			},
		},
	}, nil
}
