package refresh

import (
	"context"
	"errors"
	"fmt"

	"github.com/evergrant/evergrant/internal/grant"
)

// wentBack redoes what the store lost when it became another incarnation, as by
// a fail-over to a server that lagged behind: this process's share of it, from
// its spool. Nobody claims anything before all have done theirs, and have the
// answers to what they had sent: the store has lost the attempts too.
func (e *Engine) wentBack(ctx context.Context, incarnation string) error {
	for _, f := range e.underway() {
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r := redoing{Engine: e, thorough: true, behind: true, running: true, newest: make(map[string]grant.Version), current: make(map[string]bool)}
	if err := r.fromSpool(ctx); err != nil {
		return err
	}
	if err := e.c.Store.Redone(ctx, e.owner, incarnation); err != nil {
		return fmt.Errorf("tell the other replicas: %w", err)
	}
	e.fleet.incarnation.Store(&incarnation)
	e.c.Logger.Error("the database became another one, as by a fail-over; what it lost of this replica's renewals was committed again", "redone", r.redone, "failed", r.failed)
	e.c.Redone()
	return nil
}

// underway returns the flights that stand on an open attempt. While the store
// refuses claims there are no new ones.
func (e *Engine) underway() []*flight {
	for _, l := range e.lanes { // whoever has claimed has said so
		l.claiming.Lock()
		defer l.claiming.Unlock()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*flight
	for _, f := range e.flights {
		if f.carried {
			all = append(all, f)
		}
	}
	return all
}

// commitAnew commits an answer whose attempt the store has lost with what came
// before it, and reports whether it is current now. Elsewhere an attempt that is
// not open any more is one that another process has taken over.
func (a *attempt) commitAnew(ctx context.Context, r renewed) bool {
	e := a.l.e
	is, err := e.c.Store.Replicas(ctx, e.owner)
	if err != nil || is.Incarnation == a.incarnation {
		return false
	}
	g, err := e.c.Store.Grant(ctx, r.GrantID)
	if err != nil || r.Of.Before(g.Version) || g.Version.Epoch != r.Of.Epoch {
		return false
	}
	did, err := e.redoOne(ctx, g.ID, r.tok, r.ans.SentAt)
	if err != nil && !errors.Is(err, errOutdone) {
		e.c.Logger.Error("an answer whose attempt the database has lost could not be committed", "grant", g.ID, "err", err)
	}
	return did
}
