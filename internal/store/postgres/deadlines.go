package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// deadlinesOf selects, of grants g, those of a filter but for its end.
func deadlinesOf(f store.DeadlineFilter) *where {
	var w where
	w.and("g.app = ? AND g.deadline_at IS NOT NULL AND g.state IN ('connected', 'degraded')", f.App)
	if f.Keys != nil {
		in(&w, "g.key", f.Keys)
	}
	return &w
}

// deadlinesQuery walks the grants in the order of their deadlines.
func deadlinesQuery(f store.DeadlineFilter, p store.Page) (string, []any, error) {
	w := deadlinesOf(f)
	if !f.Before.IsZero() {
		w.and("g.deadline_at < ?", stamp(f.Before))
	}
	if p.Cursor != "" {
		at, id, _ := strings.Cut(p.Cursor, " ")
		deadline, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			return "", nil, fmt.Errorf("cursor %.60q is not one of deadlines", p.Cursor)
		}
		w.and("(g.deadline_at, g.id) > (?, ?)", stamp(deadline), id)
	}
	query := `SELECT ` + grantColumns + ` FROM grants g` + w.sql.String() + ` ORDER BY g.deadline_at, g.id LIMIT ` + w.arg(p.Limit+1)
	return query, w.args, nil
}

// Deadlines implements [store.Deadlines]. A cursor is a deadline and a grant's id.
func (s *Store) Deadlines(ctx context.Context, f store.DeadlineFilter, p store.Page) ([]grant.Grant, string, error) {
	if err := checkPage(p.Limit); err != nil {
		return nil, "", err
	}
	query, args, err := deadlinesQuery(f, p)
	if err != nil {
		return nil, "", err
	}
	var grants []grant.Grant
	err = s.each(ctx, query, args, func(row scanner) error {
		var r grantRow
		err := row.Scan(r.dest()...)
		grants = append(grants, r.finish())
		return err
	})
	if err != nil {
		return nil, "", err
	}
	grants, next := clip(grants, p.Limit, func(g grant.Grant) string { return g.DeadlineAt.Format(time.RFC3339Nano) + " " + g.ID })
	return grants, next, nil
}

// CountDeadlines implements [store.Deadlines].
func (s *Store) CountDeadlines(ctx context.Context, f store.DeadlineFilter, before []time.Time) ([]int, error) {
	counts := make([]int, len(before))
	from, sum := time.Time{}, 0
	for i, until := range before {
		w := deadlinesOf(f)
		if !from.IsZero() {
			w.and("g.deadline_at >= ?", stamp(from))
		}
		w.and("g.deadline_at < ?", stamp(until))
		n := 0
		if err := s.get(ctx, `SELECT count(*) FROM grants g`+w.sql.String(), w.args, &n); err != nil {
			return nil, err
		}
		sum += n
		counts[i], from = sum, until
	}
	return counts, s.begins(ctx)
}

// TellDeadline implements [store.Deadlines].
func (s *Store) TellDeadline(ctx context.Context, grantID string, deadline time.Time, event grant.Event) error {
	return s.change(ctx, func(t *tx) error {
		h, err := t.hold(grantID)
		if err != nil {
			return err
		}
		connection, id := h.key()
		n, err := t.made(`UPDATE grants SET told_deadline = deadline_at WHERE connection_id = $1 AND id = $2
			AND deadline_at = $3 AND told_deadline IS DISTINCT FROM deadline_at AND state IN ('connected', 'degraded')`,
			connection, id, stamp(deadline))
		if err == nil && n == 0 {
			err = fmt.Errorf("the deadline of grant %s: %w", grantID, store.ErrStale)
		}
		if err != nil {
			return err
		}
		return t.emit(h.about, event)
	})
}
