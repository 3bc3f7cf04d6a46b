package sqlite

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openAt opens a store that the test closes.
func openAt(t *testing.T, path string, change ...func(*Options)) *Store {
	t.Helper()
	o := Options{Path: path}
	for _, c := range change {
		c(&o)
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openTemp(t *testing.T, change ...func(*Options)) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "evergrant.db"), change...)
}

// oneGrant stores a connected grant that is due now.
func oneGrant(t *testing.T, s *Store, name string) grant.Grant {
	t.Helper()
	now := truncate(s.now())
	c := grant.Connection{ID: "conn_" + name, App: "app", Key: name, Status: grant.StatusOf(grant.NeverConnected, now)}
	if err := s.CreateConnection(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	g := grant.Grant{ID: "grant_" + name, ConnectionID: c.ID, App: "app", Version: grant.Version{Epoch: 1},
		DueAt: now, Status: grant.StatusOf(grant.OK, now)}
	if err := s.Install(t.Context(), store.Installation{Grant: g, Sealed: []byte("sealed")}); err != nil {
		t.Fatal(err)
	}
	return g
}

// renew claims and commits the grant's next version.
func renew(t *testing.T, s *Store, id string) {
	t.Helper()
	g, err := s.Grant(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.ClaimOne(t.Context(), store.ClaimRequest{App: "app", Owner: "me"}, id, g.Version)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Commit(t.Context(), store.Renewal{GrantID: id, AttemptID: c.Grant.Attempt.ID, Of: g.Version,
		Sealed: fmt.Appendf(nil, "sealed %d", g.Version.Seq+1), Events: []grant.Event{{Type: grant.GrantRefreshed}}})
	if err != nil {
		t.Fatal(err)
	}
}

// count answers a question about rows.
func count(t *testing.T, s *Store, query string) int {
	t.Helper()
	var n int
	if err := s.rdb.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAStoreOpensAgainAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ever grant?#%&.db")
	s := openAt(t, path)
	g := oneGrant(t, s, "a")
	renew(t, s, g.ID)
	want, sealed, err := s.Credentials(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Error("the WAL was not written back")
	}
	s = openAt(t, path)
	got, gotSealed, err := s.Credentials(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got) + cmp.Diff(sealed, gotSealed); d != "" {
		t.Error(d)
	}
}

func TestWhatWasReturnedSurvivesTheProcess(t *testing.T) {
	// The files as they are while the store is open are what a killed process
	// leaves behind.
	path := filepath.Join(t.TempDir(), "evergrant.db")
	s := openAt(t, path)
	g := oneGrant(t, s, "a")
	for range 5 {
		renew(t, s, g.ID)
	}
	left := filepath.Join(t.TempDir(), "evergrant.db")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(left+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, sealed, err := openAt(t, left).Credentials(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Version.Seq != 5 || string(sealed) != "sealed 5" {
		t.Errorf("version %v with %q", got.Version, sealed)
	}
}

func TestEventIDsRiseAcrossRestartsAndClockSteps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evergrant.db")
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	last := ""
	for range 5 {
		s := openAt(t, path, func(o *Options) { o.Now = func() time.Time { return now } })
		if err := s.AppendEvents(t.Context(), grant.Event{Type: grant.EventAppAccepted}, grant.Event{Type: grant.EventAppAccepted}); err != nil {
			t.Fatal(err)
		}
		id, err := s.LastEvent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if id <= last {
			t.Errorf("%s follows %s", id, last)
		}
		last = id
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		now = now.Add(-time.Hour)
	}
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evergrant.db")
	s := openAt(t, path)
	oneGrant(t, s, "a")
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", info.Name(), mode)
		}
	}
}

func TestASecondOpenIsToldWhoHasTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evergrant.db")
	s := openAt(t, path)
	_, err := Open(t.Context(), Options{Path: path})
	want := fmt.Sprintf("another process (pid %d) has %s open; stop it, or give this one its own storage.sqlite", os.Getpid(), path)
	if err == nil || err.Error() != want {
		t.Fatalf("error is %q, want %q", err, want)
	}
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{Path: path})
	if err == nil || !strings.HasPrefix(err.Error(), "another process has ") {
		t.Fatalf("error is %q without a pid", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
}

func TestOpenSaysWhatIsWrongInOneLine(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	database := func(name string, statements ...string) string {
		path := filepath.Join(dir, name)
		db, err := pool(path, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, st := range statements {
			if _, err := db.Exec(st); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	newer := filepath.Join(dir, "newer.db")
	s := openAt(t, newer)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	database("newer.db", `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, 1)`)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ path, want string }{
		"no path":               {"", "set storage.sqlite"},
		"no such directory":     {filepath.Join(dir, "none", "e.db"), "create the directory " + filepath.Join(dir, "none")},
		"a file as directory":   {filepath.Join(file("plain", ""), "e.db"), "check that the directory exists and is writable"},
		"a directory":           {filepath.Join(dir, "folder"), "check that the directory exists and is writable"},
		"not a database":        {file("text", strings.Repeat("not a database ", 1000)), "restore it from a backup"},
		"somebody else's":       {database("other.db", `CREATE TABLE t (x)`), "belongs to another program"},
		"marked by another":     {database("marked.db", `PRAGMA application_id = 7`), "belongs to another program"},
		"from a later version":  {newer, "its schema version is 9000 and this program knows 11"},
		"damaged in the middle": {damaged(t, filepath.Join(dir, "damaged.db")), "restore it from a backup"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), Options{Path: test.path})
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error is %q, want one line with %q and the path", err, test.want)
			}
			// The lock is free again: the same error, not another process.
			if _, again := Open(t.Context(), Options{Path: test.path}); again == nil || again.Error() != err.Error() {
				t.Errorf("second error is %q, want %q", again, err)
			}
		})
	}
}

// damaged makes a database whose first page after the header is rubbish.
func damaged(t *testing.T, path string) string {
	t.Helper()
	s := openAt(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < len(b); i++ {
		b[i] = 0xa5
	}
	if err := os.WriteFile(path, b, fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnUndurableDatabaseIsRefused(t *testing.T) {
	for name, pragmas := range map[string][]string{
		"no WAL":   {"journal_mode(DELETE)", "synchronous(FULL)"},
		"no fsync": {"journal_mode(WAL)", "synchronous(NORMAL)"},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := pool(filepath.Join(t.TempDir(), "e.db"), pragmas, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := checkDurable(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "cannot be written safely") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestReadersCannotWrite(t *testing.T) {
	s := openTemp(t)
	if _, err := s.rdb.Exec(`DELETE FROM events`); err == nil {
		t.Error("a read connection can write")
	}
}

func TestCredentialsNobodyPointsAtAreRemoved(t *testing.T) {
	s := openTemp(t)
	g := oneGrant(t, s, "a")
	oneGrant(t, s, "b")
	for range 10 {
		renew(t, s, g.ID)
	}
	if n := count(t, s, `SELECT count(*) FROM credentials`); n != 3 {
		t.Errorf("%d versions are kept, want the current and the one before, and the other grant's", n)
	}
	if n := count(t, s, `SELECT count(*) FROM credentials v JOIN grants g ON v.n IN (g.credential_n, g.previous_n)
		WHERE v.grant_n = g.n AND v.epoch = g.epoch AND v.seq IN (g.seq, g.seq - 1)`); n != 3 {
		t.Errorf("%d versions are where they should be", n)
	}
	g.Version = grant.Version{Epoch: 2}
	if err := s.Install(t.Context(), store.Installation{Grant: g, Sealed: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, `SELECT count(*) FROM credentials`); n != 2 {
		t.Errorf("%d versions are kept after a new consent", n)
	}
	for _, id := range []string{"conn_a", "conn_b"} {
		if err := s.DeleteConnection(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"credentials", "grants", "consents", "locations", "orphans"} {
		if n := count(t, s, `SELECT count(*) FROM `+table); n != 0 {
			t.Errorf("%s has %d rows after everything was deleted", table, n)
		}
	}
}
