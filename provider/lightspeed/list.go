package lightspeed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strconv"
)

// ErrPagesRepeat is why a list is given up whose next page is one that was
// there already: its end would never come. The documentation server of K-Series
// answers the same nextPageToken for ever.
var ErrPagesRepeat = errors.New("the API leads back to a page that was read already")

// List is a list of an API: where it is and how it is paged.
type List struct {
	// Path is below the API's base, such as
	// "/f/v2/business-location/310004455667789/sales".
	Path string
	// Query goes with every page, such as from and to. What the paging needs is
	// put in its place.
	Query url.Values
	// PageSize is how many entries a page has, between 1 and the most that the
	// vendor allows; 0 is that most, or where it is not published the vendor's
	// choice.
	PageSize int
	Paging   Paging
}

// All returns the entries of every page of a list, asking for each page when it
// is needed. T is what one entry is decoded into; [json.RawMessage] takes it as
// it is. The same token reads all pages: paging asks nobody to log in again.
//
// The iteration ends after the first error, which is an *[Error] if the API
// refused, [ErrPagesRepeat], or the context's. Pages are asked for at the host
// and path asked first: of a link in an answer only its query is used. Breaking
// off the iteration asks for nothing more.
//
//	for sale, err := range lightspeed.All[Sale](ctx, api, lightspeed.List{
//		Path:   "/f/v2/business-location/" + location + "/sales",
//		Query:  url.Values{"from": {"2026-11-01T00:00:00Z"}},
//		Paging: lightspeed.KSalesTokens,
//	}) { … }
func All[T any](ctx context.Context, api API, l List) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for raw, err := range entries(ctx, api, l) {
			var v T
			if err == nil {
				if err = json.Unmarshal(raw, &v); err != nil {
					err = fmt.Errorf("GET %s: decode an entry: %w", l.Path, err)
				}
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// entries are the undecoded entries of every page.
func entries(ctx context.Context, api API, l List) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		fail := func(err error) { yield(nil, err) }
		d, ok := l.Paging.dialect()
		if !ok {
			fail(fmt.Errorf("lightspeed: List.Paging is %q, which is none of the constants", l.Paging))
			return
		}
		query, err := d.first(l)
		if err != nil {
			fail(err)
			return
		}
		seen := make(map[string]bool) // queries asked with, so that no page is asked for twice
		var before [sha256.Size]byte
		for query != nil {
			if err := context.Cause(ctx); err != nil {
				fail(fmt.Errorf("GET %s: %w", l.Path, err))
				return
			}
			at := query.Encode()
			if seen[at] {
				fail(fmt.Errorf("GET %s: %w", l.Path, ErrPagesRepeat))
				return
			}
			seen[at] = true
			body, err := api.read(ctx, l.Path, query)
			if err != nil {
				fail(err)
				return
			}
			page, err := d.read(query, body)
			if err != nil {
				fail(fmt.Errorf("GET %s: %w", l.Path, err))
				return
			}
			// A server that ignores the page's number answers the same for ever.
			now := sha256.Sum256(bytes.Join(page.entries, []byte{0}))
			if len(page.entries) > 0 && now == before {
				fail(fmt.Errorf("GET %s: %w", l.Path, ErrPagesRepeat))
				return
			}
			before = now
			for _, e := range page.entries {
				if !yield(e, nil) {
					return
				}
			}
			query = page.next
		}
	}
}

// page is one page of a list.
type page struct {
	entries [][]byte
	next    url.Values // what to ask for next; nil on the last
}

// number reads a query parameter that we set.
func number(q url.Values, name string) int {
	n, _ := strconv.Atoi(q.Get(name))
	return n
}
