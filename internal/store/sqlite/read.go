package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/evergrant/evergrant/internal/store"
)

// prepared returns the prepared statement of a constant text.
func (s *Store) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	s.reads.RLock()
	st := s.reads.stmts[query]
	s.reads.RUnlock()
	if st != nil {
		return st, nil
	}
	st, err := s.rdb.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.reads.Lock()
	defer s.reads.Unlock()
	if first := s.reads.stmts[query]; first != nil {
		_ = st.Close() // another read prepared it meanwhile
		return first, nil
	}
	s.reads.stmts[query] = st
	return st, nil
}

// get reads one row with a constant query.
func (s *Store) get(ctx context.Context, query string, args []any, dest ...any) error {
	st, err := s.prepared(ctx, query)
	if err == nil {
		err = st.QueryRowContext(ctx, args...).Scan(dest...)
	}
	return readError(ctx, err)
}

// each reads rows with a constant query.
func (s *Store) each(ctx context.Context, query string, args []any, row func(scanner) error) error {
	st, err := s.prepared(ctx, query)
	if err != nil {
		return readError(ctx, err)
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return readError(ctx, err)
	}
	return readError(ctx, eachRow(rows, row))
}

// list reads rows with a query that was put together for its filter.
func (s *Store) list(ctx context.Context, query string, args []any, row func(scanner) error) error {
	rows, err := s.rdb.QueryContext(ctx, query, args...)
	if err != nil {
		return readError(ctx, err)
	}
	return readError(ctx, eachRow(rows, row))
}

// readError tells the caller's own cancellation from the database's trouble.
func readError(ctx context.Context, err error) error {
	if err != nil && !errors.Is(err, sql.ErrNoRows) && ctx.Err() != nil {
		return ctx.Err()
	}
	return dbError(err)
}

// checkPage refuses a page no list can give.
func checkPage(p store.Page) error {
	if p.Limit < 1 || p.Limit > 1000 {
		return fmt.Errorf("page limit %d is not between 1 and 1000", p.Limit)
	}
	return nil
}

// clip cuts rows, of which one more than a page was asked for, to the page. It
// returns the cursor of the next one, made by id from the last row.
func clip[T any](rows []T, limit int, id func(T) string) ([]T, string) {
	if len(rows) <= limit {
		return rows, ""
	}
	rows = rows[:limit]
	return rows, id(rows[limit-1])
}

// where puts a filter together: conditions that must all hold, with arguments.
type where struct {
	sql  []byte
	args []any
}

// and adds a condition.
func (w *where) and(cond string, args ...any) {
	if len(w.sql) == 0 {
		w.sql = append(w.sql, " WHERE "...)
	} else {
		w.sql = append(w.sql, " AND "...)
	}
	w.sql = append(append(append(w.sql, '('), cond...), ')')
	w.args = append(w.args, args...)
}

// in adds that an expression is one of values; of none it never is.
func in[T ~string](w *where, expr string, values []T) {
	w.and(expr+" IN (SELECT value FROM json_each(?))", jsonColumn{nonNil(values)})
}

// nonNil makes nil an empty list, which json_each takes for one.
func nonNil[T any](values []T) []T {
	if values == nil {
		return []T{}
	}
	return values
}
