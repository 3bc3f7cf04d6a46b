package postgres

import (
	"math"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/eventid"
)

// untold is the condition of the indexes by type, which hold the few events that
// are not of refreshes that went well.
const untold = "type <> '" + string(grant.GrantRefreshed) + "'"

// kinds walks the index by type from one type to the next.
const kinds = `WITH RECURSIVE kinds (kind) AS (
		(SELECT type FROM events WHERE ` + untold + ` ORDER BY type LIMIT 1)
		UNION ALL SELECT (SELECT type FROM events WHERE ` + untold + ` AND type > kind ORDER BY type LIMIT 1) FROM kinds WHERE kind IS NOT NULL
	) `

// eventsQuery selects one event more than the page has. What is asked for by type is
// found type by type, so that an incident of last year costs no more than one of
// today; all else along the log.
func eventsQuery(f store.EventFilter, p store.Page) (string, []any, error) {
	var w where
	from, after, down := int64(0), ">", ""
	if f.NewestFirst {
		from, after, down = math.MaxInt64, "<", " DESC"
	}
	if p.Cursor != "" {
		var err error
		if from, err = eventid.Parse(p.Cursor); err != nil {
			return "", nil, err
		}
	}
	if f.Keys != nil {
		// An app's name has no "@", so the key is what stands before the last one.
		w.and("ref <> ''")
		in(&w, "left(ref, -(length(app) + 1))", f.Keys)
	}
	if f.ConnectionID != "" || len(f.Types) == 0 || slices.ContainsFunc(f.Types, takesRefreshed) {
		w.and("n "+after+" ?", from)
		if f.ConnectionID != "" {
			w.and("connection = ? AND connection <> ''", f.ConnectionID)
		}
		if len(f.Types) > 0 {
			ofTypes(&w, "type", f.Types)
		}
		if f.Apps != nil {
			in(&w, "app", f.Apps)
		}
		query := `SELECT ` + eventColumns + ` FROM events` + w.sql.String() + ` ORDER BY n` + down + ` LIMIT ` + w.arg(p.Limit+1)
		return query, w.args, nil
	}
	// Rows are compared, and the order names all columns, because the planner takes
	// any type to be frequent and would rather walk the log.
	w.and(untold)
	order := " ORDER BY type" + down + ", n" + down
	if len(f.Apps) == 1 {
		app := w.arg(f.Apps[0])
		w.and("(app, type, n) "+after+" ("+app+", kind, ?)", from)
		w.and("(" + app + ", kind) " + after + "= (app, type)")
		order = " ORDER BY app" + down + ", type" + down + ", n" + down
	} else {
		w.and("(type, n) "+after+" (kind, ?)", from)
		w.and("kind " + after + "= type")
		if f.Apps != nil {
			in(&w, "app", f.Apps)
		}
	}
	of := where{args: w.args}
	ofTypes(&of, "kind", f.Types)
	limit := ` LIMIT ` + of.arg(p.Limit+1)
	query := kinds + `SELECT e.* FROM kinds CROSS JOIN LATERAL (SELECT ` + eventColumns + ` FROM events` + w.sql.String() + order + limit + `) e` +
		of.sql.String() + ` ORDER BY n` + down + limit
	return query, of.args, nil
}

// takesRefreshed reports whether a type or a family takes in refreshes that went
// well.
func takesRefreshed(typ string) bool {
	family, ok := strings.CutSuffix(typ, "*")
	return typ == string(grant.GrantRefreshed) || ok && strings.HasSuffix(family, ".") && strings.HasPrefix(string(grant.GrantRefreshed), family)
}

// ofTypes adds that a column is one of the types or families.
func ofTypes(w *where, column string, types []string) {
	var conds []string
	var args []any
	for _, typ := range types {
		if family, ok := strings.CutSuffix(typ, "*"); ok && strings.HasSuffix(family, ".") {
			conds = append(conds, "starts_with("+column+", ?)")
			args = append(args, family)
			continue
		}
		conds = append(conds, column+" = ?")
		args = append(args, typ)
	}
	w.and(strings.Join(conds, " OR "), args...)
}
