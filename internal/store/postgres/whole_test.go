package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store/whole"
)

// reader opens a reader that the test closes.
func reader(t *testing.T, url string) *Reader {
	t.Helper()
	r, err := OpenReader(t.Context(), Options{URL: secret.New(url)})
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

func TestADatabaseIsReadBesideItsServers(t *testing.T) {
	url := server.Database(t)
	s := openTest(t, url, Options{})
	g := connected(t, s, "a", time.Now())
	for range 2 {
		if err := s.Commit(t.Context(), renewal(claims(t, s, "own_a", 1)[0], time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	claims(t, s, "own_a", 1)
	r := reader(t, url)
	batch, err := r.Businesses(t.Context(), "", 10)
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
	if c := got.Credentials; len(c) != 2 || c[0].Version != want.Version || c[1].Version.Next() != want.Version {
		t.Errorf("credentials are %+v", c)
	}
	st, err := r.Status(t.Context())
	if err != nil || st.Schema != st.Known || st.Counts.Grants != 1 || st.Counts.Credentials != 2 || *st.OpenAttempts != 1 ||
		st.ByState["connected"] != 1 || st.Bytes == 0 || st.Move != nil {
		t.Errorf("status is %+v, %v", st, err)
	}
	if p := st.Postgres; len(p.Owners) != 1 || p.Owners[0] != "own_a" || p.ReadOnly || p.Standby || p.Fsync != "off" || p.SynchronousCommit != "on" {
		t.Errorf("the server is %+v", p)
	}
	if list := faults(t, r); len(list) != 0 {
		t.Errorf("faults are %v", list)
	}
}

func TestADatabaseWithoutOurTablesCanBeLookedAt(t *testing.T) {
	url := server.EmptyDatabase(t)
	st, err := reader(t, url).Status(t.Context())
	if err != nil || st.Schema != 0 || st.Known == 0 || st.Counts != nil {
		t.Errorf("status is %+v, %v", st, err)
	}
	for _, want := range []int64{0, st.Known} {
		if from, to, err := Migrate(t.Context(), Options{URL: secret.New(url), AllowLoss: true}); err != nil || from != want || to != st.Known {
			t.Errorf("migrated from %d to %d, %v; want from %d to %d", from, to, err, want, st.Known)
		}
	}
}

func TestFaultsOfADatabaseAreFound(t *testing.T) {
	for name, test := range map[string]struct{ damage, want string }{
		"no address":             {`DELETE FROM addresses`, "connection without its address"},
		"an address of nothing":  {`DELETE FROM connections`, "a@k-series: address of no connection"},
		"a grant of nothing":     {`DELETE FROM connections`, "grant of no connection"},
		"a grant without id":     {`DELETE FROM grant_ids`, "grant without its id"},
		"an id of nothing":       {`DELETE FROM grants`, "id of no grant"},
		"credentials of nothing": {`DELETE FROM grants`, "credentials of no grant"},
		"another version's":      {`UPDATE grants SET seq = 7`, "credentials that are neither current nor the ones before"},
		"another business":       {`UPDATE grants SET key = 'b'`, "grant of another app or business"},
		"the log's end":          {`UPDATE event_log SET last = 0; INSERT INTO events VALUES (1, '', NULL, '', '', '', '', '', NULL)`, "the log ends behind its newest event"},
		"a log that has no end":  {`DELETE FROM event_log`, "no event can be written"},
		"a location of nothing":  {`INSERT INTO locations VALUES ('c', 'g', 'l', '', '', '', NULL)`, "l of g: location of no grant"},
		"a reading of nothing":   {`INSERT INTO readings VALUES ('c', 'g', 'a', now())`, "g: reading of no grant"},
		"an orphan of nothing":   {`INSERT INTO orphans VALUES ('c', 'g', 'att_1', 1, 1, '', NULL)`, "att_1: orphan of no grant"},
		"an attempt on two":      {`UPDATE grants SET attempt = 'att_1'; INSERT INTO grants SELECT 'c', 'g', app, key, identity, scope, consent_at, epoch, seq, issued_at, expires_at, deadline_at, due_at, state, reason, since, next_try_at, failures, refusals, refused_at, attempt FROM grants`, "att_1: attempt that is open on two grants"},
	} {
		t.Run(name, func(t *testing.T) {
			url := server.Database(t)
			connected(t, openTest(t, url, Options{}), "a", time.Now())
			for _, statement := range strings.Split(test.damage, "; ") {
				run(t, url, statement)
			}
			if list := faults(t, reader(t, url)); !strings.Contains(strings.Join(list, "\n"), test.want) {
				t.Errorf("faults are %q, want %q", list, test.want)
			}
		})
	}
}

func TestABatchIsReadFromIndexes(t *testing.T) {
	conn := connect(t, server.Database(t))
	defer conn.Close(t.Context())
	fillDatabase(t, conn, 5_000, 100)
	for _, statement := range []string{
		`INSERT INTO links SELECT replace(id, 'conn_', 'link_'), id, app, key, '', id::bytea, '', '', '', '', '', true, NULL, '', '' FROM connections`,
		`INSERT INTO authorizations SELECT replace(id, 'link_', 'auth_'), id, id::bytea, '', '', '', '', NULL, NULL, NULL, true, '' FROM links`,
		`ANALYZE`, strings.ReplaceAll(byIndex, "LOCAL", "SESSION"), `SET plan_cache_mode = force_generic_plan`,
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, query := range []string{wholeConnectionsQuery, wholeGrantsQuery, wholeCredentialsQuery, wholeOrphansQuery, wholeLocationsQuery,
		wholeLinksQuery, wholeAuthorizationsQuery, wholeEventsQuery} {
		if plan := planOf(t, conn, query, ""); strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Hash") {
			t.Errorf("%s:\n%s", query, plan)
		}
	}
}

func TestAnUnfinishedCopyIsNotServed(t *testing.T) {
	url := server.Database(t)
	o := Options{URL: secret.New(url), AllowLoss: true}
	to, err := OpenTarget(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Begin(t.Context(), whole.Copy{Move: whole.Move{ID: "move_1", Other: "evergrant.db"}}, whole.Rest{}); err != nil {
		t.Fatal(err)
	}
	refuses(t, o, "it holds an unfinished copy of evergrant.db")
	if st, err := to.Status(t.Context()); err != nil || st.Move == nil || st.Move.Ended() || st.Move.From {
		t.Errorf("its move is %+v, %v", st.Move, err)
	}
	if err := to.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, url, Options{})
}
