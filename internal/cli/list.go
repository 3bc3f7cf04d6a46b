package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// mostPage is the largest page the API gives.
const mostPage = 1000

// listAll follows a list to its end, or to limit items if limit is positive.
func listAll(ctx context.Context, r *remote, path string, q url.Values, limit int) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	for {
		size := mostPage
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		q.Set("limit", strconv.Itoa(size))
		p, _, err := fetch[page[json.RawMessage]](ctx, r, http.MethodGet, path+"?"+q.Encode(), nil)
		if err != nil {
			return nil, err
		}
		all = append(all, p.Data...)
		if p.NextCursor == nil || len(p.Data) == 0 || limit > 0 && len(all) >= limit {
			return all, nil
		}
		q.Set("cursor", *p.NextCursor)
	}
}

// printList writes a list: as JSON, or as a table with a row for each item.
func printList[T any](s *session, items []json.RawMessage, heading []string, row func(T) []string) error {
	if s.root.JSON {
		return s.printValue(map[string]any{"data": items})
	}
	var rows [][]string
	for _, raw := range items {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return usage("the answer is not a list of an evergrant server; correct EVERGRANT_SERVER")
		}
		rows = append(rows, row(v))
	}
	return s.table(heading, rows)
}
