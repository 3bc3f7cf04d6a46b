package sqlite

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// databaseAt makes a database of an old schema with rows in it.
func databaseAt(t *testing.T, version int64, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "evergrant.db")
	db, err := pool(path, writerPragmas, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := claimFile(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return path
}

func TestARefreshIsCarriedOverFromTheFirstSchemas(t *testing.T) {
	path := databaseAt(t, 2,
		`INSERT INTO connections VALUES (1, 'conn_a', 'app', 'a', '', NULL, NULL, NULL, 'connected', 'ok', 5, 0, 5, 5)`,
		`INSERT INTO grants VALUES (1, 'grant_a', 1, 'app', 1, 4, 5, 6, 7, 8, 'connected', 'ok', 5, 0, 0, 0, 0, 2, 1, 'att_5', 'me', 'first', 9, 0)`,
		`INSERT INTO consents VALUES (1, '{}', 'scope', 5)`,
		`INSERT INTO credentials VALUES (1, 1, 1, 3, 'att_3', x'03'), (2, 1, 1, 4, 'att_4', x'04')`,
		`INSERT INTO events VALUES (1, 'grant.issued', 1, 'conn_a', 'grant_a', 'app', 'a@app', 'ok', NULL),
			(2, 'grant.refreshed', 2, 'conn_a', 'grant_a', 'app', 'a@app', 'ok', NULL)`)
	now := time.Unix(1000, 0).UTC()
	s := openAt(t, path, func(o *Options) { o.Now = func() time.Time { return now } })
	g, sealed, err := s.Credentials(t.Context(), "grant_a")
	if err != nil {
		t.Fatal(err)
	}
	at := func(us int64) time.Time { return time.UnixMicro(us).UTC() }
	want := grant.Grant{ID: "grant_a", ConnectionID: "conn_a", App: "app", Scope: "scope", Version: grant.Version{Epoch: 1, Seq: 4},
		IssuedAt: at(5), ExpiresAt: at(6), DeadlineAt: at(7), DueAt: at(8), ConsentAt: at(5),
		Status: grant.Status{State: "connected", Reason: grant.OK, Since: at(5)}}
	want.Attempt = &grant.Attempt{ID: "att_5", Owner: "me", Kind: "first", Of: want.Version, OpenedAt: at(9)}
	if d := cmp.Diff(want, g); d != "" || string(sealed) != "\x04" {
		t.Errorf("the grant with %q is\n%s", sealed, d)
	}
	err = s.Commit(t.Context(), store.Renewal{GrantID: g.ID, AttemptID: "att_5", Of: g.Version, Sealed: []byte("five"),
		Events: []grant.Event{{Type: grant.GrantRefreshed}}})
	if err != nil {
		t.Fatal(err)
	}
	if types := fmt.Sprint(typesOf(t, s, store.EventFilter{ConnectionID: "conn_a"})); types != "[grant.issued grant.refreshed grant.refreshed]" {
		t.Errorf("the connection's events are %s", types)
	}
}
