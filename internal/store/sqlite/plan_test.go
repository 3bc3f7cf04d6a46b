package sqlite

import (
	"fmt"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// planOf is how SQLite answers a query, whose arguments matter only if they have
// names.
func planOf(t *testing.T, s *Store, query string, args ...any) string {
	t.Helper()
	if args == nil {
		args = make([]any, strings.Count(query, "?"))
	}
	rows, err := s.rdb.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	var plan strings.Builder
	err = eachRow(rows, func(row scanner) error {
		var id, parent, unused int
		var detail string
		err := row.Scan(&id, &parent, &unused, &detail)
		fmt.Fprintln(&plan, detail)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

func TestHotQueriesAreAnsweredFromAnIndex(t *testing.T) {
	s := openTemp(t)
	ofState := connectionWhere(store.ConnectionFilter{States: []grant.State{grant.Connected}})
	for name, test := range map[string]struct{ query, first string }{
		"next due":              {nextDueQuery, "SEARCH g USING INDEX grants_due (app=? AND due_at>?)"},
		"claim":                 {claimQuery, "SEARCH g USING INDEX grants_due (app=? AND due_at>? AND due_at<?)"},
		"credentials":           {credentialsQuery, "SEARCH g USING INDEX sqlite_autoindex_grants_1 (id=?)"},
		"grants":                {grantsQuery, "SEARCH c USING COVERING INDEX sqlite_autoindex_connections_1 (id=?)"},
		"holdings":              {holdingsQuery, "SEARCH c USING COVERING INDEX sqlite_autoindex_connections_1 (id=?)"},
		"live grants":           {liveGrantsQuery, "SEARCH grants USING INDEX sqlite_autoindex_grants_1 (id>?)"},
		"next reading":          {nextReadingQuery, "SEARCH readings USING COVERING INDEX readings_due (app=? AND due_at<?)"},
		"readings":              {readingsQuery, "SEARCH r USING COVERING INDEX readings_due (app=? AND due_at<?)"},
		"deadlines":             {deadlinesQuery + ` ORDER BY g.deadline_at, g.n LIMIT ?`, "SEARCH g USING INDEX grants_deadline (app=? AND deadline_at>? AND deadline_at<?)"},
		"deadlines counted":     {countDeadlinesQuery, "SEARCH g USING COVERING INDEX grants_deadline (app=? AND deadline_at>? AND deadline_at<?)"},
		"of a state":            {`SELECT ` + connectionColumns + ` FROM connections c` + string(ofState.sql) + ` ORDER BY c.id LIMIT ?`, "SCAN c USING INDEX sqlite_autoindex_connections_1"},
		"count":                 {countQuery, "SCAN connections USING COVERING INDEX connections_status"},
		"a connection's events": {`SELECT n FROM events WHERE (n > ?) AND (n IN (` + eventsOfConnection + `)) ORDER BY n LIMIT ?`, "SEARCH events USING INTEGER PRIMARY KEY (rowid=?)"},
	} {
		plan := planOf(t, s, test.query)
		sorts := strings.Contains(plan, "TEMP B-TREE") && name != "grants" && name != "holdings" // of which there are few
		if !strings.HasPrefix(plan, test.first+"\n") || sorts {
			t.Errorf("%s:\n%s", name, plan)
		}
	}
}
