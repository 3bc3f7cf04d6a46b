package refresh

import (
	"context"
	"errors"
	"slices"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// continues makes sure that the store goes on from where its last process left
// it. If it was restored from a backup, its refresh tokens may be spent: what
// the journal holds is redone, and the apps of which that leaves grants in doubt
// are paused if sending a spent token may end its grant. Then an operator
// decides.
func (e *Engine) continues(ctx context.Context) error {
	last, err := e.c.Store.LastRun(ctx)
	if err != nil {
		return err
	}
	known, err := e.c.Spool.Runs()
	if err != nil {
		return err
	}
	// A store that ended in order needs nothing of a spool that is gone.
	other := last.ID != "" && !slices.Contains(known, last.ID) && (len(known) > 0 || !last.Ended)
	behind, current, err := e.redo(ctx, other)
	if err != nil {
		return err
	}
	if other || behind {
		if err := e.doubt(ctx, current); err != nil {
			return err
		}
	}
	if err := e.followed(ctx, last.ID, other || behind); err != nil {
		return err
	}
	// Both are known before the first of them can be the store's last, so that a
	// start that is cut off here is no restoration to the next.
	if err := e.c.Spool.SetRuns(last.ID, e.owner); err != nil {
		return err
	}
	if behind {
		// Once the store was redone, its versions count on from there, and those of
		// the journal mean nothing any more.
		if err := e.c.Spool.Forget(); err != nil {
			return err
		}
	}
	return e.c.Store.BeginRun(ctx, e.owner)
}

// followed has the mirror go along with this run. If it was left out of the
// store's last one, what it holds may be older than what the store held since,
// and after the next restoration nobody could tell: it is forgotten. After a
// restoration the last run is an earlier one than the mirror's.
func (e *Engine) followed(ctx context.Context, last string, restored bool) error {
	if e.c.Mirror == nil {
		return nil
	}
	known, err := e.c.Mirror.Runs(ctx)
	if err != nil {
		return err
	}
	if last != "" && !restored && !slices.Contains(known, last) {
		if err := e.c.Mirror.Forget(ctx); err != nil {
			return err
		}
	}
	return e.c.Mirror.SetRuns(ctx, last, e.owner)
}

// doubt pauses the apps that have a live grant whose refresh token may be spent
// without anybody knowing, where sending that could do harm. An app that left
// the configuration may come back, and nobody knows its policy.
func (e *Engine) doubt(ctx context.Context, current map[string]bool) error {
	counts, err := e.c.Store.CountConnections(ctx)
	if err != nil {
		return err
	}
	done := make(map[string]bool)
	for _, c := range counts {
		if done[c.App] || !e.policy(c.App).Rotation.SingleUse() {
			continue
		}
		done[c.App] = true
		unknown, err := e.unknown(ctx, c.App, current)
		if err != nil {
			return err
		}
		if unknown == 0 {
			continue
		}
		e.c.Logger.Error("the database was restored from a backup, or is used with another spool, and refresh tokens in it may be spent: "+
			"nothing is refreshed for this app until somebody decides; "+
			"if no other server has used the tokens since, run: evergrant app resume "+c.App,
			"app", c.App, "grants_in_doubt", unknown)
		if err := e.suspendForDoubt(ctx, c.App, unknown); err != nil {
			return err
		}
	}
	return nil
}

// suspendForDoubt pauses an app until somebody decides. A pause that an operator
// made before takes this cause: to end it is another decision now.
func (e *Engine) suspendForDoubt(ctx context.Context, app string, unknown int) error {
	p := store.Pause{Cause: grant.PausedByRestore, Since: e.c.Now()}
	data := map[string]any{"grants_in_doubt": unknown}
	err := e.suspend(ctx, app, p, data)
	if !errors.Is(err, store.ErrStale) {
		return err
	}
	paused, err := e.c.Store.PausedApps(ctx)
	if err != nil || paused[app].Cause == grant.PausedByRestore {
		return err
	}
	if err := e.c.Store.ResumeApp(ctx, app); err != nil {
		return err
	}
	return e.suspend(ctx, app, p, data)
}

// unknown counts the live grants of an app that are not known to be current.
func (e *Engine) unknown(ctx context.Context, app string, current map[string]bool) (int, error) {
	n := 0
	for p := (store.Page{Limit: 1000}); ; {
		grants, next, err := e.c.Store.LiveGrants(ctx, app, p)
		if err != nil {
			return 0, err
		}
		for _, id := range grants {
			if !current[id] {
				n++
			}
		}
		if p.Cursor = next; next == "" {
			return n, nil
		}
	}
}
