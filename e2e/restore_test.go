//go:build linux

package e2e_test

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

// TestARestoredBackupOnANewMachine restores a backup that was taken while the
// server ran, on a machine that has no spool of it, as after the loss of a disk.
func TestARestoredBackupOnANewMachine(t *testing.T) {
	t.Parallel()
	const grants = 5
	setUp := func(t *testing.T, mirror string) (*server, *judge, int) {
		j := newJudge(t, oracle.Options{Rotation: oracle.FamilyKill, AccessLife: time.Hour})
		s := newServer(t)
		s.configure(app(j.url, oracle.FamilyKill, "refresh: {min_interval: 1s}"), "")
		if mirror != "" {
			s.env = []string{"EVERGRANT_STORAGE_MIRROR=" + mirror}
		}
		s.start()
		for n := range grants {
			s.adopt(j, n, 3600)
		}
		s.refreshAll(grants)
		backup := filepath.Join(t.TempDir(), "backup.db")
		s.backup(backup)
		eventually(t, time.Minute, "the least time between two refreshes has passed", func() bool {
			res, err := s.Refresh(t.Context(), ref(grants-1))
			return err == nil && res[0].Refreshed
		})
		s.refreshAll(grants - 1)
		sends := j.Report().Sends
		if mirror == "" {
			s.kill()
		} else { // the mirror is a moment behind
			s.interrupt()
			s.ended()
		}
		if err := os.RemoveAll(s.data); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(s.data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(backup, filepath.Join(s.data, "evergrant.db")); err != nil {
			t.Fatal(err)
		}
		s.start()
		return s, j, sends
	}
	for range 10 { // the backup is taken at another moment every time
		t.Run("waits for an operator", func(t *testing.T) {
			t.Parallel()
			s, j, sends := setUp(t, "")
			if out := s.run("app", "show", "app"); !strings.Contains(out, "paused: its tokens may be spent") {
				t.Errorf("app show says\n%s", out)
			}
			if !strings.Contains(string(s.logged()), "evergrant app resume app") {
				t.Error("the log does not say what to do")
			}
			for n := range grants {
				if res, err := s.Refresh(t.Context(), ref(n)); err != nil || res[0].Refreshed || res[0].Reason != "app_paused" {
					t.Errorf("a demanded refresh came to %+v, %v", res, err)
				}
			}
			if n := j.Report().Sends; n != sends {
				t.Errorf("%d requests before anybody decided", n-sends)
			}
			// The operator knows better: the provider was told to forget, say.
			s.run("app", "resume", "app")
			eventually(t, time.Minute, "once resumed, a refresh is sent", func() bool {
				_, err := s.Refresh(t.Context(), ref(0))
				return err == nil && j.Report().Sends > sends
			})
		})
		t.Run("loses nothing with a mirror", func(t *testing.T) {
			t.Parallel()
			s, j, _ := setUp(t, filepath.Join(t.TempDir(), "mirror.db"))
			if out := s.run("app", "show", "app"); !strings.Contains(out, "works") {
				t.Errorf("app show says\n%s", out)
			}
			s.refreshAll(grants)
			for n := range grants {
				if token, err := s.Token(t.Context(), ref(n), nil); err != nil || !j.AccessValid(token.AccessToken) {
					t.Errorf("%s has no working token: %v", ref(n), err)
				}
			}
			if r := j.Report(); r.Sends != r.Rotations || r.TwoLate != 0 {
				t.Errorf("a spent token was sent: %+v", r)
			}
		})
	}
}

// refreshAll refreshes businesses 0 to n-1.
func (s *server) refreshAll(n int) {
	s.t.Helper()
	for i := range n {
		if res, err := s.Refresh(s.t.Context(), ref(i)); err != nil || !res[0].Refreshed {
			s.t.Fatalf("%s: %+v, %v", ref(i), res, err)
		}
	}
}

// backup copies the database while the server runs, as operators do.
func (s *server) backup(to string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.data, "evergrant.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`VACUUM INTO ?`, to); err != nil {
		s.t.Fatal(err)
	}
}

// run runs a command of the binary against the server, which must succeed, and
// returns what it printed.
func (s *server) run(args ...string) string {
	s.t.Helper()
	cmd := exec.Command(binary, append(args, "--config", s.config)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatal(fmt.Errorf("evergrant %s: %w\n%s", strings.Join(args, " "), err, out))
	}
	return string(out)
}
