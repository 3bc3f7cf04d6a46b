package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/store"
)

// isDue is what makes grants_due the index to answer from.
const isDue = `g.due_at IS NOT NULL AND g.state IN ('connected', 'degraded')`

const nextDueQuery = `SELECT g.due_at FROM grants g WHERE g.app = $1 AND ` + isDue + ` ORDER BY g.due_at LIMIT 1`

// NextDue implements [store.Attempts].
func (s *Store) NextDue(ctx context.Context, app string) (time.Time, bool, error) {
	var due time.Time
	err := s.get(ctx, nextDueQuery, []any{app}, timeColumn{&due})
	if errors.Is(err, store.ErrNotFound) {
		return time.Time{}, false, nil
	}
	return due, err == nil, err
}

// Settle implements [store.Attempts].
func (s *Store) Settle(ctx context.Context, r store.Settlement) error {
	return s.change(ctx, func(t *tx) error {
		h, err := t.holdAt(r.GrantID, r.Of)
		if err != nil {
			return err
		}
		if h.Attempt == nil || h.Attempt.ID != r.AttemptID {
			return fmt.Errorf("grant %s: attempt %s is not open: %w", r.GrantID, r.AttemptID, store.ErrStale)
		}
		end := closed
		if r.Hold {
			end = `attempt_unknown = true`
		}
		connection, id := h.key()
		t.write(`UPDATE grants SET due_at = $3, state = $4, reason = $5, since = $6, next_try_at = $7,
				failures = $8, refusals = $9, refused_at = $10, `+end+` WHERE connection_id = $1 AND id = $2`,
			connection, id, stamp(r.DueAt), r.Status.State, r.Status.Reason, stamp(r.Status.Since), stamp(r.Status.NextTryAt),
			r.Failures, r.Refusals, stamp(r.RefusedAt))
		return t.conclude(h, r.Status, r.Events)
	})
}
