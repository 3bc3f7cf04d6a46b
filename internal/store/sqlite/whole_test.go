package sqlite

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/store/whole"
)

// reader opens a reader that the test closes.
func reader(t *testing.T, path string) *Reader {
	t.Helper()
	r, err := OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func faults(t *testing.T, r *Reader) []string {
	t.Helper()
	var list []string
	err := r.Faults(t.Context(), func(f whole.Fault) error {
		list = append(list, f.Subject+": "+f.What)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAFileIsReadBesideItsServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evergrant.db")
	s := openAt(t, path)
	g := oneGrant(t, s, "a")
	oneGrant(t, s, "b")
	renew(t, s, g.ID)
	renew(t, s, g.ID)
	r := reader(t, path)
	batch, err := r.Businesses(t.Context(), "conn_", 1)
	if err != nil || len(batch) != 1 {
		t.Fatalf("%d connections, %v", len(batch), err)
	}
	want, err := s.Grant(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := batch[0].Grants[0]
	if d := cmp.Diff(want, got.Grant); d != "" {
		t.Error(d)
	}
	if c := got.Credentials; len(c) != 2 || string(c[0].Sealed) != "sealed 2" || string(c[1].Sealed) != "sealed 1" || c[0].Version != want.Version {
		t.Errorf("credentials are %+v", c)
	}
	if batch, err = r.Businesses(t.Context(), "conn_a", 10); err != nil || len(batch) != 1 || batch[0].Connection.Key != "b" {
		t.Errorf("after the first: %+v, %v", batch, err)
	}
	st, err := r.Status(t.Context())
	if err != nil || !st.SQLite.Open || st.SQLite.PID == 0 || st.Schema != st.Known || st.Counts.Grants != 2 || st.Counts.Credentials != 3 ||
		st.ByState["connected"] != 2 || *st.OpenAttempts != 0 || st.Move != nil {
		t.Errorf("status is %+v, %v", st, err)
	}
	if list := faults(t, r); len(list) != 0 {
		t.Errorf("faults are %v", list)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := r.Status(t.Context()); err != nil || st.SQLite.Open {
		t.Errorf("after its server it is %+v, %v", st.SQLite, err)
	}
}

func TestAReaderChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evergrant.db")
	if _, err := OpenReader(t.Context(), path); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("of no file the error is %v", err)
	}
	if err := openAt(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	r := reader(t, path)
	if _, err := r.db.Exec(`INSERT INTO heartbeat VALUES (1, 1)`); err == nil {
		t.Error("it can write")
	}
}

func TestFaultsOfAFileAreFound(t *testing.T) {
	for name, test := range map[string]struct{ damage, want string }{
		"a grant without its connection": {`DELETE FROM connections WHERE id = 'conn_b'`, "grant_b: grant of no connection"},
		"no consent":                     {`DELETE FROM consents WHERE grant_n = 2`, "grant_b: grant without what was approved"},
		"another version's credentials":  {`UPDATE grants SET seq = 7 WHERE id = 'grant_a'`, "grant_a: grant whose current credentials are another version's"},
		"credentials of nothing":         {`UPDATE grants SET credential_n = NULL, previous_n = NULL WHERE id = 'grant_b'`, "credentials row 2: credentials of no grant"},
		"one attempt twice":              {`UPDATE grants SET attempt = 'att_1'`, "att_1: attempt that is open on two grants"},
		"another app":                    {`UPDATE grants SET app = 'other' WHERE id = 'grant_a'`, "grant_a: grant of another app"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "evergrant.db")
			s := openAt(t, path)
			oneGrant(t, s, "a")
			oneGrant(t, s, "b")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, path, test.damage)
			if list := faults(t, reader(t, path)); !strings.Contains(strings.Join(list, "\n"), test.want) {
				t.Errorf("faults are %q, want %q", list, test.want)
			}
		})
	}
}

func TestABatchIsReadFromIndexes(t *testing.T) {
	s := openTemp(t)
	for _, query := range []string{wholeConnectionsQuery, wholeGrantsQuery, wholeOrphansQuery, wholeLocationsQuery, wholeLinksQuery,
		wholeAuthorizationsQuery, wholeEventsQuery} {
		plan := planOf(t, s, query)
		if strings.Contains(plan, "SCAN") || query != wholeEventsQuery && !strings.HasPrefix(plan, "SEARCH c USING ") {
			t.Errorf("%s:\n%s", query, plan)
		}
	}
}

// damage runs a statement beside all rules.
func damage(t *testing.T, path, statement string) {
	t.Helper()
	db, err := pool(path, []string{"foreign_keys(OFF)"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatWasMovedIsNotServed(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "evergrant.db")
	source := func() *Source {
		m, err := OpenSource(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s := openAt(t, path)
	must(s.BeginRun(ctx, "own_1"))
	must(s.EndRun(ctx, "own_1"))
	must(s.Close())

	m := source()
	if _, there, err := m.Move(ctx); there || err != nil {
		t.Errorf("a move of a file that was never moved: %t, %v", there, err)
	}
	before, err := m.State(ctx)
	must(err)
	must(m.BeginMove(ctx, "move_1", "database x on host y"))
	must(m.BeginMove(ctx, "move_2", "database x on host y"))
	if after, err := m.State(ctx); after != before || err != nil {
		t.Errorf("beginning changes the state from %s to %s, %v", before, after, err)
	}
	must(m.Close())

	s = openAt(t, path) // nothing is lost by serving it on
	must(s.BeginRun(ctx, "own_2"))
	must(s.Close())
	m = source()
	if after, err := m.State(ctx); after == before || err != nil {
		t.Errorf("a server that ran left the state as it was: %s, %v", after, err)
	}
	must(m.EndMove(ctx))
	must(m.Close())

	_, err = Open(ctx, Options{Path: path})
	if err == nil || !strings.Contains(err.Error(), "was moved to database x on host y") || !strings.Contains(err.Error(), "sqlite3 "+path+" 'DROP TABLE move'") ||
		strings.Contains(err.Error(), "\n") {
		t.Fatalf("error is %v", err)
	}
	m = source()
	mv, there, err := m.Move(ctx)
	if !there || err != nil || mv.ID != "move_2" || !mv.Ended() || !mv.From {
		t.Errorf("the move is %+v, %t, %v", mv, there, err)
	}
	must(m.Close())
	damage(t, path, `DROP TABLE move`)
	s = openAt(t, path)
	if run, err := s.LastRun(ctx); err != nil || run.ID != "move_2" || run.Ended {
		t.Errorf("the last run is %+v, %v; a spool might take it for its own", run, err)
	}
}

func TestMigrateTellsTheVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evergrant.db")
	known, err := knownVersion()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{0, known} {
		if from, to, err := Migrate(t.Context(), path); err != nil || from != want || to != known {
			t.Errorf("migrated from %d to %d, %v; want from %d to %d", from, to, err, want, known)
		}
	}
	openAt(t, path)
	if _, _, err := Migrate(t.Context(), path); err == nil || !strings.Contains(err.Error(), "has "+path+" open") {
		t.Errorf("beside a server: %v", err)
	}
}
