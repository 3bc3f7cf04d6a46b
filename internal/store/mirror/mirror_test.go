package mirror

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func entry(id string, epochN, seq int64) store.Newest {
	return store.Newest{
		GrantID: id, Version: grant.Version{Epoch: epochN, Seq: seq}, Sealed: []byte(fmt.Sprint("sealed ", epochN, ".", seq)),
		IssuedAt: epoch, ExpiresAt: epoch.Add(time.Hour), DeadlineAt: epoch.Add(240 * time.Hour), Scope: "a b",
	}
}

// run opens the file, does something, and closes it.
func run(t *testing.T, path string, do func(*Mirror)) {
	t.Helper()
	m, err := Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	do(m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func newestFirst(t *testing.T, m *Mirror) []store.Newest {
	t.Helper()
	var all []store.Newest
	for e, err := range m.NewestFirst(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestTheNewestOfEveryGrantIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mirror.db")
	run(t, path, func(m *Mirror) {
		for seq := range int64(3) {
			m.Put(entry("grant_a", 1, seq))
		}
		m.Put(entry("grant_b", 2, 7))
		m.Put(entry("grant_b", 2, 6)) // late
		must(t, m.flush())
		m.Put(entry("grant_b", 1, 9)) // later still
		must(t, m.flush())
		m.Put(entry("grant_a", 1, 3))
		must(t, m.flush())
		if got := newestFirst(t, m); got != nil {
			t.Errorf("a run sees its own entries: %v", got)
		}
	})
	run(t, path, func(m *Mirror) {
		if diff := cmp.Diff([]store.Newest{entry("grant_a", 1, 3), entry("grant_b", 2, 7)}, newestFirst(t, m)); diff != "" {
			t.Errorf("newest first (-want +got):\n%s", diff)
		}
	})
}

func TestWhatALaterRunWritesReplacesWhateverWasThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mirror.db")
	run(t, path, func(m *Mirror) { m.Put(entry("grant_a", 1, 40)) })
	run(t, path, func(m *Mirror) {
		m.Put(entry("grant_a", 1, 6)) // the store was redone, and counts anew
		must(t, m.flush())
		m.Put(entry("grant_a", 1, 5))
	})
	run(t, path, func(m *Mirror) {
		if diff := cmp.Diff([]store.Newest{entry("grant_a", 1, 6)}, newestFirst(t, m)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestEntriesAreReadNewestFirstAcrossPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mirror.db")
	const n = 700
	run(t, path, func(m *Mirror) {
		for i := range n {
			m.Put(entry(fmt.Sprintf("grant_%03d", i), 1, 1))
			must(t, m.flush())
		}
	})
	run(t, path, func(m *Mirror) {
		all := newestFirst(t, m)
		if len(all) != n {
			t.Fatalf("%d entries", len(all))
		}
		for i, e := range all {
			if want := fmt.Sprintf("grant_%03d", n-1-i); e.GrantID != want {
				t.Fatalf("entry %d is %s, want %s", i, e.GrantID, want)
			}
		}
	})
}

func TestAnEndIsKeptToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mirror.db")
	run(t, path, func(m *Mirror) {
		m.Put(entry("grant_a", 1, 4))
		m.end("grant_a", grant.Version{Epoch: 1, Seq: 4})
	})
	run(t, path, func(m *Mirror) {
		want := []store.Newest{{GrantID: "grant_a", Version: grant.Version{Epoch: 2}, Ended: true}}
		if diff := cmp.Diff(want, newestFirst(t, m)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestRunsAreKeptUntilOthersAreAndWhatIsForgottenIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mirror.db")
	runs := func(m *Mirror, want ...string) {
		t.Helper()
		got, err := m.Runs(t.Context())
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	run(t, path, func(m *Mirror) {
		runs(m)
		must(t, m.SetRuns(t.Context(), "", "run_1"))
		m.Put(entry("grant_a", 1, 1))
	})
	run(t, path, func(m *Mirror) {
		runs(m, "run_1")
		must(t, m.SetRuns(t.Context(), "run_1", "run_2"))
		runs(m, "run_1", "run_2")
		must(t, m.SetRuns(t.Context(), "run_2", "run_3", "run_3"))
		m.Put(entry("grant_b", 1, 1))
		must(t, m.flush())
		must(t, m.Forget(t.Context()))
	})
	run(t, path, func(m *Mirror) {
		runs(m, "run_2", "run_3")
		if diff := cmp.Diff([]store.Newest{entry("grant_b", 1, 1)}, newestFirst(t, m)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestWhatCannotBeWrittenIsTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mirror.db")
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		m, err := Open(t.Context(), path, slog.New(slog.NewTextHandler(&log, nil)))
		must(t, err)
		exec := func(sql string) {
			_, err := m.db.Exec(sql)
			must(t, err)
		}
		exec(`ALTER TABLE newest RENAME TO away`)
		m.Put(entry("grant_a", 1, 1))
		m.Put(entry("grant_b", 1, 1))
		time.Sleep(10 * time.Second)
		m.Put(entry("grant_a", 1, 2))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if m.Check() == nil {
			t.Error("a mirror that cannot be written is well")
		}
		if n := strings.Count(log.String(), "cannot be written"); n != 1 {
			t.Errorf("it is logged %d times", n)
		}
		exec(`ALTER TABLE away RENAME TO newest`)
		time.Sleep(retry + time.Second)
		synctest.Wait()
		if err := m.Check(); err != nil {
			t.Errorf("once it can be written: %v", err)
		}
		must(t, m.Close())
	})
	run(t, path, func(m *Mirror) {
		if all := newestFirst(t, m); len(all) != 2 || all[0].Version.Seq+all[1].Version.Seq != 3 {
			t.Errorf("it has %+v", all)
		}
	})
}

func TestASecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mirror.db")
	run(t, path, func(*Mirror) {
		_, err := Open(t.Context(), path, slog.New(slog.DiscardHandler))
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), path) {
			t.Errorf("error is %v", err)
		}
	})
}

func TestOpenSaysWhatToDo(t *testing.T) {
	_, err := Open(t.Context(), filepath.Join(t.TempDir(), "none", "mirror.db"), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "storage.mirror") {
		t.Errorf("error is %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
