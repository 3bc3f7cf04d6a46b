//go:build linux

package e2e_test

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

// TestADatabaseThatFailsAtCommit takes the database away from a server while the
// answers to its refreshes are awaited, and gives it back.
func TestADatabaseThatFailsAtCommit(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*server) (heal func()){
		"another program has it locked": (*server).lockDatabase,
		"there is no room for its log":  (*server).limitFiles,
	} {
		for then, dies := range map[string]bool{"and comes back": false, "and the server dies": true} {
			t.Run(name+" "+then, func(t *testing.T) {
				t.Parallel()
				failAtCommit(t, fail, dies)
			})
		}
	}
}

func failAtCommit(t *testing.T, fail func(*server) func(), dies bool) {
	const awaited, other = 3, 3 // other is the number of one more grant
	o := oracle.New(oracle.Options{Rotation: oracle.FamilyKill, AccessLife: time.Hour})
	var arrived atomic.Int32
	answer := make(chan struct{})
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		<-answer
		o.ServeHTTP(w, r)
	}))
	t.Cleanup(gate.Close)
	s := newServer(t)
	s.configure(app(gate.URL, oracle.FamilyKill, ""), "")
	s.start()
	for n := range awaited + 1 {
		s.adopt(&judge{Server: o}, n, 3600)
	}
	var callers sync.WaitGroup
	for n := range awaited {
		callers.Go(func() {
			if res, err := s.Refresh(t.Context(), ref(n)); err != nil || !res[0].Refreshed {
				t.Errorf("%s: %+v, %v", ref(n), res, err)
			}
		})
	}
	eventually(t, time.Minute, "the refreshes are under way", func() bool { return arrived.Load() == awaited })
	heal := fail(s)
	close(answer)
	callers.Wait()
	for n := range awaited {
		if token, err := s.Token(t.Context(), ref(n), nil); err != nil || !o.AccessValid(token.AccessToken) {
			t.Errorf("%s has no working token while the database cannot be written: %v", ref(n), err)
		}
	}
	if s.answers("/readyz") {
		t.Error("the server says that it is ready")
	}
	if res, err := s.Refresh(t.Context(), ref(other)); err == nil && res[0].Refreshed {
		t.Errorf("%s was refreshed without a durable intent", ref(other))
	}
	if n := arrived.Load(); n != awaited {
		t.Errorf("the provider saw %d requests, want %d", n, awaited)
	}

	if dies {
		s.kill()
	}
	heal()
	if dies {
		s.start()
	}
	eventually(t, 30*time.Second, "every answer is committed", func() bool {
		for n := range awaited {
			if g := s.grant(ref(n)); g.Seq != 1 || g.State != "connected" {
				return false
			}
		}
		return s.answers("/readyz")
	})
	for n := range awaited + 1 {
		if token, err := s.Token(t.Context(), ref(n), nil); err != nil || !o.AccessValid(token.AccessToken) {
			t.Errorf("%s: the token does not work: %v", ref(n), err)
		}
	}
	if r := o.Report(); r.Sends != awaited || r.Overlaps != 0 {
		t.Errorf("the provider saw %+v, want %d sends", r, awaited)
	}
	page, err := s.Events(t.Context(), client.EventFilter{Types: []string{"grant.refreshed"}, Limit: 100})
	if err != nil || len(page.Data) != awaited {
		t.Errorf("%d events of %d refreshes, %v", len(page.Data), awaited, err)
	}
}

func (s *server) database() string { return filepath.Join(s.data, "evergrant.db") }

// lockDatabase holds the database's write lock until heal.
func (s *server) lockDatabase() (heal func()) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.database()+"?_pragma=busy_timeout(10000)")
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := conn.ExecContext(context.Background(), "BEGIN IMMEDIATE"); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if err := conn.Close(); err != nil {
			s.t.Error(err)
		}
		if err := db.Close(); err != nil {
			s.t.Error(err)
		}
	}
}

// limitFiles keeps the server from writing files beyond the size the database's
// log has, until heal.
func (s *server) limitFiles() (heal func()) {
	s.t.Helper()
	wal, err := os.Stat(s.database() + "-wal")
	if err != nil {
		s.t.Fatal(err)
	}
	pid := s.process.Process.Pid
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(wal.Size()), Max: unix.RLIM_INFINITY}, &before); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if s.process == nil { // it took its limit with it
			return
		}
		if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &before, nil); err != nil {
			s.t.Error(err)
		}
	}
}
