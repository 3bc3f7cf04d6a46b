package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// get reads one row.
func (s *Store) get(ctx context.Context, query string, args []any, dest ...any) error {
	return s.read(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, query, clean(args)...).Scan(dest...)
	})
}

// each reads rows, calling row with the scanner of each.
func (s *Store) each(ctx context.Context, query string, args []any, row func(scanner) error) error {
	return s.read(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return eachRow(c.Query(ctx, query, clean(args)...))(row)
	})
}

// read runs a read on a session of the pool.
func (s *Store) read(ctx context.Context, run func(context.Context, *pgxpool.Conn) error) error {
	if err := s.begins(ctx); err != nil {
		return err
	}
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	bounded, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	return readError(ctx, run(bounded, conn))
}

// checkPage refuses a page no list can give.
func checkPage(limit int) error {
	if limit < 1 || limit > 1000 {
		return fmt.Errorf("page limit %d is not between 1 and 1000", limit)
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
	sql  strings.Builder
	args []any
}

// and adds a condition. Each "?" in it takes the next of args.
func (w *where) and(cond string, args ...any) {
	if w.sql.Len() == 0 {
		w.sql.WriteString(" WHERE (")
	} else {
		w.sql.WriteString(" AND (")
	}
	for i, part := range strings.Split(cond, "?") {
		if i > 0 {
			w.sql.WriteString(w.arg(args[i-1]))
		}
		w.sql.WriteString(part)
	}
	w.sql.WriteByte(')')
}

// arg adds an argument and returns what stands for it.
func (w *where) arg(v any) string {
	w.args = append(w.args, v)
	return "$" + strconv.Itoa(len(w.args))
}

// in adds that an expression is one of values; of none it never is.
func in(w *where, expr string, values []string) {
	w.and(expr+" = ANY(?::text[])", nonNil(values))
}
