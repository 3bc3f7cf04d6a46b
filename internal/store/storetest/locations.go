package storetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// locations reads what is known of a connection's.
func (f *fixture) locations(connectionID string) []grant.Location {
	f.Helper()
	all, err := f.Locations(f.ctx, connectionID)
	f.ok(err)
	return all
}

func locationTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"locations are ordered by location and grant": func(f *fixture) {
			c := f.connection("k")
			var want []grant.Location
			for _, id := range []string{"grant_b", "grant_a"} {
				g := f.newGrant(c)
				g.ID = id
				f.install(g)
				f.ok(f.SetLocations(f.ctx, id, []grant.Location{
					{GrantID: id, ID: "loc-2", Name: "Two", BusinessID: "biz", BusinessName: "Group", SeenAt: f.now()},
					{ID: "loc-1"},
				}))
			}
			for _, l := range []string{"loc-1", "loc-2"} {
				for _, g := range []string{"grant_a", "grant_b"} {
					loc := grant.Location{GrantID: g, ID: l}
					if l == "loc-2" {
						loc.Name, loc.BusinessID, loc.BusinessName, loc.SeenAt = "Two", "biz", "Group", f.now()
					}
					want = append(want, loc)
				}
			}
			equal(f, "locations", f.locations(c.ID), want)
		},
		"what a grant reaches no more is lost and stays": func(f *fixture) {
			g, stays := f.connected("k"), f.connected("l")
			f.ok(f.SetLocations(f.ctx, stays.ID, []grant.Location{{ID: "loc-9"}}))
			f.ok(f.SetLocations(f.ctx, g.ID, []grant.Location{{ID: "loc-1", Name: "One", SeenAt: f.now()}, {ID: "loc-2"}}))
			seen := f.now()
			f.clock.advance(time.Hour)
			f.ok(f.SetLocations(f.ctx, g.ID, []grant.Location{{ID: "loc-2", Name: "Two"}, {ID: "loc-3"}}))
			first := f.now()
			one := grant.Location{GrantID: g.ID, ID: "loc-1", Name: "One", SeenAt: seen, LostAt: first}
			equal(f, "locations", f.locations(g.ConnectionID),
				[]grant.Location{one, {GrantID: g.ID, ID: "loc-2", Name: "Two"}, {GrantID: g.ID, ID: "loc-3"}})
			f.clock.advance(time.Hour)
			f.ok(f.SetLocations(f.ctx, g.ID, nil))
			equal(f, "with nothing left", f.locations(g.ConnectionID), []grant.Location{one,
				{GrantID: g.ID, ID: "loc-2", Name: "Two", LostAt: f.now()}, {GrantID: g.ID, ID: "loc-3", LostAt: f.now()}})
			f.ok(f.SetLocations(f.ctx, g.ID, []grant.Location{{ID: "loc-1", SeenAt: f.now(), LostAt: first}}))
			equal(f, "with one back", f.locations(g.ConnectionID)[0], grant.Location{GrantID: g.ID, ID: "loc-1", SeenAt: f.now()})
			equal(f, "the other's", f.locations(stays.ConnectionID), []grant.Location{{GrantID: stays.ID, ID: "loc-9"}})
		},
		"so much of what was lost stays, and the last of it": func(f *fixture) {
			g := f.connected("k")
			var many []grant.Location
			for n := range store.MostLost {
				many = append(many, grant.Location{ID: fmt.Sprintf("loc-%04d", n)})
			}
			f.ok(f.SetLocations(f.ctx, g.ID, many))
			f.ok(f.SetLocations(f.ctx, g.ID, []grant.Location{{ID: "more-1"}, {ID: "more-2"}}))
			f.clock.advance(time.Hour)
			f.ok(f.SetLocations(f.ctx, g.ID, []grant.Location{{ID: "more-1"}}))
			all := f.locations(g.ConnectionID)
			equal(f, "known", len(all), 1+store.MostLost)
			equal(f, "the last lost is known", slices.ContainsFunc(all, func(l grant.Location) bool { return l.ID == "more-2" && l.Lost() }), true)
		},
		"what a grant reached keeps whose it was when it becomes another person's": func(f *fixture) {
			g := f.newGrant(f.connection("k"))
			anna, ben := g.Identity, g.Identity
			ben.Subject = "user-2"
			install := func(epoch int64, by grant.Identity, ids ...string) {
				f.Helper()
				g.Version, g.Identity = grant.Version{Epoch: epoch}, by
				in := store.Installation{Grant: g, Sealed: []byte("x")}
				for _, id := range ids {
					in.Locations = append(in.Locations, grant.Location{ID: id})
				}
				f.ok(f.Install(f.ctx, in))
			}
			install(1, anna, "loc-1", "loc-2", "loc-3")
			install(2, anna, "loc-1", "loc-2")
			install(3, ben, "loc-2")
			lost := func(id string) grant.Location {
				return grant.Location{GrantID: g.ID, ID: id, LostAt: f.now(), LostBy: &anna}
			}
			equal(f, "locations", f.locations(g.ConnectionID), []grant.Location{lost("loc-1"), {GrantID: g.ID, ID: "loc-2"}, lost("loc-3")})
			f.ok(f.SetLocations(f.ctx, g.ID, []grant.Location{{ID: "loc-1"}}))
			equal(f, "later", f.locations(g.ConnectionID), []grant.Location{{GrantID: g.ID, ID: "loc-1"},
				{GrantID: g.ID, ID: "loc-2", LostAt: f.now()}, lost("loc-3")})
		},
		"a disconnection forgets what was lost": func(f *fixture) {
			g := f.connected("k")
			f.ok(f.SetLocations(f.ctx, g.ID, []grant.Location{{ID: "loc-1"}, {ID: "loc-2"}}))
			f.ok(f.SetLocations(f.ctx, g.ID, []grant.Location{{ID: "loc-2"}}))
			f.ok(f.Disconnect(f.ctx, g.ID, g.Version, grant.DisconnectedByUs))
			equal(f, "locations", f.locations(g.ConnectionID), []grant.Location{{GrantID: g.ID, ID: "loc-2"}})
		},
		"a grant that is gone is not found": func(f *fixture) {
			mark := f.mark()
			err := f.SetLocations(f.ctx, "grant_none", []grant.Location{{ID: "loc-1"}}, grant.Event{Type: grant.ConnectionLocationsChanged})
			f.is(err, store.ErrNotFound)
			equal(f, "events", f.since(mark), nil)
		},
	}
}

// readings claims what is due to be read.
func (f *fixture) readings(limit int) []string {
	f.Helper()
	ids, err := f.ClaimReadings(f.ctx, app, limit, time.Hour)
	f.ok(err)
	return ids
}

func readingTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"a grant that came without locations is due at once, and claimed again after a while": func(f *fixture) {
			g := f.connected("k")
			equal(f, "first", f.readings(10), []string{g.ID})
			f.clock.advance(time.Hour - time.Second)
			equal(f, "too soon", len(f.readings(10)), 0)
			f.clock.advance(time.Second)
			equal(f, "again", f.readings(10), []string{g.ID})
			f.ok(f.SkipReading(f.ctx, g.ID))
			f.clock.advance(grant.ReadAgain(g.ID, f.now()).Sub(f.now()) - time.Second)
			equal(f, "after a skip, too soon", len(f.readings(10)), 0)
			f.clock.advance(time.Second)
			equal(f, "after a skip", f.readings(10), []string{g.ID})
		},
		"a grant whose locations are known is due by its own time of day": func(f *fixture) {
			g := f.newGrant(f.connection("k"))
			f.ok(f.Install(f.ctx, store.Installation{Grant: g, Sealed: []byte("x"), Locations: []grant.Location{{ID: "loc-1"}}}))
			for range 3 {
				f.clock.advance(grant.ReadAgain(g.ID, f.now()).Sub(f.now()) - time.Second)
				equal(f, "too soon", len(f.readings(10)), 0)
				f.clock.advance(time.Second)
				equal(f, "in time", f.readings(10), []string{g.ID})
				f.ok(f.SetLocations(f.ctx, g.ID, nil))
			}
		},
		"those that wait longest go first": func(f *fixture) {
			var want []string
			for n := range 5 {
				want = append(want, f.connected(fmt.Sprint(n)).ID)
				f.clock.advance(time.Second)
			}
			equal(f, "two", f.readings(2), want[:2])
			equal(f, "the others", f.readings(10), want[2:])
			equal(f, "none", len(f.readings(10)), 0)
		},
		"grants of other apps and those that do not live are left alone": func(f *fixture) {
			g, gone := f.connected("k"), f.connected("l")
			f.ok(f.Disconnect(f.ctx, gone.ID, gone.Version, grant.DisconnectedByUs))
			dead := f.connected("m")
			s := f.settlement(f.claim(dead), grant.RefreshRejected)
			s.DueAt = time.Time{}
			f.ok(f.Settle(f.ctx, s))
			ids, err := f.ClaimReadings(f.ctx, "another", 10, time.Hour)
			f.ok(err)
			equal(f, "another app's", len(ids), 0)
			equal(f, "this one's", f.readings(10), []string{g.ID})
			f.clock.advance(48 * time.Hour)
			equal(f, "later", f.readings(10), []string{g.ID})
			dead.Version = grant.Version{Epoch: 2}
			f.install(dead)
			equal(f, "installed anew", f.readings(10), []string{dead.ID})
			f.ok(f.DeleteConnection(f.ctx, dead.ConnectionID))
			f.ok(f.SkipReading(f.ctx, dead.ID))
		},
		"of many callers at once one claims each": func(f *fixture) {
			const grants, callers = 20, 8
			for n := range grants {
				f.connected(fmt.Sprint(n))
			}
			var mu sync.Mutex
			var wait sync.WaitGroup
			got := make(map[string]int)
			for range callers {
				wait.Go(func() {
					for range grants {
						ids, err := f.ClaimReadings(f.ctx, app, 3, time.Hour)
						mu.Lock()
						if err != nil {
							f.Error(err)
						}
						for _, id := range ids {
							got[id]++
						}
						mu.Unlock()
					}
				})
			}
			wait.Wait()
			equal(f, "claimed", len(got), grants)
			for id, n := range got {
				if n != 1 {
					f.Errorf("%s is claimed %d times", id, n)
				}
			}
		},
	}
}
