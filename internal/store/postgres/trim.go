package postgres

import (
	"context"
	"sync"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const (
	// trimEvery is after how many of this process's events old ones are looked for,
	// and trimBatch how many rows one look takes. Looking at more than were added
	// works a backlog off, also that of processes that are gone.
	trimEvery = 256
	trimBatch = 4 * trimEvery
	// trimLock is the advisory lock of whoever trims: "EvGr" and a two.
	trimLock = 0x45764772_00000002
)

// trimmer removes what has outlived its time from the log, beside the changes
// that add to it.
type trimmer struct {
	mu     sync.Mutex
	since  int   // events added since the last look
	passed int64 // no refresh up to this event is left
	busy   bool
	work   sync.WaitGroup
}

// newTrimmer looks for the first time with the first event.
func newTrimmer() trimmer { return trimmer{since: trimEvery} }

// added counts events and starts a look if it is time to. What could not be
// removed is found again the next time.
func (r *trimmer) added(s *Store, events int) {
	if events == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since += events
	if r.since < trimEvery || r.busy {
		return
	}
	r.since, r.busy = r.since%trimEvery, true
	r.work.Go(func() {
		passed, err := s.trim(r.passed)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy = false
		if err == nil {
			r.passed = passed
		}
	})
}

func (r *trimmer) wait() { r.work.Wait() }

// trim removes a batch of old events, unless another process is at it. Up to
// after there is no refresh left; it returns what holds now.
func (s *Store) trim(after int64) (passed int64, err error) {
	err = s.change(context.Background(), func(t *tx) error {
		passed = after
		var mine bool
		if err := t.get(`SELECT pg_try_advisory_xact_lock($1)`, []any{int64(trimLock)}, &mine); err != nil || !mine {
			return err
		}
		if _, err := t.trimUpTo(0, t.before(store.KeepEvents), `DELETE FROM events WHERE n > $1 AND n <= $2`); err != nil {
			return err
		}
		passed, err = t.trimUpTo(after, t.before(store.KeepRefreshed),
			`DELETE FROM events WHERE n > $1 AND n <= $2 AND type = '`+string(grant.GrantRefreshed)+`'`)
		return err
	})
	return passed, err
}

const trimQuery = `SELECT coalesce(max(n), 0) FROM (SELECT n FROM events WHERE n > $1 AND n < $2 ORDER BY n LIMIT $3) AS old`

// trimUpTo runs remove over the next batch of events between two numbers and
// returns the last that was looked at.
func (t *tx) trimUpTo(after, before int64, remove string) (int64, error) {
	var last int64
	if err := t.get(trimQuery, []any{after, before, trimBatch}, &last); err != nil || last == 0 {
		return after, err
	}
	t.write(remove, after, last)
	return last, nil
}
