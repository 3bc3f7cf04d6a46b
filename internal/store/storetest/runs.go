package storetest

import "github.com/evergrant/evergrant/internal/store"

func runTests(shared bool) map[string]func(*fixture) {
	if shared {
		return map[string]func(*fixture){
			"no run is the last one of a store that many share": func(f *fixture) {
				f.lastRun(store.Run{})
				f.ok(f.BeginRun(f.ctx, "run_1"))
				f.ok(f.BeginRun(f.ctx, "run_2"))
				f.lastRun(store.Run{})
				f.ok(f.EndRun(f.ctx, "run_1"))
				f.lastRun(store.Run{})
				f.ok(f.EndRun(f.ctx, "run_2"))
			},
		}
	}
	return map[string]func(*fixture){
		"the last run is known, and whether it ended": func(f *fixture) {
			f.lastRun(store.Run{})
			f.ok(f.BeginRun(f.ctx, "run_1"))
			f.lastRun(store.Run{ID: "run_1"})
			f.ok(f.EndRun(f.ctx, "run_1"))
			f.lastRun(store.Run{ID: "run_1", Ended: true})
			f.ok(f.BeginRun(f.ctx, "run_2"))
			f.lastRun(store.Run{ID: "run_2"})
			f.is(f.EndRun(f.ctx, "run_1"), store.ErrStale)
			f.lastRun(store.Run{ID: "run_2"})
		},
	}
}

func (f *fixture) lastRun(want store.Run) {
	f.Helper()
	got, err := f.LastRun(f.ctx)
	f.ok(err)
	if got != want {
		f.Errorf("last run %+v, want %+v", got, want)
	}
}
