package refresh

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Pause stops all refreshes of an app until Resume, across restarts. Tokens in
// hand are served as long as they last, and requests under way are finished.
// ErrStale if it is paused already.
func (e *Engine) Pause(ctx context.Context, app string, cause grant.PauseCause, data map[string]any) error {
	l := e.lanes[app]
	if l == nil {
		return store.ErrNotFound
	}
	e.pausing.Lock()
	defer e.pausing.Unlock()
	p := store.Pause{Cause: cause, Since: e.c.Now()}
	err := e.suspend(ctx, app, p, data)
	switch {
	case err == nil:
		l.gate.pause(p.Cause, p.Since)
		e.c.Incident(app)
	case errors.Is(err, store.ErrStale): // perhaps by a call that never learned that it had succeeded
		return errors.Join(err, e.obeyed(ctx))
	}
	return err
}

// suspend writes a pause down. The app need not be configured.
func (e *Engine) suspend(ctx context.Context, app string, p store.Pause, data map[string]any) error {
	told := map[string]any{"cause": string(p.Cause)}
	maps.Copy(told, data)
	return e.c.Store.PauseApp(ctx, app, p, grant.Event{Type: grant.EventAppPaused, App: app, Reason: grant.AppPaused, Data: told})
}

// Resume ends an app's pause, whatever caused it. ErrStale if it is not paused.
func (e *Engine) Resume(ctx context.Context, app string) error {
	l := e.lanes[app]
	if l == nil {
		return store.ErrNotFound
	}
	e.pausing.Lock()
	defer e.pausing.Unlock()
	if err := e.obeyed(ctx); err != nil {
		return err
	}
	in := l.gate.incident()
	if in.Reason != grant.AppPaused {
		return store.ErrStale
	}
	ev := grant.Event{Type: grant.EventAppResumed, App: app, Reason: grant.OK, Data: map[string]any{"cause": string(in.Cause)}}
	var err error
	if in.Cause == grant.PausedByRefusals {
		err = e.c.Store.AppendEvents(ctx, ev)
	} else {
		err = e.c.Store.ResumeApp(ctx, app, ev)
	}
	// Stale: by a call that never learned that it had succeeded.
	if err != nil && !errors.Is(err, store.ErrStale) {
		return err
	}
	l.gate.resume(e.c.Now())
	e.c.Incident(app)
	l.poke()
	return nil
}

// obey closes the gates of the apps that the store has as paused.
func (e *Engine) obey(ctx context.Context) error {
	e.pausing.Lock()
	defer e.pausing.Unlock()
	return e.obeyed(ctx)
}

// obeyed is obey for whoever holds the lock.
func (e *Engine) obeyed(ctx context.Context) error {
	paused, err := e.c.Store.PausedApps(ctx)
	if err != nil {
		return fmt.Errorf("find paused apps: %w", err)
	}
	for app, p := range paused {
		if l := e.lanes[app]; l != nil && l.gate.incident().Cause != p.Cause {
			l.gate.pause(p.Cause, p.Since)
			e.c.Incident(app)
		}
	}
	return nil
}
