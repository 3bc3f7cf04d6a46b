package postgres

import (
	"context"
	"fmt"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// PausedApps implements [store.Apps].
func (s *Store) PausedApps(ctx context.Context) (map[string]store.Pause, error) {
	paused := make(map[string]store.Pause)
	err := s.each(ctx, `SELECT app, cause, since FROM paused_apps`, nil, func(row scanner) error {
		var app string
		var p store.Pause
		err := row.Scan(&app, &p.Cause, timeColumn{&p.Since})
		paused[app] = p
		return err
	})
	return paused, err
}

// PauseApp implements [store.Apps].
func (s *Store) PauseApp(ctx context.Context, app string, p store.Pause, events ...grant.Event) error {
	return s.change(ctx, func(t *tx) error {
		n, err := t.made(`INSERT INTO paused_apps (app, cause, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			app, p.Cause, stamp(p.Since))
		if err == nil && n == 0 {
			err = fmt.Errorf("app %s is paused already: %w", app, store.ErrStale)
		}
		if err != nil {
			return err
		}
		return t.emit(subject{app: app}, events...)
	})
}

// ResumeApp implements [store.Apps].
func (s *Store) ResumeApp(ctx context.Context, app string, events ...grant.Event) error {
	return s.change(ctx, func(t *tx) error {
		n, err := t.made(`DELETE FROM paused_apps WHERE app = $1`, app)
		if err == nil && n == 0 {
			err = fmt.Errorf("app %s is not paused: %w", app, store.ErrStale)
		}
		if err != nil {
			return err
		}
		return t.emit(subject{app: app}, events...)
	})
}

// LastRun implements [store.Runs]. Which process used a database last says
// nothing where many do, so there is none.
func (s *Store) LastRun(ctx context.Context) (store.Run, error) { return store.Run{}, s.begins(ctx) }

// BeginRun implements [store.Runs].
func (s *Store) BeginRun(ctx context.Context, _ string) error { return s.begins(ctx) }

// EndRun implements [store.Runs].
func (s *Store) EndRun(ctx context.Context, _ string) error { return s.begins(ctx) }
