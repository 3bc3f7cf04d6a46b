package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/evergrant/evergrant/internal/fault"
	"github.com/evergrant/evergrant/internal/store"
)

// scanner is a row to read from.
type scanner interface{ Scan(dest ...any) error }

// tx is one change in a transaction of its own. Writes wait in a queue and go to
// the server with the next read, or with the COMMIT.
type tx struct {
	s      *Store
	ctx    context.Context
	conn   *pgx.Conn
	now    time.Time // one moment for the whole transaction, to the microsecond
	writes pgx.Batch
	events eventRows
	about  string // the connection that is changed, for those who cache it
}

// attempts is how often a change is made again when others got in its way.
const attempts = 5

// change makes a change and returns when it is durable or has failed. Before it
// has begun, the end of ctx ends the wait.
func (s *Store) change(ctx context.Context, run func(*tx) error) error {
	for n := 1; ; n++ {
		if err := s.begins(ctx); err != nil {
			return err
		}
		err := s.once(ctx, run)
		if !again(err) || n == attempts {
			return err
		}
	}
}

// once makes a change once.
func (s *Store) once(ctx context.Context, run func(*tx) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	ctx, cancel := s.detached()
	defer cancel()
	t := &tx{s: s, ctx: ctx, conn: conn.Conn()}
	if err = t.begin(); err == nil {
		err = t.call(run)
	}
	if err == nil {
		err = t.commit()
	}
	if err != nil {
		t.rollback()
		s.suspect(err)
		return err
	}
	s.trimmer.added(s, len(t.events.types))
	return nil
}

// acquire takes a session from the pool. The end of ctx ends the wait.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	conn, err := s.pool.Acquire(bounded)
	if err != nil {
		return nil, readError(ctx, err)
	}
	return conn, nil
}

// suspect gives up every session to a server that takes no writes any more: its
// successor may be somewhere else.
func (s *Store) suspect(err error) {
	if sqlState(err) == readOnlyTransaction {
		s.pool.Reset()
	}
}

// begin starts the transaction and reads the clock.
func (t *tx) begin() error {
	var b pgx.Batch
	b.Queue(`BEGIN`)
	b.Queue(`SELECT coalesce($1, clock_timestamp())`, t.s.clock()).QueryRow(func(row pgx.Row) error {
		return row.Scan(timeColumn{&t.now})
	})
	return dbError(t.conn.SendBatch(t.ctx, &b).Close())
}

// call runs the change. A caller's function may panic; that is its failure.
func (t *tx) call(run func(*tx) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the change panicked: %v", r)
		}
	}()
	return run(t)
}

// commit sends what is queued, the events and the COMMIT together.
func (t *tx) commit() error {
	if err := fault.Point("store.before-commit"); err != nil {
		return fmt.Errorf("%w: commit: %w", store.ErrUnavailable, err)
	}
	t.notify()
	t.appendEvents()
	var tag pgconn.CommandTag
	t.writes.Queue(`COMMIT`).Exec(func(ct pgconn.CommandTag) error {
		tag = ct
		return nil
	})
	if err := t.flush(); err != nil {
		return err
	}
	if tag.String() != "COMMIT" {
		return fmt.Errorf("%w: commit became %s", store.ErrUnavailable, tag)
	}
	if err := fault.Point("store.committed"); err != nil { // durable, and nobody here knows
		return fmt.Errorf("%w: the answer to a commit is lost: %w", store.ErrUnavailable, err)
	}
	return nil
}

// rollback undoes the open transaction. A session that cannot do that is broken
// and the pool drops it.
func (t *tx) rollback() {
	if !t.conn.IsClosed() {
		_, _ = t.conn.Exec(t.ctx, `ROLLBACK`)
	}
}

// write queues a write.
func (t *tx) write(query string, args ...any) *pgx.QueuedQuery {
	return t.writes.Queue(query, clean(args)...)
}

// flush sends what is queued.
func (t *tx) flush() error {
	if t.writes.Len() == 0 {
		return nil
	}
	b := t.writes
	t.writes = pgx.Batch{}
	return dbError(t.conn.SendBatch(t.ctx, &b).Close())
}

// get reads one row. A missing one is [store.ErrNotFound].
func (t *tx) get(query string, args []any, dest ...any) error {
	if err := t.flush(); err != nil {
		return err
	}
	return dbError(t.conn.QueryRow(t.ctx, query, clean(args)...).Scan(dest...))
}

// each reads rows, calling row with the scanner of each.
func (t *tx) each(query string, args []any, row func(scanner) error) error {
	if err := t.flush(); err != nil {
		return err
	}
	return dbError(eachRow(t.conn.Query(t.ctx, query, clean(args)...))(row))
}

// exists reports whether a query finds a row.
func (t *tx) exists(query string, args ...any) (bool, error) {
	var one int
	err := t.get(query, args, &one)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// made sends what is queued and then a write, and returns how many rows it
// touched.
func (t *tx) made(query string, args ...any) (int64, error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	tag, err := t.conn.Exec(t.ctx, query, clean(args)...)
	return tag.RowsAffected(), dbError(err)
}

// eachRow returns what calls a function for every row and closes them.
func eachRow(rows pgx.Rows, err error) func(func(scanner) error) error {
	return func(row func(scanner) error) error {
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := row(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}
