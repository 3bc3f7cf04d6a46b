package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// happened adds an event about a connection; its name is its reason.
func (f *fixture) happened(connection string, t grant.EventType, name string) {
	f.Helper()
	f.ok(f.AppendEvents(f.ctx, grant.Event{Type: t, Connection: connection, App: app, Reason: grant.Reason(name)}))
}

// changes are the names of what happened to connections.
func (f *fixture) changes(since time.Time, limit int, connections ...string) []string {
	f.Helper()
	events, err := f.Changes(f.ctx, connections, since, limit)
	f.ok(err)
	return reasons(events)
}

func changeTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"what happened to connections comes in the order of the log": func(f *fixture) {
			for i, c := range []string{"conn_a", "conn_b", "conn_a", "conn_c", "conn_b", ""} {
				f.happened(c, grant.ConnectionDegraded, fmt.Sprint(i))
				f.clock.advance(time.Minute)
			}
			equal(f, "of two", f.changes(time.Time{}, 10, "conn_b", "conn_a"), []string{"0", "1", "2", "4"})
			equal(f, "of one named twice", f.changes(time.Time{}, 10, "conn_a", "conn_a"), []string{"0", "2"})
			equal(f, "of one and strangers", f.changes(time.Time{}, 10, "conn_none", "conn_c", "", "%", "conn_"), []string{"3"})
			equal(f, "of strangers", f.changes(time.Time{}, 10, "conn_none"), []string{})
			equal(f, "of none", f.changes(time.Time{}, 10), []string{})
			events, err := f.Changes(f.ctx, []string{"conn_b"}, time.Time{}, 10)
			f.ok(err)
			equal(f, "the events", events, f.listEvents(store.EventFilter{ConnectionID: "conn_b"}, 10))
		},
		"of each connection come the newest": func(f *fixture) {
			for i := range 6 {
				f.happened([]string{"conn_a", "conn_b"}[i%2], grant.GrantRefreshFailed, fmt.Sprint(i))
			}
			f.happened("conn_c", grant.LinkCreated, "6")
			equal(f, "one of each", f.changes(time.Time{}, 1, "conn_a", "conn_b", "conn_c"), []string{"4", "5", "6"})
			equal(f, "two of each", f.changes(time.Time{}, 2, "conn_a", "conn_b", "conn_c"), []string{"2", "3", "4", "5", "6"})
			equal(f, "all", f.changes(time.Time{}, 1000, "conn_a", "conn_b", "conn_c"), []string{"0", "1", "2", "3", "4", "5", "6"})
		},
		"what happened before the moment is left out": func(f *fixture) {
			f.happened("conn_a", grant.ConnectionDegraded, "before")
			f.clock.advance(time.Microsecond) // in the same millisecond
			since := f.now()
			f.happened("conn_a", grant.ConnectionRecovered, "at")
			f.clock.advance(time.Hour)
			f.happened("conn_a", grant.ConnectionDegraded, "after")
			f.ok(f.AppendEvents(f.ctx, grant.Event{Type: grant.GrantRevoked, Connection: "conn_a", Reason: "told late", Time: since.Add(-time.Second)}))
			equal(f, "since", f.changes(since, 10, "conn_a"), []string{"at", "after"})
			equal(f, "the newest since", f.changes(since, 1, "conn_a"), []string{"after"})
			equal(f, "since later", f.changes(since.Add(time.Microsecond), 10, "conn_a"), []string{"after"})
			equal(f, "since the end", f.changes(f.now().Add(time.Microsecond), 10, "conn_a"), []string{})
			equal(f, "ever", f.changes(time.Time{}, 10, "conn_a"), []string{"before", "at", "after", "told late"})
		},
		"what happened while the clock stood back is there": func(f *fixture) {
			f.happened("conn_a", grant.ConnectionDegraded, "1")
			f.clock.advance(-time.Hour)
			since := f.now()
			f.happened("conn_a", grant.ConnectionRecovered, "2")
			equal(f, "since", f.changes(since, 10, "conn_a"), []string{"1", "2"})
		},
		"refreshes that went well are left out, and do not use the limit up": func(f *fixture) {
			g := f.connected("k")
			since := f.now()
			f.happened(g.ConnectionID, grant.GrantRefreshed, "added by itself")
			refreshed := grant.Event{Type: grant.GrantRefreshed, Reason: grant.OK}
			for range 5 {
				f.clock.advance(time.Hour)
				r := f.renewal(f.claim(f.grant(g.ID)))
				r.Events = []grant.Event{refreshed}
				f.ok(f.Commit(f.ctx, r))
			}
			s := f.settlement(f.claim(f.grant(g.ID)), grant.Network)
			s.Events = []grant.Event{{Type: grant.GrantRefreshFailed, Reason: grant.Network}}
			f.ok(f.Settle(f.ctx, s))
			for range 5 {
				f.clock.advance(time.Hour)
				r := f.renewal(f.claim(f.grant(g.ID)))
				r.Events = []grant.Event{refreshed}
				f.ok(f.Commit(f.ctx, r))
			}
			types := func(limit int) (types []grant.EventType) {
				events, err := f.Changes(f.ctx, []string{g.ConnectionID}, since, limit)
				f.ok(err)
				for _, e := range events {
					types = append(types, e.Type)
				}
				return types
			}
			equal(f, "all", types(1000), []grant.EventType{grant.GrantRefreshFailed, grant.ConnectionDegraded, grant.ConnectionRecovered})
			equal(f, "two", types(2), []grant.EventType{grant.ConnectionDegraded, grant.ConnectionRecovered})
			f.ok(f.DeleteConnection(f.ctx, g.ConnectionID, grant.Event{Type: grant.ConnectionDeleted}))
			equal(f, "after it is gone", types(2), []grant.EventType{grant.ConnectionRecovered, grant.ConnectionDeleted})
		},
		"how much can be asked of changes is bounded": func(f *fixture) {
			f.happened("conn_a", grant.ConnectionDegraded, "a")
			many := slices.Repeat([]string{"conn_a"}, 1001)
			equal(f, "of 1000", f.changes(time.Time{}, 1000, many[1:]...), []string{"a"})
			_, tooMany := f.Changes(f.ctx, many, time.Time{}, 1)
			_, none := f.Changes(f.ctx, many[:1], time.Time{}, 0)
			_, tooLong := f.Changes(f.ctx, many[:1], time.Time{}, 1001)
			_, links := f.NewestLinks(f.ctx, many)
			for what, err := range map[string]error{"1001 connections": tooMany, "limit 0": none, "limit 1001": tooLong, "links of 1001 connections": links} {
				if err == nil || isError(err, store.ErrUnavailable) {
					f.Errorf("%s: error is %v, want one that trying again does not cure", what, err)
				}
			}
		},
	}
}

func linkOverviewTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"a connection's newest link is the one that is listed first": func(f *fixture) {
			want := make(map[string]grant.Link)
			var ids []string
			for i := range 4 {
				c := f.connection(fmt.Sprint("biz_", i))
				ids = append(ids, c.ID)
				for range i { // the first has none
					f.clock.advance(time.Millisecond)
					want[c.ID] = f.link(c)
				}
			}
			last := want[ids[3]]
			last, err := f.UpdateLink(f.ctx, last.ID, func(l *grant.Link) error { l.State = grant.LinkStateRevoked; return nil })
			f.ok(err)
			want[last.ConnectionID] = last
			got, err := f.NewestLinks(f.ctx, ids)
			f.ok(err)
			equal(f, "newest", got, want)
			for id, l := range want {
				equal(f, "listed", f.listLinks(store.LinkFilter{ConnectionID: id}, 1)[0], l.ID)
			}
			got, err = f.NewestLinks(f.ctx, []string{ids[2], "conn_none", ids[2], "", ids[0]})
			f.ok(err)
			equal(f, "of some", got, map[string]grant.Link{ids[2]: want[ids[2]]})
			for _, none := range [][]string{nil, {}} {
				got, err = f.NewestLinks(f.ctx, none)
				f.ok(err)
				equal(f, "of none", len(got), 0)
			}
			f.ok(f.DeleteConnection(f.ctx, ids[1]))
			got, err = f.NewestLinks(f.ctx, ids[:2])
			f.ok(err)
			equal(f, "of one that is gone", len(got), 0)
		},
		"links are counted by how far they came": func(f *fixture) {
			c := f.connection("k")
			early := f.link(c)
			f.clock.advance(time.Hour)
			since := f.now()
			add := func(state grant.LinkState, problem grant.Problem, change func(*grant.Link)) {
				l := f.newLink(c)
				l.State, l.Problem = state, problem
				if change != nil {
					change(&l)
				}
				f.ok(f.CreateLink(f.ctx, l))
			}
			short := func(l *grant.Link) { l.ExpiresAt = f.now().Add(time.Minute) }
			add(grant.LinkStateCreated, "", nil)
			add(grant.LinkStateCreated, "", nil)
			add(grant.LinkStateCreated, "", short)
			add(grant.LinkStateOpened, "", short)
			add(grant.LinkStateAtProvider, "", nil)
			add(grant.LinkStateAtProvider, grant.ProblemDeclined, nil)
			add(grant.LinkStateFailed, grant.ProblemDeclined, nil)
			add(grant.LinkStateFailed, grant.ProblemDeclined, func(l *grant.Link) { l.Locale = "fr" })
			add(grant.LinkStateFailed, grant.ProblemScopeMissing, short)
			add(grant.LinkStateCompleted, "", short)
			add(grant.LinkStateRevoked, "", short)
			add(grant.LinkStateOpened, "", func(l *grant.Link) { l.App, l.Purpose = "x", grant.PurposeReconnect })
			n := func(state grant.LinkState, problem grant.Problem, expired bool, count int) store.LinkCount {
				return store.LinkCount{App: app, Purpose: grant.PurposeConnect, Locale: "nl-BE", State: state, Problem: problem, Expired: expired, Count: count}
			}
			french := n(grant.LinkStateFailed, grant.ProblemDeclined, false, 1)
			french.Locale = "fr"
			other := n(grant.LinkStateOpened, "", false, 1)
			other.App, other.Purpose = "x", grant.PurposeReconnect
			want := []store.LinkCount{
				french,
				n(grant.LinkStateAtProvider, "", false, 1),
				n(grant.LinkStateAtProvider, grant.ProblemDeclined, false, 1),
				n(grant.LinkStateCompleted, "", false, 1),
				n(grant.LinkStateCreated, "", false, 2),
				n(grant.LinkStateCreated, "", true, 1),
				n(grant.LinkStateFailed, grant.ProblemDeclined, false, 1),
				n(grant.LinkStateFailed, grant.ProblemScopeMissing, true, 1),
				n(grant.LinkStateOpened, "", true, 1),
				n(grant.LinkStateRevoked, "", false, 1),
				other,
			}
			count := func(since, now time.Time) []store.LinkCount {
				counts, err := f.CountLinks(f.ctx, since, now)
				f.ok(err)
				return counts
			}
			equal(f, "since", count(since, f.now().Add(time.Minute)), want)
			want[4].Count = 3
			equal(f, "ever", count(time.Time{}, f.now().Add(time.Minute)), want)
			equal(f, "since the first", count(early.CreatedAt, f.now().Add(time.Minute)), want)
			equal(f, "since a little later", count(early.CreatedAt.Add(time.Microsecond), f.now().Add(time.Minute))[4].Count, 2)
			equal(f, "just before they expire", count(since, f.now().Add(time.Minute-time.Microsecond))[4], n(grant.LinkStateCreated, "", false, 3))
			equal(f, "since the end", count(f.now().Add(time.Microsecond), f.now()), nil)
		},
		"a link is counted where it stands after each of its steps": func(f *fixture) {
			l := f.link(f.connection("k"))
			only := func(what string, state grant.LinkState, p grant.Problem) {
				f.Helper()
				counts, err := f.CountLinks(f.ctx, time.Time{}, f.now())
				f.ok(err)
				equal(f, what, counts, []store.LinkCount{{App: app, Purpose: l.Purpose, Locale: l.Locale, State: state, Problem: p, Count: 1}})
			}
			only("created", grant.LinkStateCreated, "")
			_, err := f.UpdateLink(f.ctx, l.ID, func(l *grant.Link) error { l.State = grant.LinkStateOpened; return nil })
			f.ok(err)
			only("opened", grant.LinkStateOpened, "")
			a := f.authorization(l)
			only("sent", grant.LinkStateAtProvider, "")
			f.ok(f.FinishAuthorization(f.ctx, a.ID, grant.ProblemDeclined))
			only("came back", grant.LinkStateFailed, grant.ProblemDeclined)
			f.authorization(l)
			only("sent again", grant.LinkStateAtProvider, grant.ProblemDeclined)
			g := f.newGrant(grant.Connection{ID: l.ConnectionID, App: app})
			f.ok(f.Install(f.ctx, store.Installation{Grant: g, Sealed: sealed(g.ID, g.Version), LinkID: l.ID}))
			only("done", grant.LinkStateCompleted, "")
		},
	}
}
