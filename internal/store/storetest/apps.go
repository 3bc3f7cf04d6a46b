package storetest

import (
	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func appTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"a pause is kept with its cause until it is ended": func(f *fixture) {
			p := store.Pause{Cause: grant.PausedByRestore, Since: f.now()}
			f.ok(f.PauseApp(f.ctx, app, p, grant.Event{Type: grant.EventAppPaused, Reason: grant.AppPaused}))
			f.ok(f.PauseApp(f.ctx, "other", store.Pause{Cause: grant.PausedByOperator, Since: f.now()}))
			f.paused(map[string]store.Pause{app: p, "other": {Cause: grant.PausedByOperator, Since: f.now()}})
			f.ok(f.ResumeApp(f.ctx, app, grant.Event{Type: grant.EventAppResumed, Reason: grant.OK}))
			f.paused(map[string]store.Pause{"other": {Cause: grant.PausedByOperator, Since: f.now()}})
			f.appEvents(grant.EventAppPaused, grant.EventAppResumed)
		},
		"a second pause changes nothing": func(f *fixture) {
			p := store.Pause{Cause: grant.PausedByRestore, Since: f.now()}
			f.ok(f.PauseApp(f.ctx, app, p))
			err := f.PauseApp(f.ctx, app, store.Pause{Cause: grant.PausedByOperator}, grant.Event{Type: grant.EventAppPaused})
			f.is(err, store.ErrStale)
			f.paused(map[string]store.Pause{app: p})
			f.appEvents()
		},
		"what is not paused cannot be resumed": func(f *fixture) {
			f.is(f.ResumeApp(f.ctx, app, grant.Event{Type: grant.EventAppResumed}), store.ErrStale)
			f.appEvents()
		},
	}
}

func (f *fixture) paused(want map[string]store.Pause) {
	f.Helper()
	got, err := f.PausedApps(f.ctx)
	f.ok(err)
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("paused apps (-want +got):\n%s", diff)
	}
}

// appEvents checks the log, which must tell of the app and of nothing else.
func (f *fixture) appEvents(want ...grant.EventType) {
	f.Helper()
	events, _, err := f.ListEvents(f.ctx, store.EventFilter{}, store.Page{Limit: 10})
	f.ok(err)
	var got []grant.EventType
	for _, e := range events {
		if e.App != app || e.Connection != "" {
			f.Errorf("%s is about app %q, connection %q", e.Type, e.App, e.Connection)
		}
		got = append(got, e.Type)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("events (-want +got):\n%s", diff)
	}
}
