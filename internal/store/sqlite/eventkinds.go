package sqlite

import (
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
		SELECT min(type) FROM events INDEXED BY events_type WHERE ` + untold + `
		UNION ALL SELECT (SELECT min(type) FROM events INDEXED BY events_type WHERE ` + untold + ` AND type > kind) FROM kinds WHERE kind IS NOT NULL
	) `

// eventsQuery selects one event more than the page has. What is asked for by type is
// found type by type, so that an incident of last year costs no more than one of
// today; all else along the log.
func eventsQuery(f store.EventFilter, p store.Page) (string, []any, error) {
	var w where
	after, order := "n > ?", " ORDER BY n"
	if f.NewestFirst {
		after, order = "n < ?", " ORDER BY n DESC"
	}
	if p.Cursor != "" {
		n, err := eventid.Parse(p.Cursor)
		if err != nil {
			return "", nil, err
		}
		w.and(after, n)
	}
	if f.ConnectionID != "" {
		w.and("n IN ("+eventsOfConnection+")", f.ConnectionID, f.ConnectionID)
	}
	if f.Keys != nil {
		// An app's name has no "@", so the key is what stands before the last one.
		w.and("ref <> ''")
		in(&w, "substr(ref, 1, length(ref) - length(app) - 1)", f.Keys)
	}
	index := "events_type"
	switch {
	case len(f.Apps) == 1:
		w.and("app = ?", f.Apps[0])
		index = "events_app_type"
	case f.Apps != nil:
		in(&w, "app", f.Apps)
	}
	limit := p.Limit + 1
	if f.ConnectionID != "" || len(f.Types) == 0 || slices.ContainsFunc(f.Types, takesRefreshed) {
		if len(f.Types) > 0 {
			ofTypes(&w, "type", f.Types)
		}
		return `SELECT ` + eventColumns + ` FROM events` + string(w.sql) + order + ` LIMIT ?`, append(w.args, limit), nil
	}
	w.and("type = kind")
	w.and(untold)
	var of where
	ofTypes(&of, "kind", f.Types)
	query := kinds + `SELECT ` + eventColumns + ` FROM kinds CROSS JOIN events e ON e.n IN (
		SELECT n FROM events INDEXED BY ` + index + string(w.sql) + order + ` LIMIT ?)` + string(of.sql) + order + ` LIMIT ?`
	return query, append(append(append(w.args, limit), of.args...), limit), nil
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
			conds = append(conds, "substr("+column+", 1, ?) = ?")
			args = append(args, len([]rune(family)), family)
			continue
		}
		conds = append(conds, column+" = ?")
		args = append(args, typ)
	}
	w.and(strings.Join(conds, " OR "), args...)
}
