package sqlite

import (
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/eventid"
)

const (
	// trimEvery is after how many new events old ones are looked for, and
	// trimBatch how many rows one look takes. Looking at more than were added
	// works a backlog off; doing it rarely keeps commits from paying for it.
	trimEvery = 256
	trimBatch = 4 * trimEvery
)

// trimmer removes what has outlived its time from the log. It is the writer's.
type trimmer struct {
	since  int   // events added since the last look
	passed int64 // no refresh up to this event is left
}

// newTrimmer looks for the first time with the first event.
func newTrimmer() trimmer { return trimmer{since: trimEvery} }

// trim removes a batch of old events if it is time to. It is a transaction of
// its own, so that nobody waits for it and its failure is nobody else's; what
// could not be removed is found again the next time.
func (w *writer) trim() {
	if w.trimmer.since < trimEvery {
		return
	}
	w.trimmer.since = 0
	passed := w.trimmer.passed
	o := &op{run: func(t *tx) error {
		if _, err := t.trimUpTo(0, t.before(store.KeepEvents), `DELETE FROM events WHERE n > ? AND n <= ?`); err != nil {
			return err
		}
		var err error
		passed, err = t.trimUpTo(passed, t.before(store.KeepRefreshed),
			`DELETE FROM events WHERE n > ? AND n <= ? AND type = '`+string(grant.GrantRefreshed)+`'`)
		return err
	}}
	w.run([]*op{o})
	if o.err == nil {
		w.trimmer.passed = passed
	}
}

// before is the number below which events are older than d.
func (t *tx) before(d time.Duration) int64 { return eventid.First(t.now.Add(-d).UnixMilli()) }

// trimUpTo runs remove over the next batch of events between two numbers and
// returns the last that was looked at.
func (t *tx) trimUpTo(after, before int64, remove string) (int64, error) {
	var last int64
	err := t.get(`SELECT coalesce(max(n), 0) FROM (SELECT n FROM events WHERE n > ? AND n < ? ORDER BY n LIMIT ?)`,
		[]any{after, before, trimBatch}, &last)
	if err != nil || last == 0 {
		return after, err
	}
	_, err = t.exec(remove, after, last)
	return last, err
}
