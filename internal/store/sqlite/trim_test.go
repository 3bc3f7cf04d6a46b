package sqlite

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func TestABacklogOfOldEventsGoesInBatches(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := openTemp(t, func(o *Options) { o.Now = func() time.Time { return now } })
	add := func(typ grant.EventType, n int) {
		t.Helper()
		err := s.AppendEvents(t.Context(), slices.Repeat([]grant.Event{{Type: typ}}, n)...)
		if err == nil {
			err = s.Check(t.Context()) // its turn comes when the look that this caused is over
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const old = 5000
	add(grant.GrantRefreshed, old)
	now = now.Add(store.KeepRefreshed + time.Hour)
	left := func() int { return count(t, s, `SELECT count(*) FROM events WHERE type = 'grant.refreshed'`) }
	for last := old; last > 0; {
		add(grant.EventAppAccepted, trimEvery)
		n := left()
		if n == last || last-n > trimBatch {
			t.Fatalf("a look left %d of %d events, want up to %d fewer", n, last, trimBatch)
		}
		last = n
	}
}

func TestTrimmingReadsOnlyWhatItRemoves(t *testing.T) {
	s := openTemp(t)
	plan := planOf(t, s, `SELECT coalesce(max(n), 0) FROM (SELECT n FROM events WHERE n > ? AND n < ? ORDER BY n LIMIT ?)`)
	if !strings.Contains(plan, "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)") {
		t.Errorf("the next batch is found by\n%s", plan)
	}
}

func TestALogThatCannotBeTrimmedCostsNothingElse(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := openTemp(t, func(o *Options) { o.Now = func() time.Time { return now } })
	if err := s.AppendEvents(t.Context(), grant.Event{Type: grant.GrantRefreshed}); err != nil {
		t.Fatal(err)
	}
	if err := s.w.do(t.Context(), func(t *tx) error {
		_, err := t.exec(`CREATE TRIGGER keep BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'kept'); END`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * store.KeepEvents)
	for range 2 * trimEvery {
		if err := s.AppendEvents(t.Context(), grant.Event{Type: grant.EventAppAccepted}); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s, `SELECT count(*) FROM events`); n != 2*trimEvery+1 {
		t.Errorf("%d events, want %d", n, 2*trimEvery+1)
	}
}
