package e2e_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/pgtest"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store/postgres"
)

// The stores, as steps name them that exist in one only.
const (
	onSQLite     = "SQLite"
	onPostgreSQL = "PostgreSQL"
)

// site is where the servers of a matrix keep their grants.
type site struct {
	name    string
	prepare func(*testing.T) *server
	// starting is room for the servers that start at the same time: if all did,
	// none would be ready in time.
	starting chan struct{}
}

const startAtOnce = 8

// files is a database file for each case.
func files() site { return site{onSQLite, newServer, make(chan struct{}, startAtOnce)} }

// databases is a database for each case, in a cluster of its own: with more
// sessions than others need, without fsync, because here it is not the database's
// machine that fails, and without workers who visit each of so many databases.
func databases(t *testing.T) site {
	t.Helper()
	c, err := pgtest.Start(pgtest.Options{Settings: []string{"max_connections=2000", "autovacuum=off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Remove)
	// Each is a copy of one that has the schema already, and is removed with its
	// case: all of them would take many gigabytes.
	if _, _, err := postgres.Migrate(t.Context(), postgres.Options{URL: secret.New(c.Template()), AllowLoss: true}); err != nil {
		t.Fatal(err)
	}
	var made atomic.Int64
	server := func(t *testing.T) *server {
		t.Helper()
		name := fmt.Sprintf("case_%d", made.Add(1))
		execute(t, c, "CREATE DATABASE "+name+" TEMPLATE template1 STRATEGY file_copy")
		t.Cleanup(func() { execute(t, c, "DROP DATABASE "+name+" WITH (FORCE)") }) // after the end of the server's process
		s := newReplica(t, c.URL(name), nil)
		s.storage = "{postgres: {file: secrets/database}, allow_async_commit: true}"
		return s
	}
	return site{onPostgreSQL, server, make(chan struct{}, startAtOnce)}
}

// execute runs a statement in the maintenance database, even if the test's own
// context has ended.
func execute(t *testing.T, c *pgtest.Cluster, sql string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Errorf("%s: %v", sql, err)
	}
}
