// Package pgtest runs a private PostgreSQL server for the tests of a package:
// a cluster of its own in a temporary folder, listening on 127.0.0.1 and on a
// socket in that folder, with a database per test. A test that needs PostgreSQL
// fails without its programs; it is never skipped.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/freeport"
)

// Options say how the server runs.
type Options struct {
	// Fsync makes commits wait for the disk, as in production. Without it the
	// server survives kill -9 but not the loss of power, and tests are faster.
	Fsync bool
	// Settings are added to postgresql.conf, such as "max_connections=300".
	Settings []string
}

// Cluster is a running server. Its methods may be called from any goroutine,
// except that Stop, Kill and Restart are called one at a time.
type Cluster struct {
	bin    string
	folder string
	user   *syscall.Credential
	addr   string // where it listens, also after it was down for a while
	proc   *process
	made   atomic.Int64 // databases
}

// Main runs a package's tests with one cluster for all of them and returns what
// to pass to [os.Exit]. ready is told of the cluster before the first test.
func Main(m *testing.M, o Options, ready func(*Cluster) error) int {
	c, err := Start(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	defer c.Remove()
	if err := ready(c); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	return m.Run()
}

// Start makes a cluster and starts it.
func Start(o Options) (_ *Cluster, err error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	user, err := serverUser()
	if err != nil {
		return nil, err
	}
	// Not a test's own folder: the server's user could not enter that, and a path
	// of a socket is short.
	folder, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	c := &Cluster{bin: bin, folder: folder, user: user}
	defer func() {
		if err != nil {
			c.Remove()
		}
	}()
	if c.addr, err = freeport.Take(); err != nil {
		return nil, err
	}
	if err := c.init(o); err != nil {
		return nil, err
	}
	return c, c.Run()
}

// init makes the cluster's files.
func (c *Cluster) init(o Options) error {
	if err := c.own(); err != nil {
		return err
	}
	args := []string{"-D", c.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"}
	out, err := c.command("initdb", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	settings := append([]string{
		"listen_addresses=127.0.0.1",
		"port=" + c.port(),
		"unix_socket_directories=" + c.folder,
		"max_connections=300",
		"shared_buffers=128MB",
		"fsync=" + onOff(o.Fsync),
		"log_min_messages=fatal",
	}, o.Settings...)
	var conf strings.Builder
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		fmt.Fprintf(&conf, "%s = '%s'\n", name, value)
	}
	return os.WriteFile(filepath.Join(c.data(), "postgresql.auto.conf"), []byte(conf.String()), 0o600)
}

// Run starts the server of a cluster that is stopped and waits until it answers.
func (c *Cluster) Run() error {
	p, err := start(c.command("postgres", "-D", c.data()))
	if err != nil {
		return err
	}
	c.proc = p
	deadline := time.Now().Add(time.Minute)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		conn, err := pgx.Connect(ctx, c.URL("postgres"))
		if err == nil {
			err = errors.Join(conn.Ping(ctx), conn.Close(ctx))
		}
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("the server ended while starting: %w: %s", p.err, p.out.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server does not answer: %w", err)
		}
	}
}

// Pid is the server's process id.
func (c *Cluster) Pid() int { return c.proc.cmd.Process.Pid }

// Stop ends the server at once, cutting every session off, and waits for it. What
// was committed is kept. Run starts it again.
func (c *Cluster) Stop() error { return c.end(syscall.SIGINT) }

// Kill ends the server as by a crash. Run recovers it.
func (c *Cluster) Kill() error { return c.end(syscall.SIGQUIT) }

// Signal sends the server a signal, such as SIGHUP to read its settings again.
func (c *Cluster) Signal(s syscall.Signal) error { return c.proc.cmd.Process.Signal(s) }

func (c *Cluster) end(s syscall.Signal) error {
	if c.proc == nil {
		return nil
	}
	if err := c.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.proc.done:
		c.proc = nil
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("server %d does not end", c.Pid())
	}
}

// Remove stops the server and removes its files.
func (c *Cluster) Remove() {
	if err := c.Kill(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
	}
	if err := os.RemoveAll(c.folder); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
	}
}

// Template is the connection string of the database that others are copied from.
// What ready makes there, every test finds in its own.
func (c *Cluster) Template() string { return c.URL("template1") }

// Database makes a copy of the template for a test and returns its connection
// string. It goes with the cluster: removing it alone costs a checkpoint.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	return c.database(t, "template1")
}

// EmptyDatabase is Database without what the template has.
func (c *Cluster) EmptyDatabase(t testing.TB) string {
	t.Helper()
	return c.database(t, "template0")
}

func (c *Cluster) database(t testing.TB, template string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", c.made.Add(1))
	c.exec(t, "CREATE DATABASE "+name+" TEMPLATE "+template)
	return c.URL(name)
}

// exec runs a statement in the maintenance database.
func (c *Cluster) exec(t testing.TB, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatal(err)
	}
}

// URL is the connection string of a database, over TCP.
func (c *Cluster) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: c.Addr(), Path: "/" + database,
		RawQuery: "sslmode=disable"}
	return u.String()
}

// Addr is where the server listens.
func (c *Cluster) Addr() string { return c.addr }

func (c *Cluster) port() string {
	_, port, _ := net.SplitHostPort(c.addr)
	return port
}

func (c *Cluster) data() string { return filepath.Join(c.folder, "data") }

// command is one of PostgreSQL's programs, run as the user it accepts.
func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.user}
	endWithParent(cmd.SysProcAttr)
	return cmd
}

// programs finds the folder of PostgreSQL's programs: the newest Debian keeps,
// or that of PATH.
func programs() (string, error) {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) > 0 {
		newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(newest), nil
	}
	path, err := exec.LookPath("initdb")
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", errors.New("PostgreSQL's programs initdb and postgres are not found; install them with scripts/test-deps, or the package postgresql")
	}
	return filepath.Dir(path), nil
}

// version reads the major version from a path of Debian's.
func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
