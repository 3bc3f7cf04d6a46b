package sandbox

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tenantInPath names the retailer in paths, as it does in the vendor's hosts.
const tenantInPath = "domain_prefix"

const (
	// storesUnapproved is how many retailers an unapproved client may connect.
	storesUnapproved = 30
	storesFullText   = "This application is not approved and has reached its limit of stores"
	// tokenCallsX is how many token requests of a client a retailer's host takes in
	// tokenWindowX. The number is the documentation's example, the time is not stated.
	tokenCallsX  = 10
	tokenWindowX = time.Minute
)

// xSeries is Retail (X-Series). What is a host of each retailer's there is a
// path here: /x/{domain_prefix}.
func (s *Sandbox) xSeries() *series {
	const host = "/{" + tenantInPath + "}"
	return &series{
		name:           "lightspeed-x",
		family:         "x-series",
		title:          "Lightspeed Retail (X-Series)",
		root:           "/x",
		authorizePath:  "/connect",
		loginPath:      "/connect/login",
		consentPath:    "/connect/consent",
		tokenPath:      host + "/api/1.0/token",
		leastState:     8,
		scopeMissing:   "access_denied",
		owns:           notOfK,
		takesScope:     takesScopeX,
		describe:       describeX,
		rotation:       strict,
		oldAccessDies:  true,
		storeCap:       storesUnapproved,
		agent:          true,
		access:         24 * time.Hour,
		refreshOffline: 365 * 24 * time.Hour, // not published
		refreshOnline:  365 * 24 * time.Hour,
		code:           10 * time.Minute,
		reach:          reachX,
		tenant: func(u User) string {
			if u.Retailer == nil {
				return ""
			}
			return u.Retailer.DomainPrefix
		},
		newCode:   func(string) string { return rand.Text() + rand.Text() },
		readToken: func(_ http.ResponseWriter, r *http.Request) tokenRequest { return readRetail(r, false) },
		mint: func(p *pair) {
			p.access = rand.Text() + rand.Text()
			if p.withRefresh {
				p.refresh = rand.Text() + rand.Text()
			}
		},
		reply: replyX,
		texts: refusals{
			badClient:      oauthError{http.StatusUnauthorized, "invalid_client", "Client authentication failed"},
			noCode:         oauthError{http.StatusBadRequest, "invalid_request", "The parameter code is missing"},
			badCode:        oauthError{http.StatusBadRequest, "invalid_grant", "The authorization code is invalid"},
			badRedirect:    oauthError{http.StatusBadRequest, "invalid_grant", "The redirect_uri does not match"},
			deadToken:      oauthError{http.StatusBadRequest, "invalid_grant", "The refresh token is invalid"},
			unknownToken:   oauthError{http.StatusBadRequest, "invalid_grant", "The refresh token is invalid"},
			foreignToken:   oauthError{http.StatusBadRequest, "invalid_grant", "The refresh token is invalid"},
			noRefreshToken: oauthError{http.StatusBadRequest, "invalid_request", "The parameter refresh_token is missing"},
			noGrantType:    oauthError{http.StatusBadRequest, "invalid_request", "The parameter grant_type is missing"},
			badGrantType:   oauthError{http.StatusBadRequest, "unsupported_grant_type", "The grant type is not supported"},
		},
		callback: func(l *login, back url.Values) {
			back.Set(tenantInPath, l.tenant)
			back.Set("user_id", stableUUID(l.email))
			back.Set("scope", strings.Join(l.scope, " "))
		},
		limit:        s.limitX,
		refusal:      refusalX,
		retryAfter:   func(now time.Time, wait time.Duration) string { return now.Add(wait).UTC().Format(http.TimeFormat) },
		unauthorized: unauthorizedX,
		forbidden:    forbiddenX,
		meter:        meterX,
		routes:       s.routeXAPI,
	}
}

// scopesX are the families of scopes.
func scopesX() []string {
	return []string{
		"retailer", "outlets", "registers", "users", "sales", "products", "customers", "inventory", "payments",
		"payment_types", "suppliers", "consignments", "gift_cards", "channels", "audit", "fulfillments", "services", "webhooks",
	}
}

func takesScopeX(scope string) bool {
	family, verb, _ := strings.Cut(scope, ":")
	return slices.Contains(scopesX(), family) && (verb == "read" || verb == "write")
}

// describeX says what a scope of X-Series allows.
func describeX(scope string) string {
	family, verb, _ := strings.Cut(scope, ":")
	what := strings.ReplaceAll(family, "_", " ")
	if verb == "read" {
		return "see " + what
	}
	return "make and change " + what
}

// replyX states the end of the token twice, and whose it is.
func replyX(p *pair) map[string]any {
	m := map[string]any{
		"access_token": p.access, "token_type": "Bearer", "expires": p.now.Add(p.accessLife).Unix(), "expires_in": seconds(p.accessLife),
		tenantInPath: p.grant.tenant, "scope": strings.Join(p.scope, " "),
	}
	if p.refresh != "" {
		m["refresh_token"] = p.refresh
	}
	return m
}

// limitX is the token endpoint's own limit.
func (s *Sandbox) limitX(c *call, cl *client) *oauthError {
	ok, left, ends := s.w.window(meterKey{"token", c.tenant, cl.id}).take(s.now(), tokenCallsX, tokenWindowX)
	c.header.Set("X-RateLimit-Limit", strconv.Itoa(tokenCallsX))
	c.header.Set("X-RateLimit-Remaining", strconv.Itoa(left))
	c.header.Set("X-RateLimit-Reset", strconv.FormatInt(ends.Unix(), 10))
	if ok {
		return nil
	}
	s.note(violation{kind: "rate_limited", client: cl.id, grant: c.grant, detail: "the token endpoint of " + clip(c.tenant) + " takes 10 requests a minute"})
	c.header.Set("Retry-After", c.series.retryAfter(ends, 0))
	return &oauthError{http.StatusTooManyRequests, "Too Many Requests", rateLimitedX}
}

// rateLimitedX is the message of every 429.
const rateLimitedX = "Rate limiting enforced"

// refusalX: the 429 is the API's; the bodies of other errors are not documented.
func refusalX(_ *call, e *oauthError) map[string]any {
	if e.status == http.StatusTooManyRequests {
		return map[string]any{"error": e.code, "message": e.description}
	}
	return map[string]any{"error": e.code, "error_description": e.description}
}

// storesFull reports whether a client has as many retailers as it may, and this
// would be another.
func (w *world) storesFull(c *client, tenant string) bool {
	if c.storeCap == 0 {
		return false
	}
	var connected []string
	for _, g := range w.grants {
		if g.client == c && g.death == "" && !slices.Contains(connected, g.tenant) {
			connected = append(connected, g.tenant)
		}
	}
	return len(connected) >= c.storeCap && !slices.Contains(connected, tenant)
}

// reachX: a user of a retailer logs in, whatever outlets there are.
func reachX(u User) ([]place, bool) {
	if u.Retailer == nil {
		return nil, false
	}
	p := place{Name: u.Retailer.Name}
	for _, o := range u.Retailer.Outlets {
		if !o.Deleted {
			p.Locations = append(p.Locations, o.Name)
		}
	}
	return []place{p}, true
}
