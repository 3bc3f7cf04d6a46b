package storetest

import (
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// types are the types of the events since a mark.
func (f *fixture) types(mark string) []grant.EventType {
	f.Helper()
	types := []grant.EventType{}
	for _, e := range f.since(mark) {
		types = append(types, e.Type)
	}
	return types
}

func statusTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"a connection follows its grant, and the log tells it": func(f *fixture) {
			g := f.connected("k")
			equal(f, "after the consent", f.status(g.ConnectionID), g.Status)
			about := grant.Event{Connection: g.ConnectionID, Ref: "k@" + app, App: app}

			f.clock.advance(time.Second)
			mark := f.mark()
			s := f.settlement(f.claim(g), grant.Network)
			s.Events = []grant.Event{{Type: grant.GrantRefreshFailed, Reason: grant.Network}}
			f.ok(f.Settle(f.ctx, s))
			equal(f, "after a failure", f.status(g.ConnectionID), s.Status)
			failed, degraded := about, about
			failed.Type, failed.Time, failed.Grant, failed.Reason = grant.GrantRefreshFailed, f.now(), g.ID, grant.Network
			degraded.Type, degraded.Time, degraded.Reason = grant.ConnectionDegraded, f.now(), grant.Network
			events := f.since(mark)
			equal(f, "number of events", len(events), 2)
			events[1].Data = nil // a store may say more
			equal(f, "events", events, []grant.Event{failed, degraded})

			f.clock.advance(time.Hour)
			mark = f.mark()
			r := f.renewal(f.claim(f.grant(g.ID)))
			r.Events = []grant.Event{{Type: grant.GrantRefreshed}}
			f.ok(f.Commit(f.ctx, r))
			equal(f, "after a success", f.status(g.ConnectionID), grant.StatusOf(grant.OK, f.now()))
			equal(f, "events", f.types(mark), []grant.EventType{grant.GrantRefreshed, grant.ConnectionRecovered})

			f.clock.advance(time.Hour)
			mark = f.mark()
			s = f.settlement(f.claim(f.grant(g.ID)), grant.RefreshRejected)
			s.DueAt, s.Status.NextTryAt = time.Time{}, time.Time{}
			f.ok(f.Settle(f.ctx, s))
			equal(f, "after its death", f.status(g.ConnectionID), s.Status)
			events = f.since(mark)
			equal(f, "number of events", len(events), 1)
			equal(f, "event", events[0].Type, grant.ConnectionNeedsReauthorization)
			equal(f, "reason", events[0].Reason, grant.RefreshRejected)
		},
		"a change of status moves the connection's update time": func(f *fixture) {
			g := f.connected("k")
			f.clock.advance(time.Second)
			f.ok(f.Settle(f.ctx, f.settlement(f.claim(g), grant.Network)))
			c, err := f.Connection(f.ctx, grant.Ref{ID: g.ConnectionID})
			f.ok(err)
			equal(f, "updated at", c.UpdatedAt, f.now())
		},
		"another reason in the same state changes the connection without news": func(f *fixture) {
			g := f.connected("k")
			f.ok(f.Settle(f.ctx, f.settlement(f.claim(g), grant.Network)))
			f.clock.advance(time.Minute)
			mark := f.mark()
			f.ok(f.Settle(f.ctx, f.settlement(f.claim(f.grant(g.ID)), grant.RateLimited)))
			equal(f, "reason", f.status(g.ConnectionID).Reason, grant.RateLimited)
			equal(f, "events", f.types(mark), []grant.EventType{})
		},
		"a later next try reaches the connection without news": func(f *fixture) {
			g := f.connected("k")
			f.ok(f.Settle(f.ctx, f.settlement(f.claim(g), grant.Network)))
			since := f.now()
			f.clock.advance(time.Minute)
			mark := f.mark()
			f.ok(f.Settle(f.ctx, f.settlement(f.claim(f.grant(g.ID)), grant.Network)))
			equal(f, "status", f.status(g.ConnectionID), grant.Status{State: grant.Degraded, Reason: grant.Network,
				Since: since, NextTryAt: f.now().Add(time.Minute)})
			equal(f, "events", f.types(mark), []grant.EventType{})
		},
		"a settlement that leaves the status alone is no news": func(f *fixture) {
			g := f.connected("k")
			s := f.settlement(f.claim(g), grant.Network)
			s.Status = g.Status
			mark := f.mark()
			f.ok(f.Settle(f.ctx, s))
			equal(f, "status", f.status(g.ConnectionID), g.Status)
			equal(f, "events", f.types(mark), []grant.EventType{})
		},
		"the best of several grants decides": func(f *fixture) {
			c := f.connection("k")
			a, b := f.install(f.newGrant(c)), f.install(f.newGrant(c))
			mark := f.mark()
			dead := f.settlement(f.claim(a), grant.Revoked)
			dead.DueAt, dead.Status.NextTryAt = time.Time{}, time.Time{}
			f.ok(f.Settle(f.ctx, dead))
			equal(f, "one dead", f.status(c.ID).State, grant.Connected)
			equal(f, "events", f.types(mark), []grant.EventType{})

			f.ok(f.Settle(f.ctx, f.settlement(f.claim(b), grant.Network)))
			equal(f, "the other degraded", f.status(c.ID).Reason, grant.Network)
			equal(f, "events", f.types(mark), []grant.EventType{grant.ConnectionDegraded})

			f.clock.advance(time.Minute)
			dead = f.settlement(f.claim(f.grant(b.ID)), grant.Revoked)
			dead.DueAt, dead.Status.NextTryAt = time.Time{}, time.Time{}
			f.ok(f.Settle(f.ctx, dead))
			equal(f, "both dead", f.status(c.ID).State, grant.NeedsReauthorization)
			equal(f, "events", f.types(mark), []grant.EventType{grant.ConnectionDegraded, grant.ConnectionNeedsReauthorization})
		},
		"consent and disconnection tell only what their callers say": func(f *fixture) {
			c := f.connection("k")
			mark := f.mark()
			g := f.newGrant(c)
			f.ok(f.Install(f.ctx, store.Installation{Grant: g, Sealed: []byte("x"),
				Events: []grant.Event{{Type: grant.GrantIssued}, {Type: grant.ConnectionConnected}}}))
			dead := f.settlement(f.claim(g), grant.Revoked)
			dead.DueAt, dead.Status.NextTryAt = time.Time{}, time.Time{}
			f.ok(f.Settle(f.ctx, dead))
			g.Version, g.Status = grant.Version{Epoch: 2}, grant.StatusOf(grant.OK, f.now())
			f.ok(f.Install(f.ctx, store.Installation{Grant: g, Sealed: []byte("x"), Events: []grant.Event{{Type: grant.ConnectionReconnected}}}))
			equal(f, "after the reconnect", f.status(c.ID).State, grant.Connected)
			f.ok(f.Settle(f.ctx, f.settlement(f.claim(g), grant.Network)))
			g.Version = grant.Version{Epoch: 3}
			f.install(g)
			equal(f, "after a consent in time", f.status(c.ID).State, grant.Connected)
			f.ok(f.Disconnect(f.ctx, g.ID, g.Version, grant.DisconnectedByUs, grant.Event{Type: grant.ConnectionDisconnected}))
			equal(f, "after the disconnection", f.status(c.ID).Reason, grant.DisconnectedByUs)
			equal(f, "events", f.types(mark), []grant.EventType{grant.GrantIssued, grant.ConnectionConnected,
				grant.ConnectionNeedsReauthorization, grant.ConnectionReconnected, grant.ConnectionDegraded,
				grant.ConnectionDisconnected})
		},
		"a grant that ends leaves the others to decide": func(f *fixture) {
			c := f.connection("k")
			a, b := f.install(f.newGrant(c)), f.newGrant(c)
			b.Status = grant.StatusOf(grant.Network, f.now())
			f.install(b)
			f.ok(f.Disconnect(f.ctx, a.ID, a.Version, grant.DisconnectedByUs))
			equal(f, "reason", f.status(c.ID).Reason, grant.Network)
		},
	}
}
