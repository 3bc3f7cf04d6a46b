package dashboard

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// endsWithin is what the view of deadlines looks ahead.
const endsWithin = 7 * 24 * time.Hour

// endingSoon is a page of connections by the deadlines of their grants, one app after
// the other: a line for each grant. Its cursor names the app that it goes on with.
func (d *Dashboard) endingSoon(ctx context.Context, apps []string, cursor string) (rows []row, next string, err error) {
	app, within, _ := strings.Cut(cursor, " ")
	at := max(slices.Index(apps, app), 0)
	f := store.DeadlineFilter{Before: d.c.Now().Add(endsWithin)}
	var grants []grant.Grant
	for ; at < len(apps) && len(grants) < pageSize; at, within = at+1, "" {
		f.App = apps[at]
		list, more, err := d.c.Store.Deadlines(ctx, f, store.Page{Limit: pageSize - len(grants), Cursor: within})
		if err != nil {
			return nil, "", err
		}
		grants = append(grants, list...)
		if more != "" {
			next = f.App + " " + more
			break
		}
	}
	if next == "" && at < len(apps) {
		next = apps[at] + " "
	}
	ids := make([]string, len(grants))
	for i, g := range grants {
		ids[i] = g.ConnectionID
	}
	by, err := d.c.Store.ConnectionsByID(ctx, ids)
	if err != nil {
		return nil, "", err
	}
	for _, g := range grants {
		if c, ok := by[g.ConnectionID]; ok { // or it was deleted just now
			r := d.row(c)
			r.Ends = g.DeadlineAt
			rows = append(rows, r)
		}
	}
	return rows, next, nil
}
