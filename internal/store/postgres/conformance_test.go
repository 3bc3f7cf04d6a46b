package postgres

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/pgtest"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/storetest"
)

// server runs the databases of all tests but those that break it.
var server *pgtest.Cluster

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgtest.Options{}, func(c *pgtest.Cluster) error {
		server = c
		s, err := Open(context.Background(), Options{URL: secret.New(c.Template()), AllowLoss: true})
		if err != nil {
			return err
		}
		return s.Close()
	}))
}

// openTest opens a store that accepts the server of these tests, which does without
// fsync, and closes it with the test.
func openTest(t testing.TB, url string, o Options) *Store {
	t.Helper()
	o.URL, o.AllowLoss = secret.New(url), true
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

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		url := server.Database(t)
		t.Cleanup(func() { checkDatabase(t, url) }) // after the suite has closed it
		return openTest(t, url, Options{Now: now})
	}, storetest.Shared)
}

// checkDatabase finds what no method shows: rows that belong to nothing, and
// nothing where a row must be.
func checkDatabase(t *testing.T, url string) {
	t.Helper()
	ctx := context.Background()
	conn := connect(t, url)
	defer conn.Close(ctx)
	for what, query := range map[string]string{
		"addresses of nothing":            `SELECT count(*) FROM addresses a WHERE NOT EXISTS (SELECT FROM connections c WHERE c.id = a.connection_id AND c.app = a.app AND c.key = a.key)`,
		"connections without address":     `SELECT count(*) FROM connections c WHERE NOT EXISTS (SELECT FROM addresses a WHERE a.connection_id = c.id)`,
		"ids of no grant":                 `SELECT count(*) FROM grant_ids i WHERE NOT EXISTS (SELECT FROM grants g WHERE g.connection_id = i.connection_id AND g.id = i.id)`,
		"grants without id":               `SELECT count(*) FROM grants g WHERE NOT EXISTS (SELECT FROM grant_ids i WHERE i.connection_id = g.connection_id AND i.id = g.id)`,
		"grants of no connection":         `SELECT count(*) FROM grants g WHERE NOT EXISTS (SELECT FROM connections c WHERE c.id = g.connection_id AND c.app = g.app AND c.key = g.key)`,
		"links of no connection":          `SELECT count(*) FROM links l WHERE NOT EXISTS (SELECT FROM connections c WHERE c.id = l.connection_id)`,
		"locations of no grant":           `SELECT count(*) FROM locations l WHERE NOT EXISTS (SELECT FROM grants g WHERE g.connection_id = l.connection_id AND g.id = l.grant_id)`,
		"readings of no grant":            `SELECT count(*) FROM readings r WHERE NOT EXISTS (SELECT FROM grants g WHERE g.connection_id = r.connection_id AND g.id = r.grant_id)`,
		"orphans of no grant":             `SELECT count(*) FROM orphans o WHERE NOT EXISTS (SELECT FROM grants g WHERE g.connection_id = o.connection_id AND g.id = o.grant_id)`,
		"live grants without credentials": `SELECT count(*) FROM grants g WHERE g.state IN ('connected', 'degraded') AND NOT EXISTS (SELECT FROM credentials v WHERE v.connection_id = g.connection_id AND v.grant_id = g.id AND v.epoch = g.epoch AND v.seq = g.seq AND v.slot = g.seq % 2)`,
		"credentials that are neither current nor the ones before": `SELECT count(*) FROM credentials v WHERE NOT EXISTS (SELECT FROM grants g
			WHERE g.connection_id = v.connection_id AND g.id = v.grant_id AND v.epoch = g.epoch AND v.seq IN (g.seq, g.seq - 1) AND v.slot = v.seq % 2)`,
		"a log whose end is not its newest event": `SELECT count(*) FROM event_log WHERE last < (SELECT max(n) FROM events)`,
		"owners that did not say goodbye":         `SELECT count(*) FROM owners`,
	} {
		var n int
		if err := conn.QueryRow(ctx, query).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
}

// connect opens a session beside the store's.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["search_path"] = schemaName
	conn, err := pgx.ConnectConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
