package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// appendNamed appends one event per name; the name is its reason.
func (f *fixture) appendNamed(names ...string) {
	f.Helper()
	for _, n := range names {
		f.ok(f.AppendEvents(f.ctx, grant.Event{Type: grant.EventAppAccepted, App: app, Reason: grant.Reason(n)}))
	}
}

// listEvents reads all pages of a filter, limit at a time.
func (f *fixture) listEvents(filter store.EventFilter, limit int) []grant.Event {
	f.Helper()
	var events []grant.Event
	for cursor := ""; ; {
		page, next, err := f.ListEvents(f.ctx, filter, store.Page{Limit: limit, Cursor: cursor})
		f.ok(err)
		f.page(len(page), limit, cursor)
		events = append(events, page...)
		if next == "" {
			return events
		}
		cursor = next
	}
}

// reasons are the reasons of events, by which appendNamed names them.
func reasons(events []grant.Event) []string {
	names := []string{}
	for _, e := range events {
		names = append(names, string(e.Reason))
	}
	return names
}

func eventTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"an event is given back as it was appended": func(f *fixture) {
			full := grant.Event{Type: grant.GrantRefreshed, Time: f.now().Add(-time.Hour), Connection: "conn_1", Grant: "grant_1", App: "a",
				Ref: "k@a", Reason: grant.OK, Data: map[string]any{"text": "é", "n": 1.5, "list": []any{"a", nil, true}, "map": map[string]any{}}}
			bare := grant.Event{Type: grant.EventAppRejected}
			f.ok(f.AppendEvents(f.ctx, full, bare))
			bare.Time = f.now() // the store's own
			equal(f, "events", f.since(""), []grant.Event{full, bare})
		},
		"data that is not JSON is refused and nothing is appended": func(f *fixture) {
			err := f.AppendEvents(f.ctx, grant.Event{Type: grant.EventAppAccepted},
				grant.Event{Type: grant.EventAppAccepted, Data: map[string]any{"f": func() {}}})
			if err == nil || isError(err, store.ErrUnavailable) {
				f.Fatalf("error is %v, want one that trying again does not cure", err)
			}
			equal(f, "events", f.since(""), nil)
		},
		"nothing to append is no error": func(f *fixture) {
			f.ok(f.AppendEvents(f.ctx))
			equal(f, "last", f.mark(), "")
		},
		"an event's subject is filled in where it is empty": func(f *fixture) {
			g := f.connected("k")
			mark := f.mark()
			f.ok(f.SetLocations(f.ctx, g.ID, nil, grant.Event{Type: grant.ConnectionLocationsChanged},
				grant.Event{Type: grant.GrantRefreshed, Reason: grant.OK, Time: f.now().Add(-time.Second)}))
			_, err := f.UpdateConnection(f.ctx, g.ConnectionID, func(*grant.Connection) error { return nil }, grant.Event{Type: grant.ConnectionDeadlineNear})
			f.ok(err)
			about := grant.Event{Type: grant.ConnectionLocationsChanged, Time: f.now(), Connection: g.ConnectionID, Grant: g.ID, App: app, Ref: "k@" + app}
			second, third := about, about
			second.Type, second.Reason, second.Time = grant.GrantRefreshed, grant.OK, f.now().Add(-time.Second)
			third.Type, third.Grant = grant.ConnectionDeadlineNear, ""
			equal(f, "events", f.since(mark), []grant.Event{about, second, third})
		},
		"an event of another connection is not given this one's address": func(f *fixture) {
			c, mark := f.connection("k"), f.mark()
			e := grant.Event{Type: grant.ConnectionScopeChanged, Time: f.now(), Connection: "conn_other"}
			_, err := f.UpdateConnection(f.ctx, c.ID, func(*grant.Connection) error { return nil }, e)
			f.ok(err)
			equal(f, "events", f.since(mark), []grant.Event{e})
		},
		"ids rise in the order of the log, even while the clock steps back": func(f *fixture) {
			var names []string
			for i := range 40 {
				names = append(names, fmt.Sprint(i))
				f.appendNamed(names[i])
				f.clock.advance(time.Duration(i%3-1) * time.Second)
			}
			f.clock.advance(-24 * time.Hour)
			var batch []grant.Event
			for i := range 100 {
				names = append(names, fmt.Sprint("batch-", i))
				batch = append(batch, grant.Event{Type: grant.EventAppAccepted, Reason: grant.Reason(names[40+i])})
			}
			f.ok(f.AppendEvents(f.ctx, batch...))
			events := f.listEvents(store.EventFilter{}, 7)
			equal(f, "order", reasons(events), names)
			for i, e := range events {
				if !strings.HasPrefix(e.ID, grant.EventID) || i > 0 && e.ID <= events[i-1].ID {
					f.Fatalf("id %q follows %q", e.ID, events[max(i-1, 0)].ID)
				}
			}
			equal(f, "last", f.mark(), events[len(events)-1].ID)
		},
		"ids sort by time": func(f *fixture) {
			f.appendNamed("a")
			first := f.mark()
			f.clock.advance(time.Second)
			between := grant.NewID(grant.EventID, f.now())
			f.clock.advance(time.Second)
			f.appendNamed("b")
			if !(first < between && between < f.mark()) {
				f.Fatalf("%s, %s and %s are not in the order of time", first, between, f.mark())
			}
			after, _, err := f.ListEvents(f.ctx, store.EventFilter{}, store.Page{Limit: 10, Cursor: between})
			f.ok(err)
			equal(f, "after a time", reasons(after), []string{"b"})
		},
		"pages follow each other in both directions": func(f *fixture) {
			want := []string{"a", "b", "c", "d", "e"}
			f.appendNamed(want...)
			for limit := 1; limit <= 6; limit++ {
				equal(f, "oldest first", reasons(f.listEvents(store.EventFilter{}, limit)), want)
				newest := reasons(f.listEvents(store.EventFilter{NewestFirst: true}, limit))
				slices.Reverse(newest)
				equal(f, "newest first", newest, want)
			}
		},
		"a reader that passes the last id it saw misses none": func(f *fixture) {
			f.appendNamed("a", "b")
			seen := f.listEvents(store.EventFilter{}, 10)
			last := seen[len(seen)-1].ID
			events, next, err := f.ListEvents(f.ctx, store.EventFilter{}, store.Page{Limit: 10, Cursor: last})
			f.ok(err)
			equal(f, "nothing new", len(events), 0)
			equal(f, "cursor", next, "")
			f.clock.advance(-time.Hour)
			f.appendNamed("c")
			events, _, err = f.ListEvents(f.ctx, store.EventFilter{}, store.Page{Limit: 10, Cursor: last})
			f.ok(err)
			equal(f, "the new one", reasons(events), []string{"c"})
			events, _, err = f.ListEvents(f.ctx, store.EventFilter{NewestFirst: true}, store.Page{Limit: 10, Cursor: last})
			f.ok(err)
			equal(f, "before the cursor", reasons(events), []string{"a"})
		},
		"a cursor that is not an event's id is refused": func(f *fixture) {
			for _, cursor := range []string{"x", "evt_", "evt_x", "conn_01K00000000000000000000000", "evt_01K000000000000000000000000"} {
				if _, _, err := f.ListEvents(f.ctx, store.EventFilter{}, store.Page{Limit: 10, Cursor: cursor}); err == nil {
					f.Errorf("cursor %q is taken", cursor)
				}
			}
		},
		"the last event of an empty log is none": func(f *fixture) {
			equal(f, "last", f.mark(), "")
		},
		"types select exactly or by family": func(f *fixture) {
			types := []grant.EventType{grant.ConnectionConnected, grant.GrantIssued, grant.GrantRefreshed, grant.GrantRefreshFailed, grant.LinkCreated}
			for _, t := range types {
				f.ok(f.AppendEvents(f.ctx, grant.Event{Type: t, Reason: grant.Reason(t)}))
			}
			for _, s := range []struct {
				types []string
				want  []string
			}{
				{nil, []string{"connection.connected", "grant.issued", "grant.refreshed", "grant.refresh_failed", "link.created"}},
				{[]string{"grant.refreshed"}, []string{"grant.refreshed"}},
				{[]string{"grant.*"}, []string{"grant.issued", "grant.refreshed", "grant.refresh_failed"}},
				{[]string{"grant.issued", "link.*"}, []string{"grant.issued", "link.created"}},
				{[]string{"gr*", "grant.refresh", "%", "grant.refresh_*", "*"}, []string{}},
			} {
				equal(f, fmt.Sprint(s.types), reasons(f.listEvents(store.EventFilter{Types: s.types}, 2)), s.want)
			}
		},
		"connection, apps and keys select": func(f *fixture) {
			add := func(name, connection, ref, app string) {
				f.Helper()
				f.ok(f.AppendEvents(f.ctx, grant.Event{Type: grant.GrantIssued, Reason: grant.Reason(name), Connection: connection, Ref: ref, App: app}))
			}
			add("1", "conn_1", "k@x", "x")
			add("2", "conn_2", "k@y", "y")
			add("3", "conn_3", "a@b@x", "x")
			add("4", "", "", "x")
			add("5", "conn_1", "k@x", "x")
			for what, s := range map[string]struct {
				filter store.EventFilter
				want   []string
			}{
				"connection":                {store.EventFilter{ConnectionID: "conn_1"}, []string{"1", "5"}},
				"connection, newest first":  {store.EventFilter{ConnectionID: "conn_1", NewestFirst: true}, []string{"5", "1"}},
				"unknown connection":        {store.EventFilter{ConnectionID: "conn_9"}, []string{}},
				"apps":                      {store.EventFilter{Apps: []string{"x"}}, []string{"1", "3", "4", "5"}},
				"no apps":                   {store.EventFilter{Apps: []string{}}, []string{}},
				"keys":                      {store.EventFilter{Keys: []string{"k"}}, []string{"1", "2", "5"}},
				"a key with an at sign":     {store.EventFilter{Keys: []string{"a@b"}}, []string{"3"}},
				"no keys":                   {store.EventFilter{Keys: []string{}}, []string{}},
				"the empty key":             {store.EventFilter{Keys: []string{""}}, []string{}},
				"keys and apps":             {store.EventFilter{Keys: []string{"k"}, Apps: []string{"y"}}, []string{"2"}},
				"connection of another app": {store.EventFilter{ConnectionID: "conn_1", Apps: []string{"y"}}, []string{}},
			} {
				equal(f, what, reasons(f.listEvents(s.filter, 1)), s.want)
			}
		},
	}
}
