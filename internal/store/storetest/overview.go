package storetest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// changed stores a connection whose status changed some time ago.
func (f *fixture) changed(key string, r grant.Reason, ago time.Duration, change func(*grant.Connection)) grant.Connection {
	f.Helper()
	c := f.newConnection(key)
	c.Status = grant.StatusOf(r, f.now().Add(-ago))
	if change != nil {
		change(&c)
	}
	f.ok(f.CreateConnection(f.ctx, c))
	return c
}

// latest reads all pages of a filter, limit at a time.
func (f *fixture) latest(filter store.LatestFilter, limit int) []grant.Connection {
	f.Helper()
	var all []grant.Connection
	for p := (store.Page{Limit: limit}); ; {
		list, next, err := f.Latest(f.ctx, filter, p)
		f.ok(err)
		f.page(len(list), limit, next)
		all = append(all, list...)
		if p.Cursor = next; next == "" {
			return all
		}
	}
}

// keysOf are the keys of connections.
func keysOf(list []grant.Connection) []string {
	keys := []string{}
	for _, c := range list {
		keys = append(keys, c.Key)
	}
	return keys
}

func latestTests() map[string]func(*fixture) {
	inApp := func(name string) func(*grant.Connection) { return func(c *grant.Connection) { c.App = name } }
	flagged := func(flags ...grant.Reason) func(*grant.Connection) {
		return func(c *grant.Connection) { c.Flags = flags }
	}
	return map[string]func(*fixture){
		"the connections of a state come from the one that changed last, page by page": func(f *fixture) {
			var want []grant.Connection
			for i, hours := range []time.Duration{5, 1, 3, 1, 0, 1, 9, 3} { // some at the same moment
				want = append(want, f.changed(fmt.Sprint("biz_", i), grant.Revoked, hours*time.Hour, nil))
			}
			f.changed("well", grant.OK, time.Hour, nil)
			f.changed("waiting", grant.NeverConnected, time.Hour, nil)
			dead := store.LatestFilter{State: grant.NeedsReauthorization}
			once := f.latest(dead, 1000)
			if !slices.IsSortedFunc(once, func(a, b grant.Connection) int { return b.Status.Since.Compare(a.Status.Since) }) {
				f.Fatalf("not in order: %v", once)
			}
			byID := func(a, b grant.Connection) int { return cmp.Compare(a.ID, b.ID) }
			equal(f, "all", slices.SortedFunc(slices.Values(once), byID), slices.SortedFunc(slices.Values(want), byID))
			for limit := 1; limit <= len(want)+1; limit++ {
				equal(f, fmt.Sprint("in pages of ", limit), f.latest(dead, limit), once)
			}
			dead.Since = f.now().Add(-3 * time.Hour)
			equal(f, "since", f.latest(dead, 2), once[:6])
			dead.Since = dead.Since.Add(time.Microsecond)
			equal(f, "since a little later", f.latest(dead, 2), once[:4])
			dead.Since = f.now().Add(time.Hour)
			equal(f, "since later than all", f.latest(dead, 2), nil)
			equal(f, "of a state nobody is in", f.latest(store.LatestFilter{State: grant.Disconnected}, 2), nil)
		},
		"connections come by their ids": func(f *fixture) {
			want := map[string]grant.Connection{}
			for i := range 3 {
				c := f.connection(fmt.Sprint("biz_", i))
				want[c.ID] = c
			}
			gone := f.connection("gone")
			f.ok(f.DeleteConnection(f.ctx, gone.ID))
			ids := slices.Collect(maps.Keys(want))
			got, err := f.ConnectionsByID(f.ctx, append(ids, "conn_none", "", gone.ID, ids[0]))
			f.ok(err)
			equal(f, "some", got, want)
			for _, none := range [][]string{nil, {}} {
				got, err = f.ConnectionsByID(f.ctx, none)
				f.ok(err)
				equal(f, "none", len(got), 0)
			}
			if _, err := f.ConnectionsByID(f.ctx, make([]string, 1001)); err == nil {
				f.Error("more than a thousand are answered at once")
			}
		},
		"an app selects from the latest connections": func(f *fixture) {
			for i, name := range []string{"x", "y", "x", "z", "y", "x"} {
				f.changed(fmt.Sprint(i), grant.Network, time.Duration(i)*time.Hour, inApp(name))
			}
			filter := store.LatestFilter{State: grant.Degraded, App: "x"}
			equal(f, "x", keysOf(f.latest(filter, 1)), []string{"0", "2", "5"})
			filter.Since = f.now().Add(-4 * time.Hour)
			equal(f, "x since", keysOf(f.latest(filter, 1)), []string{"0", "2"})
			filter.App = "none"
			equal(f, "none", f.latest(filter, 1), nil)
		},
		"a connection that changes between two pages hides and repeats no other": func(f *fixture) {
			for i := range 5 {
				f.changed(fmt.Sprint(i), grant.NeverConnected, time.Duration(i+1)*time.Hour, nil)
			}
			pending := store.LatestFilter{State: grant.Pending}
			first, next, err := f.Latest(f.ctx, pending, store.Page{Limit: 2})
			f.ok(err)
			equal(f, "first page", keysOf(first), []string{"0", "1"})
			f.install(f.newGrant(first[1]))                            // it leaves the state
			f.changed("new", grant.NeverConnected, 0, nil)             // before the first page
			f.ok(f.DeleteConnection(f.ctx, f.byKey("3").ID))           // on the next page
			f.changed("old", grant.MerchantDeclined, 4*time.Hour, nil) // as old as what went
			rest, next, err := f.Latest(f.ctx, pending, store.Page{Limit: 10, Cursor: next})
			f.ok(err)
			equal(f, "the rest", keysOf(rest), []string{"2", "old", "4"})
			equal(f, "cursor", next, "")
			equal(f, "connected", keysOf(f.latest(store.LatestFilter{State: grant.Connected}, 1)), []string{"1"})
		},
		"a connection whose status has no time comes last": func(f *fixture) {
			for i := range 3 {
				f.changed(fmt.Sprint("none_", i), grant.NeverConnected, 0, func(c *grant.Connection) { c.Status.Since = time.Time{} })
			}
			f.changed("old", grant.NeverConnected, 24*365*100*time.Hour/2, nil)
			filter := store.LatestFilter{State: grant.Pending}
			all := keysOf(f.latest(filter, 1))
			equal(f, "first", all[0], "old")
			slices.Sort(all)
			equal(f, "all", all, []string{"none_0", "none_1", "none_2", "old"})
			filter.Since = f.now().Add(-time.Hour)
			equal(f, "since", f.latest(filter, 1), nil)
		},
		"flagged connections come whatever their state": func(f *fixture) {
			f.changed("nil", grant.OK, 0, nil)
			f.changed("empty", grant.OK, 0, func(c *grant.Connection) { c.Flags = []grant.Reason{} })
			f.changed("scope", grant.OK, 3*time.Hour, flagged(grant.ScopeMissing))
			f.changed("both", grant.Revoked, 2*time.Hour, flagged(grant.ScopeMissing, grant.LocationsMissing))
			f.changed("places", grant.Network, time.Hour, func(c *grant.Connection) { flagged(grant.LocationsMissing)(c); inApp("x")(c) })
			all := store.LatestFilter{Flagged: true}
			for limit := 1; limit <= 4; limit++ {
				equal(f, "all", keysOf(f.latest(all, limit)), []string{"places", "both", "scope"})
			}
			equal(f, "of an app", keysOf(f.latest(store.LatestFilter{Flagged: true, App: app}, 1)), []string{"both", "scope"})
			equal(f, "since", keysOf(f.latest(store.LatestFilter{Flagged: true, Since: f.now().Add(-2 * time.Hour)}, 1)), []string{"places", "both"})
			_, err := f.UpdateConnection(f.ctx, f.byKey("both").ID, func(c *grant.Connection) error {
				c.Flags = grant.SetFlag(grant.SetFlag(c.Flags, grant.ScopeMissing, false), grant.LocationsMissing, false)
				return nil
			})
			f.ok(err)
			_, err = f.UpdateConnection(f.ctx, f.byKey("nil").ID, func(c *grant.Connection) error {
				c.Flags = grant.SetFlag(c.Flags, grant.ScopeMissing, true)
				return nil
			})
			f.ok(err)
			equal(f, "afterwards", keysOf(f.latest(all, 2)), []string{"nil", "places", "scope"})
		},
		"a refresh that goes well leaves the order alone": func(f *fixture) {
			g := f.connected("old")
			f.clock.advance(time.Hour)
			f.connected("new")
			f.ok(f.Commit(f.ctx, f.renewal(f.claim(g))))
			equal(f, "order", keysOf(f.latest(store.LatestFilter{State: grant.Connected}, 1)), []string{"new", "old"})
		},
		"what cannot be asked for of the latest connections is refused": func(f *fixture) {
			f.connection("k")
			good, page := store.LatestFilter{State: grant.Pending}, store.Page{Limit: 10}
			for what, c := range map[string]struct {
				filter store.LatestFilter
				page   store.Page
			}{
				"neither state nor flagged": {store.LatestFilter{App: app}, page},
				"state and flagged":         {store.LatestFilter{State: grant.Pending, Flagged: true}, page},
				"limit 0":                   {good, store.Page{}},
				"limit 1001":                {good, store.Page{Limit: 1001}},
				"a word as cursor":          {good, store.Page{Limit: 1, Cursor: "x"}},
				"an id as cursor":           {good, store.Page{Limit: 1, Cursor: "conn_1"}},
			} {
				if _, _, err := f.Latest(f.ctx, c.filter, c.page); err == nil || isError(err, store.ErrUnavailable) {
					f.Errorf("%s: error is %v, want one that trying again does not cure", what, err)
				}
			}
		},
	}
}

// byKey reads a connection of the app.
func (f *fixture) byKey(key string) grant.Connection {
	f.Helper()
	c, err := f.Connection(f.ctx, grant.Ref{Key: key, App: app})
	f.ok(err)
	return c
}
