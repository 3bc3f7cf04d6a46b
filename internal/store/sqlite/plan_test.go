package sqlite

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
)

// planOf is how SQLite answers a query.
func planOf(t *testing.T, s *Store, query string) string {
	t.Helper()
	rows, err := s.rdb.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "?"))...)
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
	for name, test := range map[string]struct{ query, first string }{
		"next due":              {nextDueQuery, "SEARCH g USING INDEX grants_due (app=? AND due_at>?)"},
		"claim":                 {claimQuery, "SEARCH g USING INDEX grants_due (app=? AND due_at>? AND due_at<?)"},
		"credentials":           {credentialsQuery, "SEARCH g USING INDEX sqlite_autoindex_grants_1 (id=?)"},
		"grants":                {grantsQuery, "SEARCH c USING COVERING INDEX sqlite_autoindex_connections_1 (id=?)"},
		"count":                 {countQuery, "SCAN connections USING COVERING INDEX connections_status"},
		"a connection's events": {`SELECT n FROM events WHERE (n > ?) AND (connection = ? AND connection <> '') ORDER BY n LIMIT ?`, "SEARCH events USING COVERING INDEX events_connection (connection=? AND rowid>?)"},
	} {
		plan := planOf(t, s, test.query)
		sorts := strings.Contains(plan, "TEMP B-TREE FOR ORDER BY") && name != "grants" // of which there are few
		if !strings.HasPrefix(plan, test.first+"\n") || sorts {
			t.Errorf("%s:\n%s", name, plan)
		}
	}
}

func TestEveryReasonIsKnown(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../grant/state.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Reason" {
			return true
		}
		reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if !slices.Contains(knownReasons, grant.Reason(reason)) {
			t.Errorf("knownReasons lacks %s", reason)
		}
		return true
	})
	if found == 0 || found != len(knownReasons) {
		t.Errorf("the domain has %d reasons, knownReasons %d", found, len(knownReasons))
	}
}

func TestEventIDsKeepTheOrderOfTheirNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Int64Range(1, 1<<62)
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		if (a < b) != (eventID(a) < eventID(b)) || (a == b) != (eventID(a) == eventID(b)) {
			t.Fatalf("%d and %d are not ordered like %s and %s", a, b, eventID(a), eventID(b))
		}
		if n, err := eventNumber(eventID(a)); err != nil || n != a {
			t.Fatalf("%s is %d, want %d (%v)", eventID(a), n, a, err)
		}
	})
}

func TestEventNumbersRiseWhateverTheClockDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := int64(0)
		for _, ms := range rapid.SliceOf(rapid.Int64Range(0, 1<<40)).Draw(t, "clock") {
			n := nextEvent(last, ms)
			if n <= last || n>>counterBits < ms {
				t.Fatalf("%d follows %d at %d ms", n, last, ms)
			}
			last = n
		}
	})
}

func FuzzEventNumber(f *testing.F) {
	for _, s := range []string{"", "evt_", "evt_01K9ZKQ8Z00000000000000000", "evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "conn_01K9ZKQ8Z00000000000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := eventNumber(s)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("%q is %d", s, n)
		}
		// What was read sorts where it stood: at or just before it.
		if id := eventID(n); id > grant.EventID+strings.ToUpper(s[len(grant.EventID):]) {
			t.Fatalf("%q became %q, which sorts behind it", s, id)
		}
	})
}
