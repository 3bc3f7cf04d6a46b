package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// halHost is what the links of the real API point at: an old host that no
// credentials may be sent to.
const halHost = "https://api.ikentoo.com"

// apiCall is an API request with a good token.
type apiCall struct {
	s      *Sandbox
	r      *http.Request
	header http.Header // of the answer
	token  *token
	user   User // as seen now, not when the token was issued
	now    time.Time
}

// apiError is an error answer of the API.
type apiError struct {
	status    int
	challenge string // WWW-Authenticate
	body      any    // nil: empty
	header    http.Header
}

// routeKAPI adds the API that both generations of K-Series share.
func (s *Sandbox) routeKAPI(sr *series) {
	s.mux.HandleFunc("GET "+sr.root+"/f/data/businesses", s.api(sr, "financial-api", listBusinesses))
	s.mux.HandleFunc("GET "+sr.root+"/o/op/data/businesses", s.api(sr, "orders-api", listBusinessesShort))
	s.mux.HandleFunc("GET "+sr.root+"/f/finance/{bl}/financials/{from}/{to}", s.api(sr, "financial-api", salesV1))
	s.mux.HandleFunc("GET "+sr.root+"/f/v2/business-location/{bl}/sales", s.api(sr, "financial-api", salesV2))
	s.mux.HandleFunc("GET "+sr.root+"/f/v2/business-location/{bl}/lightspeed-payments", s.api(sr, "financial-api", listPayments))
	s.mux.HandleFunc("GET "+sr.root+"/items/v1/items", s.api(sr, "items", listItems))
	s.mux.HandleFunc("GET "+sr.root+"/staff/v1/businessLocations/{bl}/userTypes/POS", s.api(sr, "staff-api", listStaff))
	s.mux.HandleFunc("GET "+sr.root+"/reservation/api/1/user/platform/{platform}/business-locations", s.api(sr, "", listReservable))
	s.mux.HandleFunc(sr.root+"/", s.api(sr, "", func(c *apiCall) (any, *apiError) {
		return nil, c.orderAndPay(http.StatusNotFound, "Not Found", "No message available")
	}))
}

// api wraps an API operation that needs a token with a scope ("": any token).
func (s *Sandbox) api(sr *series, scope string, f func(*apiCall) (any, *apiError)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, refused := s.enter(sr, scope, w.Header(), r)
		var content any
		if refused == nil {
			content, refused = f(c)
		}
		if refused == nil {
			writeContent(w, content)
			return
		}
		for name, values := range refused.header {
			w.Header()[name] = values
		}
		if refused.challenge != "" {
			w.Header().Set("WWW-Authenticate", refused.challenge)
		}
		if refused.body == nil {
			w.WriteHeader(refused.status)
			return
		}
		writeJSON(w, refused.status, refused.body)
	}
}

// enter checks the token: alive, of this series and this host, with the scope.
func (s *Sandbox) enter(sr *series, scope string, header http.Header, r *http.Request) (*apiCall, *apiError) {
	s.judgeAgent(sr, r, "")
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := entryOf(r)
	t, why := s.bearer(sr, r, entry)
	if why != "" {
		entry.Outcome = why
		if why == expiredToken || why == revokedToken {
			entry.Outcome = "dead token"
		}
		return nil, sr.unauthorized(why)
	}
	now := s.now()
	if f := s.w.apiFault(facts{sr, t.grant.client.id, "", t.grant.email}, now); f != nil {
		entry.Fault, entry.Outcome = f.Fault.Fault, "dead token"
		return nil, sr.unauthorized(f.Match["body"])
	}
	t.firstUse(now)
	user, _ := s.w.user(t.grant.email)
	c := &apiCall{s: s, r: r, header: header, token: t, user: user, now: now}
	if sr.meter != nil {
		if refused := sr.meter(c); refused != nil {
			entry.Outcome = "rate limited"
			return nil, refused
		}
	}
	if scope != "" && !slices.Contains(t.scope, scope) {
		entry.Outcome = "scope missing"
		return nil, sr.forbidden(c)
	}
	entry.Outcome = "served"
	return c, nil
}

// bearer finds the token of a request, or says why it is refused.
func (s *Sandbox) bearer(sr *series, r *http.Request, entry *LogEntry) (t *token, why string) {
	kind, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	value = strings.TrimSpace(value)
	if !strings.EqualFold(kind, "Bearer") || value == "" {
		return nil, noToken
	}
	entry.Token = fingerprint(value)
	t = s.w.tokens[keyOf(value)]
	if t == nil || t.refresh || t.grant.client.series != sr {
		return nil, unknownToken
	}
	entry.ClientID, entry.Grant = t.grant.client.id, t.grant.id
	user, _ := s.w.user(t.grant.email)
	host := r.PathValue(tenantInPath)
	switch {
	case t.ended, t.grant.death != "", user.Locked, sr.tenant(user) != t.grant.tenant:
		return nil, revokedToken
	case !t.live(s.now()):
		return nil, expiredToken
	case host != "" && host != t.grant.tenant:
		s.violate(violation{kind: "wrong_host", client: t.grant.client.id, grant: t.grant,
			detail: "a token of " + clip(t.grant.tenant) + " was sent to " + clip(host)})
		return nil, unknownToken
	}
	return t, ""
}

// unauthorizedK is K-Series' 401. The vendor does not state its body; this is
// Spring's.
func unauthorizedK(why string) *apiError {
	const challenge = `Bearer error="invalid_token"`
	spring := func(code, description string) map[string]any {
		return map[string]any{"error": code, "error_description": description}
	}
	switch why {
	case noToken:
		return &apiError{status: http.StatusUnauthorized, challenge: "Bearer",
			body: spring("unauthorized", "Full authentication is required to access this resource")}
	case unknownToken:
		return &apiError{status: http.StatusUnauthorized, challenge: challenge, body: spring("invalid_token", "Invalid access token")}
	case "empty":
		return &apiError{status: http.StatusUnauthorized, challenge: challenge}
	}
	return &apiError{status: http.StatusUnauthorized, challenge: challenge, body: spring("invalid_token", "Access token expired")}
}

// orderAndPay is the error envelope of the order and pay API.
func (c *apiCall) orderAndPay(status int, name, message string) *apiError {
	return &apiError{status: status, body: map[string]any{
		"timestamp": c.now.UTC().Format("2006-01-02T15:04:05.000+00:00"), "status": status,
		"error": name, "message": message, "path": clip(c.r.URL.Path),
	}}
}

// badRequest is the finance API's 400.
func badRequest(message string) *apiError {
	return &apiError{status: http.StatusBadRequest, body: map[string]any{"error": message}}
}

// location returns the location named in the path, if the user sees it.
func (c *apiCall) location() (Location, Business, *apiError) {
	return c.locationOf(c.r.PathValue("bl"))
}

// locationOf returns the location of that id, if the user sees it.
func (c *apiCall) locationOf(text string) (Location, Business, *apiError) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err == nil {
		for _, b := range c.user.Businesses {
			for _, l := range b.Locations {
				if l.ID == id {
					return l, b, nil
				}
			}
		}
	}
	return Location{}, Business{}, c.orderAndPay(http.StatusForbidden, "Forbidden",
		"Access token not relevant for the businessLocation, use authorization-code")
}

// number reads a query parameter within bounds.
func number(q url.Values, name string, otherwise, least, most int) (int, *apiError) {
	if !q.Has(name) {
		return otherwise, nil
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < least || n > most {
		return 0, badRequest(name + " must be a number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most))
	}
	return n, nil
}

// locationsPerBusiness is how many locations the discovery call lists.
const locationsPerBusiness = 500

// listBusinesses is the discovery call: page from 0, HAL.
func listBusinesses(c *apiCall) (any, *apiError) {
	q := c.r.URL.Query()
	page, refused := number(q, "page", 0, 0, 1_000_000)
	if refused != nil {
		return nil, refused
	}
	size, refused := number(q, "size", 1000, 1, 1000)
	if refused != nil {
		return nil, refused
	}
	all := c.user.Businesses
	from := min(page*size, len(all))
	list := []map[string]any{}
	for _, b := range all[from:min(from+size, len(all))] {
		locations := []map[string]any{}
		for _, l := range b.Locations[:min(len(b.Locations), locationsPerBusiness)] {
			locations = append(locations, map[string]any{"blName": l.Name, "blID": l.ID, "country": l.Country, "timezone": l.Timezone})
		}
		list = append(list, map[string]any{
			"businessName": b.Name, "businessId": b.ID, "currencyCode": b.Currency, "businessLocations": locations,
		})
	}
	link := func(page int) map[string]any {
		return map[string]any{"href": halHost + "/data/businesses?" + url.Values{"page": {strconv.Itoa(page)}, "size": {strconv.Itoa(size)}}.Encode()}
	}
	links := map[string]any{"self": map[string]any{"href": halHost + "/data/businesses"}}
	if from+size < len(all) {
		links["next"] = link(page + 1)
	}
	return map[string]any{
		"_embedded": map[string]any{"businessList": list},
		"_links":    links,
		"page": map[string]any{
			"size": size, "totalElements": len(all), "totalPages": (len(all) + size - 1) / size, "number": page},
	}, nil
}

// listBusinessesShort is the discovery call for tokens with orders-api only.
func listBusinessesShort(c *apiCall) (any, *apiError) {
	list := []map[string]any{}
	for _, b := range c.user.Businesses {
		locations := []map[string]any{}
		for _, l := range b.Locations {
			locations = append(locations, map[string]any{"id": l.ID, "name": l.Name})
		}
		list = append(list, map[string]any{"name": b.Name, "id": b.ID, "businessLocations": locations})
	}
	return list, nil
}

// document is an answer that is not JSON.
type document struct {
	media string
	text  []byte
}

// writeContent writes the 200 of an API call.
func writeContent(w http.ResponseWriter, content any) {
	d, other := content.(document)
	if !other {
		writeJSON(w, http.StatusOK, content)
		return
	}
	w.Header().Set("Content-Type", d.media)
	_, _ = w.Write(d.text)
}

// writeJSON writes content, which always marshals: the sandbox made it.
func writeJSON(w http.ResponseWriter, status int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(content)
}
