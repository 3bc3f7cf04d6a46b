package pgtest_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/pgtest"
)

var cluster *pgtest.Cluster

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, pgtest.Options{}, func(c *pgtest.Cluster) error {
		cluster = c
		return run(c.Template(), `CREATE TABLE marks (n int)`)
	}))
}

func run(url, sql string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	a, b := cluster.Database(t), cluster.Database(t)
	if a == b {
		t.Fatalf("both are %s", a)
	}
	for _, url := range []string{a, b} {
		if err := run(url, `INSERT INTO marks VALUES (1)`); err != nil {
			t.Error(err)
		}
	}
	if err := run(cluster.EmptyDatabase(t), `SELECT FROM marks`); err == nil {
		t.Error("an empty database has the template's table")
	}
}

func TestACrashKeepsWhatWasCommitted(t *testing.T) {
	c, err := pgtest.Start(pgtest.Options{Fsync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Remove)
	url := c.Database(t)
	for _, stop := range []func() error{c.Kill, c.Stop} {
		if err := run(url, `CREATE TABLE IF NOT EXISTS kept (n int)`); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if err := run(url, `SELECT FROM kept`); err == nil {
			t.Error("a server that was stopped answers")
		}
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
		if err := run(url, `SELECT FROM kept`); err != nil {
			t.Error(err)
		}
	}
}

func TestAPromotedStandbyLacksWhatWasCommittedAfterItsStreamWasCut(t *testing.T) {
	primary, err := pgtest.Start(pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(primary.Remove)
	standby, err := primary.Standby()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Remove)
	url := pgtest.URLs("postgres", standby, primary)
	if err := run(url, `CREATE TABLE kept (n int)`); err != nil {
		t.Fatal(err)
	}
	standby.CaughtUp(t, primary)
	standby.CutStream(t)
	if err := run(url, `CREATE TABLE lost (n int)`); err != nil {
		t.Fatal(err)
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	standby.Promote(t)
	if err := run(url, `INSERT INTO kept VALUES (1)`); err != nil {
		t.Error(err)
	}
	if err := run(url, `SELECT FROM lost`); err == nil {
		t.Error("the standby has what it never received")
	}
}
