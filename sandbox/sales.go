package sandbox

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Sample sales are a function of location and time, so that every page and every
// run agree: one sale each half hour, from 8 to 22 o'clock UTC.
const (
	saleEvery = 30 * time.Minute
	openFrom  = 8
	openUntil = 22
	// maxRange is how much may be asked for at once.
	maxRange = 366 * 24 * time.Hour
)

// sale is one of them. Its number is that of its half hour since 1970.
type sale struct {
	number int64
	opened time.Time
	closed time.Time
	cents  int64
}

func saleAt(l Location, number int64) sale {
	at := time.Unix(number*int64(saleEvery/time.Second), 0).UTC()
	opened := at.Add(time.Duration((number+l.ID)%11) * time.Minute)
	return sale{number: number, opened: opened, closed: opened.Add(17 * time.Minute), cents: 350 + (number*37+l.ID%1000*13)%4200}
}

func (s sale) money() string { return fmt.Sprintf("%d.%02d", s.cents/100, s.cents%100) }

// salePage is a page of sales and the token of the next, "" on the last.
type salePage struct {
	sales []sale
	next  string
}

// salesBetween lists up to size sales of [from, to), beginning at token.
func salesBetween(l Location, from, to, now time.Time, token string, size int) (salePage, *apiError) {
	if to.After(now) {
		to = now // nothing is sold tomorrow
	}
	slot := from.Unix() / int64(saleEvery/time.Second)
	if token != "" {
		n, ok := readSaleToken(l, token)
		if !ok {
			return salePage{}, badRequest("nextPageToken is not valid")
		}
		slot = max(slot, n)
	}
	var page salePage
	for ; ; slot++ {
		s := saleAt(l, slot)
		if !s.opened.Before(to) {
			break
		}
		if h := s.opened.Hour(); h < openFrom || h >= openUntil || s.opened.Before(from) {
			continue
		}
		if len(page.sales) == size {
			page.next = saleToken(l, slot)
			break
		}
		page.sales = append(page.sales, s)
	}
	if l.ID == groundhogLocation && len(page.sales) > 0 {
		page.next = saleToken(l, page.sales[0].number) // the same again, for ever
	}
	return page, nil
}

// saleToken looks like A40021.7: the next sale and a digit of the location.
func saleToken(l Location, number int64) string {
	return fmt.Sprintf("A%d.%d", number, l.ID%10)
}

func readSaleToken(l Location, token string) (int64, bool) {
	rest, ok := strings.CutPrefix(token, "A")
	number, digit, found := strings.Cut(rest, ".")
	n, err := strconv.ParseInt(number, 10, 32)
	if !ok || !found || err != nil || n < 0 || digit != strconv.FormatInt(l.ID%10, 10) {
		return 0, false
	}
	return n, true
}

// readMoment takes RFC 3339, with or without zone, or a date.
func readMoment(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, t.Year() >= 2000 && t.Year() < 2200
		}
	}
	return time.Time{}, false
}

// salesV1 pages by _links.nextPage.href, at the host no token may go to.
func salesV1(c *apiCall) (any, *apiError) {
	l, b, refused := c.location()
	if refused != nil {
		return nil, refused
	}
	from, okFrom := readMoment(c.r.PathValue("from"))
	to, okTo := readMoment(c.r.PathValue("to"))
	if !okFrom || !okTo || to.Before(from) || to.Sub(from) > maxRange {
		return nil, badRequest("from and to must be ISO 8601 moments, at most 366 days apart")
	}
	q := c.r.URL.Query()
	size, refused := number(q, "pageSize", 1000, 1, 1000)
	if refused != nil {
		return nil, refused
	}
	page, refused := salesBetween(l, from, to, c.now, q.Get("nextPageToken"), size)
	if refused != nil {
		return nil, refused
	}
	self := fmt.Sprintf("%s/finance/%d/financials/%s/%s", halHost, l.ID, url.PathEscape(c.r.PathValue("from")), url.PathEscape(c.r.PathValue("to")))
	links := map[string]any{"self": map[string]any{"href": self}}
	if page.next != "" {
		links["nextPage"] = map[string]any{"href": self + "?" + url.Values{
			"nextPageToken": {page.next}, "pageSize": {strconv.Itoa(size)}}.Encode()}
	}
	sales := []map[string]any{}
	for _, s := range page.sales {
		id := saleToken(l, s.number)
		sales = append(sales, map[string]any{
			"accountReference": id, "receiptId": "R" + id[1:], "type": "SALE", "dineIn": s.number%3 != 0,
			"timeofOpening": s.opened.Format(time.RFC3339), "timeofCloseAndPaid": s.closed.Format(time.RFC3339),
			"salesLines": []map[string]any{{
				"id": id + "-1", "name": itemName(s), "quantity": "1", "totalNetAmountWithTax": s.money(),
				"timeofSale": s.opened.Format(time.RFC3339),
			}},
			"payments": []map[string]any{{"code": "CARD", "netAmountWithTax": s.money()}},
		})
	}
	return map[string]any{
		"businessName": b.Name, "businessLocationId": l.ID, "sales": sales, "_links": links,
	}, nil
}

// salesV2 answers a bare nextPageToken.
func salesV2(c *apiCall) (any, *apiError) {
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
	page, refused := salesBetween(l, from, to, c.now, q.Get("nextPageToken"), size)
	if refused != nil {
		return nil, refused
	}
	sales := []map[string]any{}
	for _, s := range page.sales {
		id := saleToken(l, s.number)
		sales = append(sales, map[string]any{
			"id": id, "timeOfOpening": s.opened.Format(time.RFC3339), "timeClosed": s.closed.Format(time.RFC3339),
			"total": s.money(),
			"lines": []map[string]any{{"id": id + "-1", "name": itemName(s), "quantity": "1", "amount": s.money(), "timeOfSale": s.opened.Format(time.RFC3339)}},
		})
	}
	answer := map[string]any{"sales": sales}
	if page.next != "" {
		answer["nextPageToken"] = page.next
	}
	return answer, nil
}

func itemName(s sale) string {
	names := []string{"Espresso", "Flat white", "Soup of the day", "Croque", "Apple tart", "House wine"}
	return names[s.number%int64(len(names))]
}
