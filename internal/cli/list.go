package cli

import (
	"encoding/json"
	"fmt"

	"github.com/evergrant/evergrant/client"
)

// mostPage is the largest page the API gives.
const mostPage = 1000

// list prints a list to its end, or to limit items if limit is positive: as
// JSON, or as a table with a row for each item. next asks for one page, or for
// all of them.
func list[T any](s *session, r *remote, limit int, heading []string, row func(T) []string,
	next func(limit int, cursor string) (client.Page[T], error),
) error {
	raw, rows := []json.RawMessage{}, [][]string{}
	r.answers.keep = true
	for cursor := ""; ; {
		size := mostPage
		if limit > 0 {
			size = min(size, limit-len(rows))
		}
		p, err := next(size, cursor)
		if err != nil {
			return err
		}
		// JSON output has the items as they came.
		for _, answer := range r.answers.kept {
			var came client.Page[json.RawMessage]
			if err := json.Unmarshal(answer, &came); err != nil {
				return fmt.Errorf("read the server's answer: %w", err)
			}
			raw = append(raw, came.Data...)
		}
		r.answers.kept = nil
		for _, item := range p.Data {
			rows = append(rows, row(item))
		}
		if cursor = p.NextCursor; cursor == "" || limit > 0 && len(rows) >= limit {
			break
		}
	}
	if s.root.JSON {
		return s.printValue(map[string]any{"data": raw})
	}
	return s.table(heading, rows)
}
