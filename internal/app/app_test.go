package app

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newConfig returns a configuration with everything in a folder of its own. The
// folder's path is short, because sockets lie in it.
func newConfig(t *testing.T) *config.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "eg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	key := seal.GenerateMaster().Reveal()
	c, err := config.Parse([]byte(`version: 1
server: {public_url: http://localhost:8420, listen: "127.0.0.1:0", private_listen: "127.0.0.1:0"}
encryption: {keys: [{id: k1, file: master.key}]}
`), config.Source{
		Dir:       dir,
		LookupEnv: func(string) (string, bool) { return "", false },
		ReadFile:  func(string) ([]byte, error) { return []byte(key), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newApp(t *testing.T, c *config.Config) (*App, error) {
	t.Helper()
	return New(t.Context(), Options{Config: c, Version: "test", Logger: slog.New(slog.DiscardHandler)})
}

// get asks for a path and returns status and body. network and address say where.
func get(t *testing.T, network, address, path string) (int, string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get("http://evergrant" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestAServerServesItsThreeListenersAndTakesItsSocketsAlong(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	a, err := newApp(t, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, network, address, path string
		status                       int
	}{
		{"the public listener serves merchants", "tcp", a.PublicAddr(), "/connect/nothing", http.StatusNotFound},
		{"the public listener serves no API", "tcp", a.PublicAddr(), "/v1/connections", http.StatusNotFound},
		{"the private listener asks for a key", "tcp", a.PrivateAddr(), "/v1/connections", http.StatusUnauthorized},
		{"the private listener is live", "tcp", a.PrivateAddr(), "/livez", http.StatusOK},
		{"the private listener is ready", "tcp", a.PrivateAddr(), "/readyz", http.StatusOK},
		{"the admin socket asks for no key", "unix", c.Socket(), "/v1/connections", http.StatusOK},
	} {
		if got, body := get(t, tt.network, tt.address, tt.path); got != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.name, got, tt.status, body)
		}
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(c.Socket()); !os.IsNotExist(err) {
		t.Errorf("the admin socket is left behind: %v", err)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Errorf("a second stop fails: %v", err)
	}
}

func TestAServerThatWasNeverStartedStops(t *testing.T) {
	t.Parallel()
	a, err := newApp(t, newConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	a, err := newApp(t, newConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestAFailedStartLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	if err := os.WriteFile(c.Spool, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newApp(t, c); err == nil || strings.Contains(err.Error(), "\n") {
		t.Fatalf("want an error of one line, got %v", err)
	}
	if err := os.Remove(c.Spool); err != nil {
		t.Fatal(err)
	}
	a, err := newApp(t, c) // the database's lock is free again
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestASecondServerOnADatabaseIsRefused(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	first, err := newApp(t, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newApp(t, c); err == nil || !strings.Contains(err.Error(), filepath.Base(c.Storage.SQLite)) {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Lstat(c.Socket()); err != nil {
		t.Errorf("the first server's socket is gone: %v", err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
