package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How many samples each location has.
const (
	itemsK = 130
	staffK = 25
)

// itemsError is the envelope of the items API, in which the status is text.
func (c *apiCall) itemsError(field, rejected, message string) *apiError {
	return &apiError{status: http.StatusBadRequest, body: map[string]any{
		"status": "400", "timestamp": c.now.UTC().Format(time.RFC3339), "message": message,
		"apiSubExceptions": []map[string]any{{"field": field, "rejectedValue": clip(rejected), "message": message}},
	}}
}

// listItems pages by offset and amount, and answers a bare array. With itemIds it
// does not page.
func listItems(c *apiCall) (any, *apiError) {
	q := c.r.URL.Query()
	l, _, refused := c.locationOf(q.Get("businessLocationId"))
	if refused != nil {
		return nil, refused
	}
	all := make([]map[string]any, itemsK)
	for i := range all {
		all[i] = map[string]any{
			"id": l.ID%1_000_000*1000 + int64(i), "name": fmt.Sprintf("Dish %d", i+1), "sku": fmt.Sprintf("D-%03d", i+1), "active": true,
			"prices": []map[string]any{{"name": "Standard", "amount": float64(4+i%20) + 0.5}},
		}
	}
	if q.Has("itemIds") {
		wanted := strings.Split(strings.Join(q["itemIds"], ","), ",")
		if len(wanted) > 200 {
			return nil, c.itemsError("itemIds", "", "at most 200")
		}
		return slices.DeleteFunc(all, func(item map[string]any) bool { return !slices.Contains(wanted, fmt.Sprint(item["id"])) }), nil
	}
	offset, refused := number(q, "offset", 0, 0, 1_000_000)
	if refused != nil {
		return nil, c.itemsError("offset", q.Get("offset"), "must be a number and not negative")
	}
	amount, refused := number(q, "amount", 100, 1, 1000)
	if refused != nil {
		return nil, c.itemsError("amount", q.Get("amount"), "must be a number from 1 to 1000")
	}
	from := min(offset, len(all))
	return all[from:min(from+amount, len(all))], nil
}

// listPayments pages by offset and nextOffset. Every sample sale was paid with
// Lightspeed Payments.
func listPayments(c *apiCall) (any, *apiError) {
	l, _, refused := c.location()
	if refused != nil {
		return nil, refused
	}
	q := c.r.URL.Query()
	from, to, refused := readRange(q)
	if refused != nil {
		return nil, refused
	}
	size, refused := number(q, "pageSize", 50, 1, 100)
	if refused != nil {
		return nil, refused
	}
	offset, refused := number(q, "offset", 0, 0, 1_000_000)
	if refused != nil {
		return nil, refused
	}
	// A year has fewer sales than that.
	all, refused := salesBetween(l, from, to, c.now, "", 1_000_000)
	if refused != nil {
		return nil, refused
	}
	start := min(offset, len(all.sales))
	end := min(start+size, len(all.sales))
	payments := []map[string]any{}
	for _, s := range all.sales[start:end] {
		payments = append(payments, map[string]any{
			"paymentId": "P" + saleToken(l, s.number)[1:], "status": "CAPTURED", "amount": s.money(), "timeClosed": s.closed.Format(time.RFC3339),
		})
	}
	answer := map[string]any{"payments": payments, "pageSize": size, "offset": offset, "nextOffset": nil}
	if end < len(all.sales) {
		answer["nextOffset"] = end
	}
	return answer, nil
}

// readRange reads from and to of the finance API's second version.
func readRange(q url.Values) (from, to time.Time, refused *apiError) {
	from, ok := readMoment(q.Get("from"))
	if !ok {
		return from, to, badRequest("from must be an ISO 8601 moment")
	}
	to = from.Add(365 * 24 * time.Hour)
	if q.Has("to") {
		if to, ok = readMoment(q.Get("to")); !ok || to.Before(from) || to.Sub(from) > 365*24*time.Hour {
			return from, to, badRequest("to must be an ISO 8601 moment, at most 365 days after from")
		}
	}
	return from, to, nil
}

// listReservable is the discovery call of a reservation platform: its locations,
// of businesses that are not named. None at all is a 404.
func listReservable(c *apiCall) (any, *apiError) {
	if !slices.Contains(c.token.scope, "reservation-"+c.r.PathValue("platform")) {
		entryOf(c.r).Outcome = "scope missing"
		return nil, c.orderAndPay(http.StatusForbidden, "Forbidden", "Access Denied")
	}
	q := c.r.URL.Query()
	page, refused := number(q, "page", 0, 0, 1_000_000)
	if refused != nil {
		return nil, refused
	}
	size, refused := number(q, "size", 10_000, 1, 10_000)
	if refused != nil {
		return nil, refused
	}
	all := []map[string]any{}
	for _, b := range c.user.Businesses {
		for _, l := range b.Locations {
			all = append(all, map[string]any{"businessLocationId": strconv.FormatInt(l.ID, 10), "name": l.Name, "country": l.Country})
		}
	}
	if len(all) == 0 {
		return nil, c.orderAndPay(http.StatusNotFound, "Not Found", "No business locations")
	}
	from := min(page*size, len(all))
	return all[from:min(from+size, len(all))], nil
}

// listStaff pages from 1, by links and page.
func listStaff(c *apiCall) (any, *apiError) {
	l, b, refused := c.location()
	if refused != nil {
		return nil, refused
	}
	q := c.r.URL.Query()
	page, refused := number(q, "page", 1, 1, 1_000_000)
	if refused != nil {
		return nil, refused
	}
	size, refused := number(q, "size", 10, 1, 1000)
	if refused != nil {
		return nil, refused
	}
	pages := (staffK + size - 1) / size
	from := min((page-1)*size, staffK)
	staff := []map[string]any{}
	for i := from; i < min(from+size, staffK); i++ {
		given, family := sampleName(i)
		staff = append(staff, map[string]any{
			"staffId": int64(1000 + i), "username": given + " " + family, "firstName": given, "lastName": family, "userTypes": []string{"POS"},
			"active": true, "businessId": b.ID, "businessLocationId": l.ID,
		})
	}
	link := func(page int) map[string]any {
		return map[string]any{"href": c.s.base(c.r) + c.r.URL.Path + "?" + url.Values{"page": {strconv.Itoa(page)}, "size": {strconv.Itoa(size)}}.Encode()}
	}
	links := map[string]any{"first": link(1), "self": link(page), "last": link(pages)}
	if page < pages {
		links["next"] = link(page + 1)
	}
	return map[string]any{
		"data": map[string]any{"staff": staff}, "links": links,
		"page": map[string]any{"page": page, "size": size, "totalElements": staffK, "totalPages": pages},
	}, nil
}
