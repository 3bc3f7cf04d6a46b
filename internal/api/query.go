package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// param is one query parameter of an endpoint.
type param struct {
	name   string // ends in "." if any name may follow, as in tag.region
	doc    string
	repeat bool
	enum   string // its values, separated by commas, if they are known
	format string // as JSON Schema names it, or ""
}

// paging are the parameters of every list.
var paging = []param{
	{name: "limit", doc: "how many items to return at most, 1 to 1000; 100 if it is not given"},
	{name: "cursor", doc: "next_cursor of the page before"},
}

// withPaging returns the parameters of a list.
func withPaging(p ...param) []param { return append(p, paging...) }

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// checkQuery refuses parameters the endpoint does not have, because a filter
// with a typing error would select everything.
func checkQuery(r *http.Request, known []param) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	var f fields
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		f.add("query", "it is not well formed")
		return f.err()
	}
	names := make([]string, len(known))
	for i, p := range known {
		names[i] = p.name
	}
	for _, name := range sortedKeys(q) {
		i := slices.IndexFunc(known, func(p param) bool {
			if strings.HasSuffix(p.name, ".") {
				return len(name) > len(p.name) && strings.HasPrefix(name, p.name)
			}
			return p.name == name
		})
		switch {
		case i < 0:
			f.add(clip(name), "there is no such parameter%s", suggest(name, names))
		case len(q[name]) > 1 && !known[i].repeat:
			f.add(clip(name), "it is given more than once")
		}
	}
	return f.err()
}

// duration reads a time span such as 30s, 5m or 7d; a bare number is seconds. An
// empty string is 0.
func (f *fields) duration(field, s string) time.Duration {
	if s == "" {
		return 0
	}
	d, ok := parseDuration(s)
	if !ok {
		f.add(field, "it must be a time span such as 30s, 5m or 7d")
	}
	return d
}

// parseDuration reads what [time.ParseDuration] reads, and days.
func parseDuration(s string) (time.Duration, bool) {
	const mostDays = 36500
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err == nil && n >= 0 && n <= mostDays
	}
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(n) * time.Second, n >= 0 && n <= mostDays*24*3600
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

// time reads an RFC 3339 moment; an empty string is the zero time.
func (f *fields) time(field, s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 1970 || t.Year() > 9998 {
		f.add(field, "it must be a time such as 2026-11-21T17:05:00Z")
		return time.Time{}
	}
	return t.UTC()
}

// page reads limit and cursor.
func (f *fields) page(q url.Values) store.Page {
	p := store.Page{Limit: defaultLimit, Cursor: q.Get("cursor")}
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxLimit {
			f.add("limit", "it must be a whole number from 1 to %d", maxLimit)
			return p
		}
		p.Limit = n
	}
	if len(p.Cursor) > 512 || !printable(p.Cursor) {
		f.add("cursor", "it must be the next_cursor of an earlier answer")
	}
	return p
}

// states reads states, repeated or separated by commas.
func (f *fields) states(field string, given []string) []grant.State {
	var out []grant.State
	for _, s := range split(given) {
		st, ok := grant.ParseState(s)
		if !ok {
			f.add(field, "%q is not one of connected, degraded, needs_reauthorization, pending, disconnected", clip(s))
			continue
		}
		out = append(out, st)
	}
	return out
}

// split separates the values of a parameter that may be repeated or hold commas.
func split(given []string) []string {
	var out []string
	for _, v := range given {
		for s := range strings.SplitSeq(v, ",") {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// page is one page of a list.
type page[T any] struct {
	Data       []T     `json:"data" nullable:"false"`
	NextCursor *string `json:"next_cursor" doc:"cursor of the next page; null on the last"`
}

// listOf answers with a page of items that are at hand as a whole. id must name
// each of them; it is the cursor.
func listOf[D, T any](c *call, items []D, id func(D) string, wire func(D) T) (page[T], error) {
	var f fields
	p := f.page(c.r.URL.Query())
	if p.Cursor != "" {
		i := slices.IndexFunc(items, func(d D) bool { return id(d) == p.Cursor })
		if i < 0 {
			f.add("cursor", "it must be the next_cursor of an earlier answer")
		}
		items = items[i+1:]
	}
	if err := f.err(); err != nil {
		return page[T]{}, err
	}
	next := ""
	if len(items) > p.Limit {
		items = items[:p.Limit]
		next = id(items[p.Limit-1])
	}
	return newPage(c, items, next, wire), nil
}

// newPage makes the answer of a list and links to the page after it (RFC 8288).
func newPage[D, T any](c *call, items []D, next string, wire func(D) T) page[T] {
	p := page[T]{Data: make([]T, len(items))}
	for i, it := range items {
		p.Data[i] = wire(it)
	}
	if next != "" {
		p.NextCursor = &next
		u := *c.r.URL
		q := u.Query()
		q.Set("cursor", next)
		u.RawQuery = q.Encode()
		c.w.Header().Set("Link", "<"+u.RequestURI()+`>; rel="next"`)
	}
	return p
}
