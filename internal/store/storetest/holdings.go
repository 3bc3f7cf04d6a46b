package storetest

import (
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// holdings reads what tokens of a connection are handed out from.
func (f *fixture) holdings(connectionID string) []store.Holding {
	f.Helper()
	_, all, err := f.Holdings(f.ctx, grant.Ref{ID: connectionID})
	f.ok(err)
	return all
}

func holdingTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"a live grant is held with its current credentials and what it reaches": func(f *fixture) {
			g := f.connected("k")
			f.connected("l") // another connection's
			f.ok(f.SetLocations(f.ctx, g.ID, []grant.Location{{ID: "loc-2"}, {ID: "loc-3"}, {ID: "loc-1"}}))
			f.ok(f.SetLocations(f.ctx, g.ID, []grant.Location{{ID: "loc-3"}, {ID: "loc-1"}}))
			equal(f, "holdings", f.holdings(g.ConnectionID),
				[]store.Holding{{Grant: f.grant(g.ID), Sealed: sealed(g.ID, g.Version), Locations: []string{"loc-1", "loc-3"}}})
			c := f.claim(g)
			r := f.renewal(c)
			f.ok(f.Commit(f.ctx, r))
			equal(f, "after a refresh", f.holdings(g.ConnectionID),
				[]store.Holding{{Grant: f.grant(g.ID), Sealed: r.Sealed, Locations: []string{"loc-1", "loc-3"}}})
		},
		"they come with their connection, by its id or its address": func(f *fixture) {
			g := f.connected("k")
			f.connected("l")
			is, err := f.Connection(f.ctx, grant.Ref{ID: g.ConnectionID})
			f.ok(err)
			for _, ref := range []grant.Ref{{ID: is.ID}, {App: is.App, Key: is.Key}} {
				c, held, err := f.Holdings(f.ctx, ref)
				f.ok(err)
				equal(f, "connection", c, is)
				equal(f, "holdings", held, []store.Holding{{Grant: f.grant(g.ID), Sealed: sealed(g.ID, g.Version), Locations: []string{}}})
			}
		},
		"a connection without grants is found, one that is not there never": func(f *fixture) {
			c := f.connection("k")
			for range 20 { // whatever session of a database is asked
				got, held, err := f.Holdings(f.ctx, c.Ref())
				f.ok(err)
				equal(f, "connection", got, c)
				equal(f, "holdings", len(held), 0)
				for _, ref := range []grant.Ref{{ID: "conn_unknown"}, {App: c.App, Key: "unknown"}, {App: "unknown", Key: c.Key}, {}} {
					_, _, err := f.Holdings(f.ctx, ref)
					f.is(err, store.ErrNotFound)
				}
			}
		},
		"a grant with an open attempt is held at the version it has": func(f *fixture) {
			g := f.connected("k")
			f.claim(g)
			held := f.holdings(g.ConnectionID)
			equal(f, "grants", len(held), 1)
			equal(f, "grant", held[0].Grant, f.grant(g.ID))
			equal(f, "credentials", held[0].Sealed, sealed(g.ID, g.Version))
		},
		"grants are held in the order of their ids": func(f *fixture) {
			c := f.connection("k")
			for _, id := range []string{"grant_b", "grant_c", "grant_a"} {
				g := f.newGrant(c)
				g.ID = id
				f.install(g)
			}
			var got []string
			for _, h := range f.holdings(c.ID) {
				got = append(got, h.Grant.ID)
			}
			equal(f, "order", got, []string{"grant_a", "grant_b", "grant_c"})
		},
		"nothing is held of grants that are not live": func(f *fixture) {
			g := f.connected("k")
			s := f.settlement(f.claim(g), grant.RefreshRejected)
			f.ok(f.Settle(f.ctx, s))
			equal(f, "of a dead one", len(f.holdings(g.ConnectionID)), 0)
			g = f.connected("l")
			f.ok(f.Disconnect(f.ctx, g.ID, g.Version, grant.DisconnectedByUs))
			equal(f, "of a disconnected one", len(f.holdings(g.ConnectionID)), 0)
		},
	}
}
