package move

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/fault"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store/whole"
)

// Source is the store that is moved away from. Nobody else has it open while it
// is moved.
type Source interface {
	whole.Reader
	// State returns a text that changes when a server uses the store.
	State(context.Context) (string, error)
	// Move returns the move that was begun last, and false if there is none.
	Move(context.Context) (whole.Move, bool, error)
	// BeginMove records that a move begins, in place of one before.
	BeginMove(ctx context.Context, id, target string) error
	// EndMove records that everything is in the target. From then on the store is
	// not served any more.
	EndMove(context.Context) error
}

// Target is the store that is moved to. No server uses it before End.
type Target interface {
	whole.Reader
	// Name names it for people.
	Name() string
	// Keeps is a text as it keeps it.
	Keeps(string) string
	// Copy returns how far a move into it has come, and false if none ever began.
	Copy(context.Context) (whole.Copy, bool, error)
	// Begin begins a move with what belongs to no connection. An unfinished copy
	// goes; anything else that is there is an error.
	Begin(context.Context, whole.Copy, whole.Rest) error
	// AddBusinesses and AddEvents add a batch in order and record that it is here:
	// both or nothing.
	AddBusinesses(context.Context, []whole.Business) error
	AddEvents(context.Context, []whole.Event) error
	// Settle prepares it for being used, once everything is here.
	Settle(context.Context) error
	// End records that everything is here: it may be served.
	End(context.Context) error
}

// Options say how to move.
type Options struct {
	Source string // its name, for people
	// Batch is how many connections or events are one transaction; 0 means 2000.
	Batch int
	// Progress, if not nil, is called after each batch, never twice at once.
	Progress func(Progress)
}

const defaultBatch = 2000

// Progress is how far a move is.
type Progress struct {
	Verifying   bool // or else copying
	What        string
	Done, Total int64
}

// Result is what a move came to.
type Result struct {
	Before  bool // it had ended before; nothing else is known then
	Resumed bool // it went on with what an earlier one had copied
	Counts  whole.Counts
	Rows    int64         // that this run copied
	Took    time.Duration // copying them
	Digest  string        // of every row, the same on both sides
}

// Run moves a store, or goes on moving it. When it returns nil, the target is
// whole and the source is not served any more; when it returns an error, run
// again it goes on. It says with which command, where the operator has to choose.
func Run(ctx context.Context, from Source, to Target, o Options) (Result, error) {
	if o.Batch <= 0 {
		o.Batch = defaultBatch
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	m := &mover{from: from, to: to, o: o}
	if err := m.begin(ctx); err != nil || m.result.Before {
		return m.result, err
	}
	began := time.Now()
	if err := m.copy(ctx); err != nil {
		return m.result, err
	}
	m.result.Took = time.Since(began)
	if err := m.verify(ctx); errors.Is(err, errDiffers) {
		return m.result, fmt.Errorf("%w; nothing was handed over: in %s run DROP SCHEMA evergrant CASCADE, and copy again", err, m.to.Name())
	} else if err != nil {
		return m.result, err
	}
	return m.result, m.end(ctx)
}

// mover is one run.
type mover struct {
	from   Source
	to     Target
	o      Options
	at     whole.Copy // where it goes on
	rest   whole.Rest
	counts whole.Counts
	result Result
}

// begin finds out whether to begin, to begin again or to go on.
func (m *mover) begin(ctx context.Context) error {
	moved, begun, err := m.from.Move(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", m.o.Source, err)
	}
	at, there, err := m.to.Copy(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", m.to.Name(), err)
	}
	mine := begun && there && moved.ID == at.ID
	switch {
	case there && at.Ended() && mine:
		m.result.Before = true
		return nil
	case there && at.Ended():
		return fmt.Errorf("%s was moved to from %s on %s and holds its grants; name an empty database", m.to.Name(), at.Other, at.EndedAt.Format(time.RFC3339))
	case there && !mine:
		return fmt.Errorf("%s holds an unfinished copy of another database, %s, begun on %s; name an empty database, "+
			"or, if that copy is not needed, run in it: DROP SCHEMA evergrant CASCADE", m.to.Name(), at.Other, at.BegunAt.Format(time.RFC3339))
	case begun && moved.Ended() && !mine:
		return fmt.Errorf("%s was moved to %s on %s already; its grants are renewed there", m.o.Source, moved.Other, moved.EndedAt.Format(time.RFC3339))
	}
	if m.counts, err = m.from.Counts(ctx); err != nil {
		return fmt.Errorf("count %s: %w", m.o.Source, err)
	}
	if m.rest, err = m.from.Rest(ctx); err != nil {
		return fmt.Errorf("read %s: %w", m.o.Source, err)
	}
	state, err := m.from.State(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", m.o.Source, err)
	}
	// A source that is marked as moved is not what it was, and nobody has used it.
	if mine && (at.State == state || moved.Ended()) {
		m.at, m.result.Resumed = at, true
		return nil
	}
	return m.start(ctx, state)
}

// start begins with nothing. The move has an id of its own, so that what an
// earlier one left in another target is never taken for this one's.
func (m *mover) start(ctx context.Context, state string) error {
	m.at = whole.Copy{Move: whole.Move{ID: grant.NewID(moveID, time.Now()), Other: m.o.Source}, State: state}
	if err := m.from.BeginMove(ctx, m.at.ID, m.to.Name()); err != nil {
		return fmt.Errorf("begin in %s: %w", m.o.Source, err)
	}
	if err := fault.Point("move.begun"); err != nil {
		return err
	}
	if err := m.to.Begin(ctx, m.at, m.rest); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return fault.Point("move.started")
}

const moveID = "move_"

// end hands over: first the source is not served any more, then the target may be.
func (m *mover) end(ctx context.Context) error {
	if err := m.to.Settle(ctx); err != nil {
		return fmt.Errorf("settle %s: %w", m.to.Name(), err)
	}
	if err := fault.Point("move.verified"); err != nil {
		return err
	}
	if moved, _, err := m.from.Move(ctx); err != nil || !moved.Ended() {
		if err := errors.Join(err, m.from.EndMove(ctx)); err != nil {
			return fmt.Errorf("mark %s as moved: %w", m.o.Source, err)
		}
	}
	if err := fault.Point("move.marked"); err != nil {
		return err
	}
	if err := m.to.End(ctx); err != nil {
		return fmt.Errorf("mark %s as whole: %w", m.to.Name(), err)
	}
	return nil
}
