package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

func TestProcessesThatStartAtOnceMigrateOnce(t *testing.T) {
	url := server.EmptyDatabase(t)
	stores := make([]*Store, 5)
	var all errgroup.Group
	for i := range stores {
		all.Go(func() (err error) {
			stores[i], err = Open(context.Background(), Options{URL: secret.New(url), AllowLoss: true})
			return err
		})
	}
	err := all.Wait()
	for _, s := range stores {
		if s != nil {
			t.Cleanup(func() { s.Close() })
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	g := connected(t, stores[0], "k", time.Now())
	for _, s := range stores {
		if _, err := s.Grant(t.Context(), g.ID); err != nil {
			t.Error(err)
		}
	}
}

func TestADatabaseThatCannotBeReliedOnIsRefused(t *testing.T) {
	url := server.Database(t)
	for name, test := range map[string]struct {
		url, why  string
		allowLoss bool
	}{
		"no connection string":            {"", "set storage.postgres", true},
		"not a connection string":         {"postgres://u:hunter2@h:port/x", "is not a connection string", true},
		"nobody listens":                  {"postgres://u:hunter2@127.0.0.1:1/x", "check that the server runs", true},
		"no such database":                {server.URL("none"), "CREATE DATABASE none", true},
		"sessions are read-only":          {url + "&default_transaction_read_only=on", "are read-only", true},
		"commits are not waited for":      {url + "&synchronous_commit=off", "synchronous_commit is off", false},
		"the disk is not waited for":      {url, "fsync is off", false},
		"a user who may create no schema": {strings.Replace(server.EmptyDatabase(t), "postgres@", "nobody@", 1), "GRANT CREATE ON DATABASE", true},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(test.url, "nobody@") {
				run(t, server.URL("postgres"), "CREATE ROLE nobody LOGIN")
			}
			refuses(t, Options{URL: secret.New(test.url), AllowLoss: test.allowLoss, Timeout: 5 * time.Second}, test.why)
			if _, err := Open(context.Background(), Options{URL: secret.New(test.url)}); strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestASchemaOfALaterVersionIsRefused(t *testing.T) {
	url := server.Database(t)
	run(t, url, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
	refuses(t, Options{URL: secret.New(url), AllowLoss: true}, "schema version is 9999")
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	url := server.Database(t)
	s := openTest(t, url, Options{Published: func([]grant.Event, bool) {}})
	connected(t, s, "k", time.Now())
	claims(t, s, "own_a", 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
	eventually(t, func() error { // sessions end a moment after their connection
		var sessions int
		conn := connect(t, url)
		defer conn.Close(t.Context())
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&sessions)
		if err == nil && sessions > 0 {
			err = context.DeadlineExceeded
		}
		return err
	})
}

func TestTextThatPostgreSQLCannotKeepDoesNotStopARenewal(t *testing.T) {
	s := openTest(t, server.Database(t), Options{})
	g := connected(t, s, "k", time.Now())
	r := renewal(claims(t, s, "own_a", 1)[0], time.Now())
	r.Scope = "a\x00b \xff"
	r.Events[0].Data["description"] = "\x00 \xff"
	r.Events[0].Reason = "odd\x00"
	if err := s.Commit(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Grant(t.Context(), g.ID); err != nil || got.Scope != "a\uFFFDb \uFFFD" {
		t.Errorf("scope is %q, %v", got.Scope, err)
	}
	events, _, err := s.ListEvents(t.Context(), store.EventFilter{Types: []string{"grant.*"}}, store.Page{Limit: 10})
	if err != nil || len(events) != 1 || events[0].Data["description"] != "\x00 \uFFFD" {
		t.Errorf("events are %+v, %v", events, err)
	}
	if _, err := s.Connection(t.Context(), grant.Ref{ID: "conn_\x00"}); !strings.Contains(err.Error(), store.ErrNotFound.Error()) {
		t.Errorf("error is %v", err)
	}
}
