package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// windowX is the window of the API's limit.
const windowX = 5 * time.Minute

// routeXAPI adds the API of X-Series, under 2.0 and every date version.
func (s *Sandbox) routeXAPI(sr *series) {
	api := sr.root + "/{" + tenantInPath + "}/api/"
	s.mux.HandleFunc("GET "+api+"{version}/{kind}", s.api(sr, "", readX))
	s.mux.HandleFunc("GET "+api+"{version}/{kind}/{id}", s.api(sr, "", readX))
	s.mux.HandleFunc(api, s.api(sr, "", func(*apiCall) (any, *apiError) { return nil, notFoundX() }))
}

// failX is the error envelope.
func failX(status int, message string) *apiError {
	return &apiError{status: status, body: map[string]any{"error": http.StatusText(status), "message": message}}
}

func notFoundX() *apiError { return failX(http.StatusNotFound, "The resource does not exist") }

func forbiddenX(*apiCall) *apiError {
	return failX(http.StatusForbidden, "The token does not have the scope that this needs")
}

// unauthorizedX is a 401. Its body is not documented; this is the envelope.
func unauthorizedX(why string) *apiError {
	if why == "empty" {
		return &apiError{status: http.StatusUnauthorized}
	}
	return failX(http.StatusUnauthorized, "The access token is missing, has expired or was revoked")
}

// meterX is the limit of one application at one retailer: 300 for each register
// and 50, in five minutes.
func meterX(c *apiCall) *apiError {
	g := c.token.grant
	most := 300*len(c.user.Retailer.open()) + 50
	ok, left, ends := c.s.w.window(meterKey{"api", g.tenant, g.client.id}).take(c.now, most, windowX)
	c.header.Set("X-RateLimit-Limit", strconv.Itoa(most))
	c.header.Set("X-RateLimit-Remaining", strconv.Itoa(left))
	if ok {
		return nil
	}
	c.s.note(violation{kind: "rate_limited", client: g.client.id, grant: g, detail: fmt.Sprintf("%d requests in five minutes", most)})
	c.header.Set("Retry-After", g.client.series.retryAfter(ends, 0))
	return failX(http.StatusTooManyRequests, rateLimitedX)
}

// open are the outlets that are not deleted; each has one register.
func (r *Retailer) open() []Outlet {
	return slices.DeleteFunc(slices.Clone(r.Outlets), func(o Outlet) bool { return o.Deleted })
}

// knownVersionX: 2.0, or a quarter's, whichever serves it.
func knownVersionX(v string) bool {
	if v == "2.0" {
		return true
	}
	_, err := time.Parse("2006-01", v)
	return err == nil
}

// needX are the scopes of what can be read.
func needX(kind string) ([]string, bool) {
	needs := map[string][]string{
		"retailer": {"retailer:read", "payment_types:read"}, "outlets": {"outlets:read"}, "registers": {"registers:read"},
		"user": {"users:read"}, "users": {"users:read"}, "customers": {"customers:read"}, "products": {"products:read"}, "sales": {"sales:read"},
	}
	scopes, ok := needs[kind]
	return scopes, ok
}

// readX serves the retailer, its user and its lists.
func readX(c *apiCall) (any, *apiError) {
	kind, id := c.r.PathValue("kind"), c.r.PathValue("id")
	needs, ok := needX(kind)
	if !ok || !knownVersionX(c.r.PathValue("version")) {
		return nil, notFoundX()
	}
	for _, scope := range needs {
		if !slices.Contains(c.token.scope, scope) {
			entryOf(c.r).Outcome = "scope missing"
			return nil, forbiddenX(c)
		}
	}
	switch {
	case kind == "retailer" && id == "":
		return map[string]any{"data": retailerOfX(c.user.Retailer)}, nil
	case kind == "user" && id == "":
		return map[string]any{"data": userOfX(c)}, nil
	case kind == "retailer", kind == "user":
		return nil, notFoundX()
	}
	all := recordsX(c, kind)
	if id == "" {
		return listX(c, all)
	}
	for _, rec := range all {
		if rec.data["id"] == id {
			return map[string]any{"data": rec.data}, nil
		}
	}
	return nil, notFoundX()
}

func retailerOfX(r *Retailer) map[string]any {
	symbols := map[string]string{"NOK": "kr", "GBP": "£", "EUR": "€", "USD": "$"}
	return map[string]any{
		"id": stableUUID(r.DomainPrefix), "name": r.Name, "domain_prefix": r.DomainPrefix,
		"currency": map[string]any{"code": r.Currency, "symbol": symbols[r.Currency]},
		"timezone": r.Timezone, "country": r.Country, "account_status": "active", "account_type": "plus", "version": "5120000",
	}
}

func userOfX(c *apiCall) map[string]any {
	email := c.token.grant.email
	return map[string]any{
		"id": stableUUID(email), "username": email, "display_name": c.user.Name, "email": email, "account_type": "admin",
		"restricted_outlet_id": nil, "restricted_outlet_ids": []string{}, "deleted_at": nil, "version": 5_110_000,
	}
}

// recordX is a record with the version that its page is found by.
type recordX struct {
	version int64
	deleted bool
	data    map[string]any
}

// newRecordX adds what all records have.
func newRecordX(version int64, deleted bool, data map[string]any) recordX {
	data["version"], data["deleted_at"] = version, any(nil)
	if deleted {
		data["deleted_at"] = "2026-01-05T09:00:00+00:00"
	}
	return recordX{version, deleted, data}
}

const (
	customersX = 250
	productsX  = 120
	salesX     = 180
	// Every eleventh sample of customers and products is deleted.
	deletedX = 11
)

// recordsX are all records of a kind, by growing version.
func recordsX(c *apiCall, kind string) []recordX {
	r := c.user.Retailer
	var out []recordX
	sampleID := func(i int) string { return stableUUID(fmt.Sprintf("%s/%s/%d", r.DomainPrefix, kind, i)) }
	switch kind {
	case "outlets":
		for i, o := range r.Outlets {
			out = append(out, newRecordX(5_120_044+int64(i)*3, o.Deleted, map[string]any{
				"id": o.ID, "name": o.Name, "time_zone": r.Timezone, "currency": r.Currency, "currency_symbol": "",
				"default_tax_id": stableUUID(r.DomainPrefix + "/tax"), "display_prices": "inclusive", "attributes": []string{},
			}))
		}
	case "registers":
		for i, o := range r.Outlets {
			out = append(out, newRecordX(5_121_000+int64(i), o.Deleted, map[string]any{
				"id": stableUUID(o.ID + "/register"), "name": "Main register", "outlet_id": o.ID, "is_open": true,
			}))
		}
	case "users":
		out = append(out, newRecordX(5_110_000, false, userOfX(c)))
	case "customers":
		for i := range customersX {
			given, family := sampleName(i)
			out = append(out, newRecordX(6_000_000+int64(i)*7, i%deletedX == deletedX-1, map[string]any{
				"id": sampleID(i), "customer_code": fmt.Sprintf("%s-%04d", family, i+1), "first_name": given, "last_name": family,
				"name": given + " " + family, "email": fmt.Sprintf("customer%d@%s.example", i+1, r.DomainPrefix),
				"created_at": sampleTime(i), "updated_at": sampleTime(i),
			}))
		}
	case "products":
		for i := range productsX {
			out = append(out, newRecordX(7_000_000+int64(i)*5, i%deletedX == deletedX-1, map[string]any{
				"id": sampleID(i), "name": fmt.Sprintf("Product %d", i+1), "handle": fmt.Sprintf("product-%d", i+1), "sku": strconv.Itoa(10_000 + i),
				"active": true, "price_including_tax": float64(5+i) + 0.5, "created_at": sampleTime(i), "updated_at": sampleTime(i),
			}))
		}
	case "sales":
		for i := range salesX {
			sale := map[string]any{
				"id": sampleID(i), "customer_id": stableUUID(fmt.Sprintf("%s/customers/%d", r.DomainPrefix, i%customersX)),
				"invoice_number": strconv.Itoa(i + 1), "status": "CLOSED", "total_price": float64(10+i%90) + 0.25, "total_tax": float64(2+i%9) + 0.05,
				"sale_date": sampleTime(i), "created_at": sampleTime(i), "updated_at": sampleTime(i), "outlet_id": nil,
			}
			if open := r.open(); len(open) > 0 {
				sale["outlet_id"] = open[i%len(open)].ID
			}
			out = append(out, newRecordX(8_000_000+int64(i)*2, false, sale))
		}
	}
	return out
}

// listX is a page: after and before are versions, page_size bounds it.
func listX(c *apiCall, all []recordX) (any, *apiError) {
	q := c.r.URL.Query()
	bound := func(name string, otherwise int64) (int64, *apiError) {
		if !q.Has(name) {
			return otherwise, nil
		}
		n, err := strconv.ParseInt(q.Get(name), 10, 64)
		if err != nil || n < 0 {
			return 0, failX(http.StatusBadRequest, name+" must be a number")
		}
		return n, nil
	}
	after, refused := bound("after", 0)
	if refused != nil {
		return nil, refused
	}
	before, refused := bound("before", 1<<62)
	if refused != nil {
		return nil, refused
	}
	size, refused := bound("page_size", 200)
	if refused != nil {
		return nil, refused
	}
	size = min(max(size, 1), 1000)
	deleted := strings.EqualFold(q.Get("deleted"), "true") || q.Get("deleted") == "1"
	kept := slices.DeleteFunc(all, func(r recordX) bool {
		return r.version <= after || r.version >= before || r.deleted && !deleted
	})
	if int64(len(kept)) > size {
		if q.Has("before") && !q.Has("after") {
			kept = kept[int64(len(kept))-size:] // those next to it
		} else {
			kept = kept[:size]
		}
	}
	data := []map[string]any{}
	version := map[string]any{"min": nil, "max": nil}
	for _, r := range kept {
		data = append(data, r.data)
	}
	if len(kept) > 0 {
		version["min"], version["max"] = kept[0].version, kept[len(kept)-1].version
	}
	return map[string]any{"data": data, "version": version}, nil
}
