package sandbox

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// routeRAPI adds the API of R-Series.
func (s *Sandbox) routeRAPI(sr *series) {
	s.mux.HandleFunc("GET "+sr.root+"/API/Session.json", s.api(sr, "", sessionR))
	s.mux.HandleFunc("GET "+sr.root+"/API/V3/{path...}", s.api(sr, "", serveR))
	s.mux.HandleFunc(sr.root+"/API/", s.api(sr, "", func(*apiCall) (any, *apiError) { return nil, noSuchR() }))
}

// failR is an error in the shape that was recorded: four members, all text.
func failR(status int, name, message, class string) *apiError {
	return &apiError{status: status, body: map[string]any{
		"httpCode": strconv.Itoa(status), "httpMessage": name, "message": message, "errorClass": class,
	}}
}

func badRequestR(message string) *apiError {
	return failR(http.StatusBadRequest, "Bad Request", message, "BadRequestException")
}

func forbiddenR(*apiCall) *apiError {
	return failR(http.StatusForbidden, "Forbidden", "Your scope or your employee rights do not allow this.", "ForbiddenException")
}

// unauthorizedR has the two hints that are documented, and the answer that was
// recorded on the old API.
func unauthorizedR(why string) *apiError {
	hint := "Access token could not be verified"
	switch why {
	case revokedToken:
		hint = "Access token has been revoked"
	case "merchantos":
		e := failR(http.StatusUnauthorized, "Unauthorized", "Invalid username/password or API key.", "BadAuthenticationRequestError")
		e.challenge = `Basic realm="MerchantOS API"`
		return e
	case "empty":
		return &apiError{status: http.StatusUnauthorized}
	}
	return &apiError{status: http.StatusUnauthorized, body: map[string]any{
		"error": "access_denied", "error_description": "The resource owner or authorization server denied the request.", "hint": hint,
	}}
}

// may reports whether the token has a scope, or one that includes it.
func (c *apiCall) may(scope string) bool {
	return slices.ContainsFunc(c.token.scope, func(has string) bool {
		return has == "employee:all" || has == scope || has == strings.TrimSuffix(scope, "_read")
	})
}

// meterR is the leaky bucket of (account, client), and the burst limit. The call
// that overflows is still served.
func meterR(c *apiCall) *apiError {
	g := c.token.grant
	// Every shop has one register here.
	more := max(0, len(c.user.Account.Shops)-1)
	size, rate := float64(90+10*more), 1+0.5*float64(more)
	burst := int(math.Ceil(size * 20 / 90))
	b := c.s.w.bucket(meterKey{"api", g.tenant, g.client.id})
	b.drip(c.now, rate)
	limited, wait := "", 1
	switch {
	case b.level >= size:
		limited, wait = "api-leaky-bucket", wholeSeconds(time.Duration((b.level-size)/rate*float64(time.Second))+time.Millisecond)
	case b.burst >= burst:
		limited = "api-burst-limiter"
	default:
		b.level += costR(c.r)
		b.burst++
	}
	h := c.header
	h.Set("X-LS-Acct-Id", g.tenant)
	h.Set("X-LS-Oauth-Client-Id", g.client.id)
	h.Set("X-LS-Api-Bucket-Level", levelText(b.level)+"/"+levelText(size))
	h.Set("X-LS-API-Burst-Level", fmt.Sprintf("%d/%d", b.burst, burst))
	h.Set("X-LS-Api-Drip-Rate", levelText(rate))
	h.Set("X-LS-Api-Request-Cost", levelText(costR(c.r)))
	if limited == "" {
		return nil
	}
	c.s.note(violation{kind: "rate_limited", client: g.client.id, grant: g, detail: limited})
	h.Set("X-LS-API-RateLimit-Type", limited)
	h.Set("Retry-After", strconv.Itoa(wait))
	message := "Rate limit exceeded."
	if limited == "api-burst-limiter" {
		message = "burst rate limit exceeded"
	}
	return failR(http.StatusTooManyRequests, "Too Many Requests", message, "RateLimitException")
}

// costR is what a call costs: 1, and 10 for a count.
func costR(r *http.Request) float64 {
	if r.URL.Query().Get("count") == "1" {
		return 10
	}
	return 1
}

func levelText(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// introspectR shows what is in a token; it is for debugging.
func introspectR(c *apiCall) (any, *apiError) {
	_, rest, _ := strings.Cut(c.r.Header.Get("Authorization"), ".")
	claims, _, _ := strings.Cut(rest, ".")
	return readSegment(claims), nil
}

// sessionR is who the token belongs to.
func sessionR(c *apiCall) (any, *apiError) {
	a := c.user.Account
	id := strconv.FormatInt(employeeID(c.token.grant.email), 10)
	given, family, _ := strings.Cut(c.user.Name, " ")
	return map[string]any{
		"employeeID": id, "systemUserID": id, "systemCustomerID": c.token.grant.tenant, "systemAPIClientID": "1", "systemAPIKeyID": "1",
		"shopCount": strconv.Itoa(len(a.Shops)),
		"Employee":  map[string]any{"employeeID": id, "firstName": given, "lastName": family, "singleShop": boolText(len(a.Shops) == 1)},
		"Rights":    map[string]any{"all": "true"},
	}, nil
}

func boolText(b bool) string { return strconv.FormatBool(b) }

// resourceR is what a path under /API/V3 asks for.
type resourceR struct {
	account string // "" for the account itself
	entity  string // Account, Shop, Customer, …
	id      string // "" for a list
	json    bool   // as a suffix
}

// parseResourceR reads Account.json, Account/{id}/Shop.json and
// Account/{id}/Shop/{id}.json, with and without the suffix.
func parseResourceR(path string) (resourceR, bool) {
	path, isJSON := strings.CutSuffix(path, ".json")
	parts := strings.Split(path, "/")
	r := resourceR{json: isJSON}
	switch len(parts) {
	case 1:
		r.entity = parts[0]
	case 2:
		r.entity, r.id = parts[0], parts[1]
	case 3:
		r.account, r.entity = parts[1], parts[2]
	case 4:
		r.account, r.entity, r.id = parts[1], parts[2], parts[3]
	}
	known := len(parts) <= 4 && parts[0] == "Account" && r.entity != "" && (len(parts) < 2 || parts[1] != "") && (len(parts) < 4 || r.id != "")
	return r, known && !(len(parts) > 2 && r.entity == "Account")
}

// noSuchR is a 404.
func noSuchR() *apiError {
	return failR(http.StatusNotFound, "Not Found", "No such resource.", "NotFoundException")
}

// serveR answers JSON where the path or, before it, the Accept header asks for it,
// and XML elsewhere.
func serveR(c *apiCall) (any, *apiError) {
	want, ok := parseResourceR(c.r.PathValue("path"))
	if !ok {
		return nil, noSuchR()
	}
	content, refused := readR(c, want)
	accept := strings.ToLower(c.r.Header.Get("Accept"))
	switch {
	case refused != nil, strings.Contains(accept, "application/json"):
	case !want.json, strings.Contains(accept, "/xml"):
		return document{"application/xml; charset=utf-8", encodeXML(want.entity, content)}, nil
	}
	return content, refused
}

// readR serves the account, and the lists and records of it.
func readR(c *apiCall, want resourceR) (map[string]any, *apiError) {
	missing := noSuchR()
	if want.entity == "Account" {
		if want.id != "" && want.id != c.token.grant.tenant {
			return nil, forbiddenR(c)
		}
		return map[string]any{"@attributes": map[string]any{"count": "1"}, "Account": map[string]any{
			"accountID": c.token.grant.tenant, "name": c.user.Account.Name,
			"link": map[string]any{"@attributes": map[string]any{"href": "/API/V3/Account/" + c.token.grant.tenant}},
		}}, nil
	}
	if want.account != c.token.grant.tenant {
		return nil, forbiddenR(c)
	}
	kind, ok := kindsR()[want.entity]
	if !ok {
		return nil, missing
	}
	if kind.scope != "" && !c.may(kind.scope) {
		entryOf(c.r).Outcome = "scope missing"
		return nil, forbiddenR(c)
	}
	all := kind.records(c)
	if want.id == "" {
		return listR(c, want.entity, kind.key, all)
	}
	for _, rec := range all {
		if rec[kind.key] == want.id {
			return map[string]any{"@attributes": map[string]any{"count": "1"}, want.entity: rec}, nil
		}
	}
	return nil, missing
}

// readSegment decodes the claims of one of our own tokens.
func readSegment(segment string) map[string]any {
	var m map[string]any
	raw, err := decodeSegment(segment)
	if err != nil || json.Unmarshal(raw, &m) != nil {
		return map[string]any{}
	}
	return m
}
