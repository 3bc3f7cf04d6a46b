package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/evergrant/evergrant/internal/fault"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// maxGroup bounds how many changes share one transaction, and with it how long
// the first of them waits for the last.
const maxGroup = 256

// writer is the only one that writes the database. Changes that arrive while it
// is busy wait for it in a queue and become durable together, with one fsync.
//
// A change must read before it writes: if it returns an error without having
// written, the others of its group do not notice. If it fails later, the group
// is rolled back and its changes are made one by one.
type writer struct {
	conn           *sql.Conn
	stmts          map[string]*sql.Stmt // by their text, which is always a constant
	now            func() time.Time
	lastEvent      int64
	lastCredential int64
	opened         opened
	trimmer        trimmer
	published      func([]grant.Event)

	ops     chan *op // not buffered: an op that was received will be run
	closing chan struct{}
	done    chan struct{}
}

// op is one queued change.
type op struct {
	run  func(*tx) error
	err  error
	done chan struct{}
}

// tx is the transaction a group of changes shares.
type tx struct {
	w      *writer
	now    time.Time // one moment for the whole transaction, to the microsecond
	events []grant.Event
	wrote  bool // by the op that is running
	broken bool // a statement of the op that is running failed
}

// newWriter begins where the database ends. It takes the connection over.
func newWriter(ctx context.Context, conn *sql.Conn, now func() time.Time, published func([]grant.Event)) (*writer, error) {
	w := &writer{
		conn:      conn,
		stmts:     make(map[string]*sql.Stmt),
		now:       now,
		opened:    make(opened),
		trimmer:   newTrimmer(),
		published: published,
		ops:       make(chan *op),
		closing:   make(chan struct{}),
		done:      make(chan struct{}),
	}
	err := conn.QueryRowContext(ctx, `SELECT (SELECT coalesce(max(n), 0) FROM events), (SELECT coalesce(max(n), 0) FROM credentials)`).
		Scan(&w.lastEvent, &w.lastCredential)
	return w, err
}

// nextCredential numbers a new row of credentials.
func (w *writer) nextCredential() int64 {
	w.lastCredential++
	return w.lastCredential
}

// do runs a change and returns when it is durable or has failed. Before the
// change has begun, the end of ctx ends the wait.
func (w *writer) do(ctx context.Context, run func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o := &op{run: run, done: make(chan struct{})}
	select {
	case w.ops <- o:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return errClosed
	}
	<-o.done
	return o.err
}

// errClosed is what every method returns after Close.
var errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)

// loop runs until the writer is closed and nothing waits any more.
func (w *writer) loop() {
	defer close(w.done)
	group := make([]*op, 0, maxGroup)
	for {
		select {
		case o := <-w.ops:
			// The first to ask would else have a transaction to itself, where there
			// are fewer cores than goroutines that are about to ask too.
			runtime.Gosched()
			group = w.gather(append(group[:0], o))
		case <-w.closing:
			group = w.gather(group[:0])
			if len(group) == 0 {
				return
			}
		}
		w.run(group)
		for _, o := range group {
			close(o.done)
		}
		w.trim()
	}
}

// gather adds what is waiting now to a group.
func (w *writer) gather(group []*op) []*op {
	for len(group) < maxGroup {
		select {
		case o := <-w.ops:
			group = append(group, o)
		default:
			return group
		}
	}
	return group
}

// run makes the changes of a group together if it can, else one by one.
func (w *writer) run(group []*op) {
	if w.try(group) {
		return
	}
	for i := range group {
		w.try(group[i : i+1])
	}
}

// try makes changes in one transaction. It returns false if it had to undo all
// of them because of one; then they must be tried alone.
func (w *writer) try(group []*op) bool {
	for _, o := range group {
		o.err = nil
	}
	t, err := w.begin()
	if err != nil {
		failAll(group, err)
		return true
	}
	for _, o := range group {
		t.wrote, t.broken = false, false
		o.err = t.call(o.run)
		if o.err == nil || !t.wrote && !t.broken {
			continue
		}
		w.rollback()
		return len(group) == 1
	}
	if err := w.commit(); err != nil {
		w.rollback()
		failAll(group, fmt.Errorf("%w: commit: %w", store.ErrUnavailable, err))
		return true
	}
	if w.published != nil && len(t.events) > 0 {
		w.published(t.events)
	}
	return true
}

// commit makes the open transaction durable.
func (w *writer) commit() error {
	if err := fault.Point("store.before-commit"); err != nil {
		return err
	}
	if _, err := w.exec("COMMIT"); err != nil {
		return err
	}
	_ = fault.Point("store.committed") // SQLite never reports a failure of what is durable
	return nil
}

// failAll gives every change that had no error of its own this one.
func failAll(group []*op, err error) {
	for _, o := range group {
		if o.err == nil {
			o.err = err
		}
	}
}

// begin starts a transaction that holds the write lock from its start.
func (w *writer) begin() (*tx, error) {
	_, err := w.exec("BEGIN IMMEDIATE")
	if err != nil {
		// An earlier rollback may have failed and left a transaction open.
		w.rollback()
		if _, err = w.exec("BEGIN IMMEDIATE"); err != nil {
			return nil, fmt.Errorf("%w: begin: %w", store.ErrUnavailable, err)
		}
	}
	return &tx{w: w, now: truncate(w.now())}, nil
}

// rollback undoes the open transaction. SQLite has already done so after some
// errors, and then says there is none: that error means nothing.
func (w *writer) rollback() { _, _ = w.exec("ROLLBACK") }

// call runs one change. A caller's function may panic; that is its failure, not
// the writer's.
func (t *tx) call(run func(*tx) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the change panicked: %v", r)
		}
	}()
	return run(t)
}

// stmt returns the prepared statement of a constant text.
func (w *writer) stmt(query string) (*sql.Stmt, error) {
	if s, ok := w.stmts[query]; ok {
		return s, nil
	}
	s, err := w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

func (w *writer) exec(query string, args ...any) (sql.Result, error) {
	s, err := w.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.Exec(args...)
}

// exec writes.
func (t *tx) exec(query string, args ...any) (sql.Result, error) {
	t.wrote = true
	r, err := t.w.exec(query, args...)
	if err != nil {
		t.broken = true
		return nil, dbError(err)
	}
	return r, nil
}

// change writes if its condition holds, and reports whether it did.
func (t *tx) change(query string, args ...any) (bool, error) {
	wrote := t.wrote
	r, err := t.exec(query, args...)
	if err != nil {
		return false, err
	}
	rows, err := r.RowsAffected()
	t.wrote = wrote || rows > 0
	return rows > 0, err
}

// insert writes a row and returns its number.
func (t *tx) insert(query string, args ...any) (int64, error) {
	r, err := t.exec(query, args...)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

// get reads one row. [sql.ErrNoRows] becomes [store.ErrNotFound].
func (t *tx) get(query string, args []any, dest ...any) error {
	s, err := t.w.stmt(query)
	if err == nil {
		err = s.QueryRow(args...).Scan(dest...)
	}
	return t.read(err)
}

// each reads rows, calling row with the scanner of each.
func (t *tx) each(query string, args []any, row func(scanner) error) error {
	s, err := t.w.stmt(query)
	if err != nil {
		return t.read(err)
	}
	rows, err := s.Query(args...)
	if err != nil {
		return t.read(err)
	}
	return t.read(eachRow(rows, row))
}

// read tells a missing row from a failing database.
func (t *tx) read(err error) error {
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.broken = true
	}
	return dbError(err)
}

// stop ends the writer after what waits for it, and closes its connection.
func (w *writer) stop() error {
	close(w.closing)
	<-w.done
	var errs []error
	for _, s := range w.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}
