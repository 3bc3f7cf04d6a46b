package storetest

import (
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func retentionTests() map[string]func(*fixture) {
	kinds := []grant.EventType{grant.GrantRefreshed, grant.GrantRefreshFailed, grant.EventAppRejected}
	return map[string]func(*fixture){
		"no event goes before its time": func(f *fixture) {
			f.appendKinds(kinds)
			f.clock.advance(store.KeepRefreshed)
			f.churn(2000)
			equal(f, "events", f.oldKinds(), kinds)
		},
		"old refreshes go and what else happened stays": func(f *fixture) {
			for range 500 {
				f.appendKinds(kinds)
			}
			f.clock.advance(store.KeepRefreshed + time.Minute)
			f.churnUntil(func(left []grant.EventType) bool { return !slices.Contains(left, grant.GrantRefreshed) })
			if n := len(f.oldKinds()); n != 1000 {
				f.Fatalf("%d of 1000 other events are left", n)
			}
		},
		"everything goes after its time and the log's order stands": func(f *fixture) {
			f.appendKinds(kinds)
			before, err := f.LastEvent(f.ctx)
			f.ok(err)
			f.clock.advance(store.KeepEvents + time.Minute)
			f.churnUntil(func(left []grant.EventType) bool { return len(left) == 0 })
			// A reader that was away all the time goes on where it was.
			events, _, err := f.ListEvents(f.ctx, store.EventFilter{}, store.Page{Limit: 1, Cursor: before})
			f.ok(err)
			if len(events) != 1 || events[0].ID <= before || events[0].Type != grant.EventAppAccepted {
				f.Fatalf("after the cursor of an event that is gone comes %v", events)
			}
		},
	}
}

// appendKinds appends an event of each type.
func (f *fixture) appendKinds(kinds []grant.EventType) {
	f.Helper()
	for _, k := range kinds {
		f.ok(f.AppendEvents(f.ctx, grant.Event{Type: k, App: app}))
	}
}

// churn adds newer events, of a type of their own.
func (f *fixture) churn(n int) {
	f.Helper()
	const atOnce = 100
	for range n / atOnce {
		f.ok(f.AppendEvents(f.ctx, slices.Repeat([]grant.Event{{Type: grant.EventAppAccepted, App: app}}, atOnce)...))
	}
}

// churnUntil adds newer events until enough of the old ones are gone.
func (f *fixture) churnUntil(enough func(left []grant.EventType) bool) {
	f.Helper()
	for range 20 {
		f.churn(1000)
		if enough(f.oldKinds()) {
			return
		}
	}
	f.Fatalf("20000 newer events later there are still %v", f.oldKinds())
}

// oldKinds are the types of what is left of the events that churn did not add.
func (f *fixture) oldKinds() []grant.EventType {
	f.Helper()
	var kinds []grant.EventType
	for _, e := range f.listEvents(store.EventFilter{Types: []string{"grant.*", string(grant.EventAppRejected)}}, 1000) {
		kinds = append(kinds, e.Type)
	}
	return kinds
}
