package storetest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// arrival is a connection with a grant and its events that has not been stored.
func (f *fixture) arrival(key string) store.Arrival {
	c := f.newConnection(key)
	g := f.newGrant(c)
	return store.Arrival{Connection: c, Installation: &store.Installation{
		Grant: g, Sealed: sealed(g.ID, g.Version),
		Events: []grant.Event{
			{Type: grant.GrantIssued, Reason: grant.OK, Data: map[string]any{"source": "adopted"}},
			{Type: grant.ConnectionConnected, Reason: grant.OK},
		},
	}}
}

// arrive stores arrivals and returns which were added.
func (f *fixture) arrive(arrivals ...store.Arrival) []bool {
	f.Helper()
	added, err := f.CreateConnections(f.ctx, arrivals)
	f.ok(err)
	return added
}

// absent ends the test if there is anything of an arrival.
func (f *fixture) absent(a store.Arrival) {
	f.Helper()
	_, err := f.Connection(f.ctx, grant.Ref{ID: a.Connection.ID})
	f.is(err, store.ErrNotFound)
	if a.Installation != nil {
		_, err = f.Grant(f.ctx, a.Installation.Grant.ID)
		f.is(err, store.ErrNotFound)
	}
}

func arrivalTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"are what one by one would make of them": func(f *fixture) {
			for i, vary := range []func(*store.Arrival){
				func(*store.Arrival) {},
				func(a *store.Arrival) { a.Installation = nil },
				func(a *store.Arrival) {
					a.Connection.Tags, a.Connection.RequiredLocations = map[string]string{"tier": "gold", "nul": "\x00"}, []string{"loc-1"}
					a.Connection.Flags = grant.SetFlag(nil, grant.ScopeMissing, true)
				},
				func(a *store.Arrival) {
					a.Connection.Tags, a.Connection.RequiredLocations = map[string]string{}, []string{}
				},
				func(a *store.Arrival) {
					g := &a.Installation.Grant
					g.Version, g.Failures, g.Refusals, g.RefusedAt = grant.Version{Epoch: 3, Seq: 5}, 1, 2, f.now()
					g.Status = grant.StatusOf(grant.Network, f.now())
					g.Status.NextTryAt = f.now().Add(time.Minute)
				},
				func(a *store.Arrival) {
					g := &a.Installation.Grant
					g.Identity, g.Scope = grant.Identity{}, ""
					g.IssuedAt, g.ExpiresAt, g.DeadlineAt, g.ConsentAt, g.DueAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
					a.Installation.Events = nil
				},
				func(a *store.Arrival) {
					a.Installation.Locations = []grant.Location{{ID: "loc-2", Name: "Bar", SeenAt: f.now()}, {ID: "loc-1"}, {ID: "loc-2", Name: "Quay"}}
				},
				func(a *store.Arrival) { a.Installation.Locations = []grant.Location{} },
			} {
				one, many := f.arrival(fmt.Sprint("one-", i)), f.arrival(fmt.Sprint("many-", i))
				vary(&one)
				vary(&many)
				f.clock.advance(time.Minute)
				mark := f.mark()
				f.ok(f.CreateConnection(f.ctx, one.Connection))
				if one.Installation != nil {
					f.ok(f.Install(f.ctx, *one.Installation))
				}
				want := f.everything(one, mark)
				mark = f.mark()
				equal(f, "added", f.arrive(many), []bool{true})
				equal(f, fmt.Sprintf("what case %d is", i), f.everything(many, mark), want)
			}
		},
		"come in any number, in the order of their events": func(f *fixture) {
			equal(f, "of none", len(f.arrive()), 0)
			var list []store.Arrival
			for i := range store.MaxArrivals {
				list = append(list, f.arrival(fmt.Sprint("k", (i*7919)%store.MaxArrivals)))
			}
			mark := f.mark()
			added := f.arrive(list...)
			equal(f, "not added", slices.Index(added, false), -1)
			_, next, err := f.ListEvents(f.ctx, store.EventFilter{}, store.Page{Limit: 1000, Cursor: mark})
			f.ok(err)
			events := append([]grant.Event{}, f.since(next)...)
			equal(f, "events of the second half", len(events), store.MaxArrivals)
			equal(f, "connection of the last event", events[len(events)-1].Connection, list[len(list)-1].Connection.ID)
			if _, err := f.CreateConnections(f.ctx, append(list, f.arrival("one too many"))); err == nil {
				f.Error("takes more than it says")
			}
		},
		"can be claimed and committed at once": func(f *fixture) {
			a := f.arrival("k")
			f.arrive(a)
			g := a.Installation.Grant
			f.ok(f.Commit(f.ctx, f.renewal(f.claim(g))))
			f.current(g, sealed(g.ID, g.Version.Next()))
		},
		"an address that is taken keeps who has it": func(f *fixture) {
			old := f.connected("taken")
			before, after, again := f.arrival("before"), f.arrival("after"), f.arrival("taken")
			again.Connection.Name = "Another"
			mark := f.mark()
			equal(f, "added", f.arrive(before, again, after), []bool{true, false, true})
			f.absent(again)
			equal(f, "grant", f.grant(old.ID), old)
			equal(f, "events", f.types(mark), []grant.EventType{grant.GrantIssued, grant.ConnectionConnected, grant.GrantIssued, grant.ConnectionConnected})
			equal(f, "the same list again", f.arrive(before, again, after), []bool{false, false, false})
		},
		"of an address that is listed twice the first counts": func(f *fixture) {
			first, second, third := f.arrival("k"), f.arrival("k"), f.arrival("k")
			second.Installation = nil
			equal(f, "added", f.arrive(f.arrival("z"), first, second, f.arrival("a"), third), []bool{true, true, false, true, false})
			f.absent(second)
			f.absent(third)
			c, err := f.Connection(f.ctx, grant.Ref{Key: "k", App: app})
			f.ok(err)
			equal(f, "id", c.ID, first.Connection.ID)
		},
		"the same key of another app is another address": func(f *fixture) {
			a, b := f.arrival("k"), f.arrival("k")
			b.Connection.App, b.Installation.Grant.App = "o-series", "o-series"
			equal(f, "added", f.arrive(a, b), []bool{true, true})
		},
		"one that cannot be kept undoes all of them": func(f *fixture) {
			old := f.connected("old")
			for name, c := range map[string]struct {
				spoil func(*store.Arrival)
				want  error
			}{
				"data that is not JSON": {func(a *store.Arrival) { a.Installation.Events[1].Data = map[string]any{"x": func() {}} }, nil},
				"the id of a connection in the store": {func(a *store.Arrival) {
					a.Connection.ID, a.Installation.Grant.ConnectionID = old.ConnectionID, old.ConnectionID
				}, store.ErrExists},
				"the id of a grant in the store":         {func(a *store.Arrival) { a.Installation.Grant.ID = old.ID }, store.ErrExists},
				"a grant of another connection":          {func(a *store.Arrival) { a.Installation.Grant.ConnectionID = old.ConnectionID }, store.ErrStale},
				"a link that its connection cannot have": {func(a *store.Arrival) { a.Installation.LinkID = "lnk_1" }, store.ErrStale},
			} {
				before, bad, after := f.arrival("before"), f.arrival("bad"), f.arrival("after")
				c.spoil(&bad)
				mark := f.mark()
				_, err := f.CreateConnections(f.ctx, []store.Arrival{before, bad, after})
				if err == nil || c.want != nil && !isError(err, c.want) {
					f.Fatalf("%s: error is %v, want %v", name, err, c.want)
				}
				f.absent(before)
				f.absent(after)
				equal(f, name+": events", f.since(mark), nil)
				equal(f, name+": grant", f.grant(old.ID), old)
			}
			twice := f.arrival("twice")
			other := f.arrival("other")
			other.Connection.ID, other.Installation = twice.Connection.ID, nil
			_, err := f.CreateConnections(f.ctx, []store.Arrival{twice, other})
			f.is(err, store.ErrExists)
			f.absent(twice)
		},
		"of many lists each address is added once": func(f *fixture) {
			const addresses = 20
			var added atomic.Int32
			var mu sync.Mutex
			winners := map[string]string{}
			f.together(nil, func(i int) error {
				var list []store.Arrival
				for k := range addresses {
					if i%2 == 1 {
						k = addresses - 1 - k
					}
					list = append(list, f.arrival(fmt.Sprint("k", k)))
				}
				got, err := f.CreateConnections(f.ctx, list)
				mu.Lock()
				defer mu.Unlock()
				for k, is := range got {
					if is {
						added.Add(1)
						winners[list[k].Connection.Key] = list[k].Connection.ID
					}
				}
				return err
			})
			equal(f, "added", int(added.Load()), addresses)
			for key, id := range winners {
				c, err := f.Connection(f.ctx, grant.Ref{Key: key, App: app})
				f.ok(err)
				equal(f, "id", c.ID, id)
			}
		},
	}
}

// everything is what a store has of an arrival, without the names that tell it
// from others.
func (f *fixture) everything(a store.Arrival, mark string) any {
	f.Helper()
	c, err := f.Connection(f.ctx, grant.Ref{Key: a.Connection.Key, App: app})
	f.ok(err)
	equal(f, "id", c.ID, a.Connection.ID)
	grants, err := f.Grants(f.ctx, c.ID)
	f.ok(err)
	locations, err := f.Locations(f.ctx, c.ID)
	f.ok(err)
	due, err := f.ClaimReadings(f.ctx, app, 1000, time.Hour)
	f.ok(err)
	events := f.since(mark)
	c.ID, c.Key = "", ""
	for i, g := range grants {
		equal(f, "id of the grant", g.ID, a.Installation.Grant.ID)
		f.current(g, a.Installation.Sealed)
		equal(f, "connection of the grant", g.ConnectionID, a.Connection.ID)
		grants[i].ID, grants[i].ConnectionID = "", ""
	}
	for i := range locations {
		locations[i].GrantID = ""
	}
	for i, e := range events {
		equal(f, "connection and address of an event", e.Connection+" "+e.Ref, a.Connection.ID+" "+a.Connection.Ref().String())
		equal(f, "grant of an event", e.Grant, a.Installation.Grant.ID)
		events[i].Connection, events[i].Ref, events[i].Grant = "", "", ""
	}
	return []any{c, grants, locations, events, len(due)}
}
