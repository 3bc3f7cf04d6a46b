package sqlite

import (
	"context"
	"errors"
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
	return s.w.do(ctx, func(t *tx) error {
		paused, err := t.exists(`SELECT 1 FROM paused_apps WHERE app = ?`, app)
		if err != nil {
			return err
		}
		if paused {
			return fmt.Errorf("app %s is paused already: %w", app, store.ErrStale)
		}
		_, err = t.exec(`INSERT INTO paused_apps (app, cause, since) VALUES (?, ?, ?)`, app, string(p.Cause), micros(p.Since))
		if err != nil {
			return err
		}
		return t.emit(subject{app: app}, events...)
	})
}

// ResumeApp implements [store.Apps].
func (s *Store) ResumeApp(ctx context.Context, app string, events ...grant.Event) error {
	return s.w.do(ctx, func(t *tx) error {
		paused, err := t.exists(`SELECT 1 FROM paused_apps WHERE app = ?`, app)
		if err != nil {
			return err
		}
		if !paused {
			return fmt.Errorf("app %s is not paused: %w", app, store.ErrStale)
		}
		if _, err = t.exec(`DELETE FROM paused_apps WHERE app = ?`, app); err != nil {
			return err
		}
		return t.emit(subject{app: app}, events...)
	})
}

// LastRun implements [store.Runs].
func (s *Store) LastRun(ctx context.Context) (store.Run, error) {
	var r store.Run
	err := s.get(ctx, `SELECT id, ended FROM last_run`, nil, &r.ID, &r.Ended)
	if errors.Is(err, store.ErrNotFound) {
		return store.Run{}, nil
	}
	return r, err
}

// BeginRun implements [store.Runs].
func (s *Store) BeginRun(ctx context.Context, id string) error {
	return s.w.do(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO last_run (n, id, ended) VALUES (1, ?, 0)
			ON CONFLICT (n) DO UPDATE SET id = excluded.id, ended = 0`, id)
		return err
	})
}

// EndRun implements [store.Runs].
func (s *Store) EndRun(ctx context.Context, id string) error {
	return s.w.do(ctx, func(t *tx) error {
		last, err := t.exists(`SELECT 1 FROM last_run WHERE id = ?`, id)
		if err != nil {
			return err
		}
		if !last {
			return fmt.Errorf("run %s is not the last one: %w", id, store.ErrStale)
		}
		_, err = t.exec(`UPDATE last_run SET ended = 1`)
		return err
	})
}
