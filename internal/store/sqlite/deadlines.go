package sqlite

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// deadlinesQuery walks the grants in the order of their deadlines.
const deadlinesQuery = `SELECT g.n, ` + grantColumns + grantTables + `
	WHERE g.app = ? AND g.deadline_at > 0 AND g.state IN ('connected', 'degraded') AND (g.deadline_at, g.n) > (?, ?) AND g.deadline_at < ?`

// ofKeys adds to a query on grants g and connections c that the key is one of those given.
func ofKeys(query string, args []any, keys []string) (string, []any) {
	if keys == nil {
		return query, args
	}
	return query + ` AND c.key IN (SELECT value FROM json_each(?))`, append(args, jsonColumn{nonNil(keys)})
}

// Deadlines implements [store.Deadlines]. A cursor is a deadline and a row's number.
func (s *Store) Deadlines(ctx context.Context, f store.DeadlineFilter, p store.Page) ([]grant.Grant, string, error) {
	if err := checkPage(p); err != nil {
		return nil, "", err
	}
	var deadline, n int64
	if p.Cursor != "" {
		a, b, _ := strings.Cut(p.Cursor, " ")
		var err error
		if deadline, err = strconv.ParseInt(a, 10, 64); err == nil {
			n, err = strconv.ParseInt(b, 10, 64)
		}
		if err != nil {
			return nil, "", fmt.Errorf("cursor %.40q is not one of deadlines", p.Cursor)
		}
	}
	query, args := ofKeys(deadlinesQuery, []any{f.App, deadline, n, untilMicros(f.Before)}, f.Keys)
	var rows []grantRow
	var numbers []int64
	err := s.list(ctx, query+` ORDER BY g.deadline_at, g.n LIMIT ?`, append(args, p.Limit+1), func(row scanner) error {
		var r grantRow
		var n int64
		err := row.Scan(append([]any{&n}, r.dest()...)...)
		rows, numbers = append(rows, r), append(numbers, n)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(rows) > p.Limit {
		rows = rows[:p.Limit]
		next = fmt.Sprintf("%d %d", micros(rows[p.Limit-1].DeadlineAt), numbers[p.Limit-1])
	}
	var grants []grant.Grant
	for i := range rows {
		grants = append(grants, rows[i].finish())
	}
	return grants, next, nil
}

// untilMicros is the end of a time span, which may have none.
func untilMicros(t time.Time) int64 {
	if t.IsZero() {
		return 1<<63 - 1
	}
	return micros(t)
}

const countDeadlinesQuery = `SELECT count(*) FROM grants g WHERE g.app = ? AND g.deadline_at > 0 AND g.deadline_at >= ? AND g.deadline_at < ?
	AND g.state IN ('connected', 'degraded')`

// CountDeadlines implements [store.Deadlines].
func (s *Store) CountDeadlines(ctx context.Context, f store.DeadlineFilter, before []time.Time) ([]int, error) {
	counts := make([]int, len(before))
	from, sum := int64(0), 0
	for i, until := range before {
		query, args := countDeadlinesQuery, []any{f.App, from, micros(until)}
		if f.Keys != nil {
			query, args = ofKeys(strings.Replace(query, "grants g", "grants g JOIN connections c ON c.n = g.connection_n", 1), args, f.Keys)
		}
		n := 0
		if err := s.list(ctx, query, args, func(row scanner) error { return row.Scan(&n) }); err != nil {
			return nil, err
		}
		sum += n
		counts[i], from = sum, micros(until)
	}
	return counts, ctx.Err()
}

// TellDeadline implements [store.Deadlines].
func (s *Store) TellDeadline(ctx context.Context, grantID string, deadline time.Time, event grant.Event) error {
	return s.w.do(ctx, func(t *tx) error {
		h, err := t.hold(grantID)
		if err != nil {
			return err
		}
		untold, err := t.exists(`SELECT 1 FROM grants WHERE n = ? AND deadline_at = ? AND told_deadline <> deadline_at
			AND state IN ('connected', 'degraded')`, h.n, micros(deadline))
		if err != nil {
			return err
		}
		if !untold {
			return fmt.Errorf("the deadline of grant %s: %w", grantID, store.ErrStale)
		}
		if _, err := t.exec(`UPDATE grants SET told_deadline = deadline_at WHERE n = ?`, h.n); err != nil {
			return err
		}
		return t.emit(h.about, event)
	})
}
