package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// recordR is a record of R-Series: every scalar is text.
type recordR = map[string]any

// kindR is an entity that can be listed.
type kindR struct {
	key     string // its id's name
	scope   string // "" for any
	records func(c *apiCall) []recordR
}

// How many samples there are; a page holds at most 100.
const (
	customersR = 250
	salesR     = 120
	itemsR     = 25
)

func kindsR() map[string]kindR {
	return map[string]kindR{
		"Shop":     {"shopID", "", shopsOfR},
		"Customer": {"customerID", "employee:customers_read", sampleCustomersR},
		"Sale":     {"saleID", "employee:register_read", sampleSalesR},
		"Item":     {"itemID", "employee:inventory_read", sampleItemsR},
	}
}

// shopsOfR are the shops the employee may see; those that are archived only if
// asked for.
func shopsOfR(c *apiCall) []recordR {
	archived := c.r.URL.Query().Get("archived")
	var out []recordR
	for _, s := range c.user.Account.Shops {
		if s.Archived && archived != "true" && archived != "only" || !s.Archived && archived == "only" {
			continue
		}
		out = append(out, recordR{
			"shopID": strconv.FormatInt(s.ID, 10), "name": s.Name, "timeZone": s.Timezone, "archived": boolText(s.Archived),
			"timeStamp": "2026-01-05T09:00:00+00:00", "contactID": strconv.FormatInt(s.ID+1, 10), "priceLevelID": "1",
		})
	}
	return out
}

// sampleTime is when the nth sample was made.
func sampleTime(n int) string {
	return time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC).Add(time.Duration(n) * 7 * time.Hour).Format("2006-01-02T15:04:05-07:00")
}

func sampleName(n int) (given, family string) {
	first := []string{"Ada", "Bo", "Cleo", "Dag", "Eva", "Finn", "Gro", "Hans", "Ida", "Jon", "Kari"}
	last := []string{"Aas", "Berg", "Dahl", "Eide", "Foss", "Haug", "Lie", "Moe", "Nes", "Ruud", "Solberg", "Vik", "Wold"}
	return first[n%len(first)], last[n%len(last)]
}

func sampleCustomersR(*apiCall) []recordR {
	out := make([]recordR, customersR)
	for i := range out {
		given, family := sampleName(i)
		out[i] = recordR{
			"customerID": strconv.Itoa(i + 1), "firstName": given, "lastName": family, "title": "", "company": "",
			"createTime": sampleTime(i), "timeStamp": sampleTime(i), "archived": "false", "contactID": strconv.Itoa(1000 + i),
			"customerTypeID": "0", "discountID": "0", "taxCategoryID": "0",
		}
	}
	return out
}

func sampleSalesR(c *apiCall) []recordR {
	shops := shopsOfR(c)
	out := make([]recordR, 0, salesR)
	for i := range salesR {
		shop := any("0")
		if len(shops) > 0 {
			shop = shops[i%len(shops)]["shopID"]
		}
		total := fmt.Sprintf("%d.%02d", 5+i*37%400, i*13%100)
		out = append(out, recordR{
			"saleID": strconv.Itoa(i + 1), "createTime": sampleTime(i), "completeTime": sampleTime(i), "timeStamp": sampleTime(i),
			"completed": "true", "archived": "false", "voided": "false", "total": total, "calcTotal": total,
			"customerID": strconv.Itoa(1 + i%customersR), "employeeID": "1", "registerID": shop, "shopID": shop,
		})
	}
	return out
}

func sampleItemsR(*apiCall) []recordR {
	names := []string{"City bike", "Inner tube", "Bell", "Saddle", "Helmet"}
	out := make([]recordR, itemsR)
	for i := range out {
		out[i] = recordR{
			"itemID": strconv.Itoa(i + 1), "systemSku": strconv.Itoa(210000000001 + i), "description": fmt.Sprintf("%s %d", names[i%len(names)], 20+i),
			"defaultCost": fmt.Sprintf("%d.50", 3+i), "archived": "false", "timeStamp": sampleTime(i),
		}
	}
	return out
}

// listR is a page of records: limit, sort, after and before, or the count alone.
func listR(c *apiCall, entity, key string, all []recordR) (map[string]any, *apiError) {
	q := c.r.URL.Query()
	if q.Get("count") == "1" {
		for _, other := range []string{"limit", "sort", "after", "before"} {
			if q.Has(other) {
				return nil, badRequestR("count cannot be used with " + other + ".")
			}
		}
		return map[string]any{"@attributes": map[string]any{"count": strconv.Itoa(len(all))}}, nil
	}
	limit := 100
	if q.Has("limit") {
		var err error
		if limit, err = strconv.Atoi(q.Get("limit")); err != nil || limit < 0 || limit > 100 {
			return nil, badRequestR("limit must be a number from 0 to 100.")
		}
	}
	field, down := strings.CutPrefix(q.Get("sort"), "-")
	if field == "" {
		field = key
	}
	if len(all) > 0 && all[0][field] == nil {
		return nil, badRequestR("sort names a field that does not exist.")
	}
	slices.SortStableFunc(all, func(a, b recordR) int {
		order := compareR(a[field], b[field])
		if down {
			return -order
		}
		return order
	})
	from, to, ok := pageR(q, key, all, limit)
	if !ok {
		return nil, badRequestR("after or before is not a cursor of this list.")
	}
	page := all[from:to]
	link := func(name string, at int) string {
		next := url.Values{}
		for k, v := range q {
			if k != "after" && k != "before" {
				next[k] = v
			}
		}
		id, _ := all[at][key].(string)
		next.Set(name, cursorR(id))
		return c.s.base(c.r) + c.r.URL.Path + "?" + next.Encode()
	}
	attributes := map[string]any{"next": "", "previous": ""}
	if to < len(all) && len(page) > 0 {
		attributes["next"] = link("after", to-1)
	}
	if from > 0 && len(page) > 0 {
		attributes["previous"] = link("before", from)
	}
	answer := map[string]any{"@attributes": attributes}
	switch len(page) {
	case 0: // no key at all
	case 1:
		answer[entity] = page[0]
	default:
		answer[entity] = page
	}
	return answer, nil
}

// pageR finds the page that the cursors ask for.
func pageR(q url.Values, key string, all []recordR, limit int) (from, to int, ok bool) {
	find := func(cursor string) int {
		id, ok := readCursorR(cursor)
		if !ok {
			return -1
		}
		return slices.IndexFunc(all, func(r recordR) bool { return r[key] == id })
	}
	switch after, before := q.Get("after"), q.Get("before"); {
	case after != "" && before != "":
		return 0, 0, false
	case after != "":
		at := find(after)
		return at + 1, min(at+1+limit, len(all)), at >= 0
	case before != "":
		at := find(before)
		return max(0, at-limit), max(0, at), at >= 0
	}
	return 0, min(limit, len(all)), true
}

// compareR orders numbers as numbers, everything else as text.
func compareR(a, b any) int {
	x, _ := a.(string)
	y, _ := b.(string)
	m, errM := strconv.ParseFloat(x, 64)
	n, errN := strconv.ParseFloat(y, 64)
	switch {
	case errM == nil && errN == nil && m < n:
		return -1
	case errM == nil && errN == nil && m > n:
		return 1
	case errM == nil && errN == nil:
		return 0
	}
	return strings.Compare(x, y)
}

// cursorR is opaque to clients: base64 of JSON.
func cursorR(id string) string {
	raw, err := json.Marshal([]string{id})
	if err != nil { // text always marshals
		return ""
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func readCursorR(cursor string) (id string, ok bool) {
	var ids []string
	raw, err := base64.StdEncoding.DecodeString(cursor)
	if err != nil || json.Unmarshal(raw, &ids) != nil || len(ids) != 1 {
		return "", false
	}
	return ids[0], true
}
