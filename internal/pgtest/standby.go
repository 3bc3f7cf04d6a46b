package pgtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/freeport"
)

// Standby starts a server that follows this one by streaming, asynchronously, and
// that takes reads. Remove it before the one it follows.
func (c *Cluster) Standby() (_ *Cluster, err error) {
	folder, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	s := &Cluster{bin: c.bin, folder: folder, user: c.user}
	defer func() {
		if err != nil {
			s.Remove()
		}
	}()
	if err := s.own(); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(c.Addr())
	if err != nil {
		return nil, err
	}
	out, err := s.command("pg_basebackup", "-D", s.data(), "-h", host, "-p", port, "-U", "postgres",
		"-R", "-X", "stream", "-c", "fast", "--no-sync").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w: %s", err, out)
	}
	if s.addr, err = freeport.Take(); err != nil {
		return nil, err
	}
	// What comes later in the file counts.
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.auto.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conf, "port = '%s'\nunix_socket_directories = '%s'\n", s.port(), s.folder)
	if closed := conf.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	return s, s.Run()
}

// CaughtUp waits until a standby has everything that its primary has committed.
func (c *Cluster) CaughtUp(t testing.TB, primary *Cluster) {
	t.Helper()
	at := primary.value(t, `SELECT pg_current_wal_flush_lsn()::text`)
	c.until(t, `SELECT pg_last_wal_replay_lsn() >= '`+at+`'::pg_lsn`)
}

// CutStream has a standby receive nothing any more, so that it lags behind.
func (c *Cluster) CutStream(t testing.TB) {
	t.Helper()
	c.exec(t, `ALTER SYSTEM SET primary_conninfo = ''`)
	if err := c.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	c.until(t, `SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL)`)
}

// Promote has a standby take writes.
func (c *Cluster) Promote(t testing.TB) {
	t.Helper()
	if c.value(t, `SELECT pg_promote(true, 60)::text`) != "true" {
		t.Fatal("the standby is not promoted within a minute")
	}
}

// until waits until a query is true.
func (c *Cluster) until(t testing.TB, query string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for c.value(t, `SELECT (`+query+`)::text`) != "true" {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", query)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// value is what a query in the maintenance database returns.
func (c *Cluster) value(t testing.TB, query string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var v *string
	if err := conn.QueryRow(ctx, query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if v == nil {
		return ""
	}
	return *v
}

// URLs is the connection string of a database that is on whichever of several
// servers takes writes.
func URLs(database string, all ...*Cluster) string {
	hosts := make([]string, len(all))
	for i, c := range all {
		hosts[i] = c.Addr()
	}
	return "postgres://postgres@" + strings.Join(hosts, ",") + "/" + database + "?sslmode=disable&target_session_attrs=read-write"
}

// own gives the cluster's folder to the user that its programs run as.
func (c *Cluster) own() error {
	if c.user == nil {
		return nil
	}
	return os.Chown(c.folder, int(c.user.Uid), int(c.user.Gid))
}
