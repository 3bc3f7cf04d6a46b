package storetest

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func connectionTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"a connection is given back as it was created": func(f *fixture) {
			c := f.newConnection("biz@42 é")
			c.Name = "Quay Bar 'n' Grill"
			c.Tags = map[string]string{"tier": "gold", "a.b$c": ""}
			c.RequiredLocations = []string{"loc-2", "loc-1"}
			c.Flags = []grant.Reason{grant.ScopeMissing}
			c.Status = grant.Status{State: grant.Degraded, Reason: grant.Network, Since: f.now(), NextTryAt: f.now().Add(time.Second)}
			f.ok(f.CreateConnection(f.ctx, c))
			for _, ref := range []grant.Ref{{ID: c.ID}, c.Ref()} {
				got, err := f.Connection(f.ctx, ref)
				f.ok(err)
				equal(f, ref.String(), got, c)
			}
		},
		"nil and empty required locations stay different": func(f *fixture) {
			none, empty := f.newConnection("none"), f.newConnection("empty")
			empty.RequiredLocations = []string{}
			f.ok(f.CreateConnection(f.ctx, none))
			f.ok(f.CreateConnection(f.ctx, empty))
			got, err := f.Connection(f.ctx, none.Ref())
			f.ok(err)
			equal(f, "nil", got.RequiredLocations, nil)
			got, err = f.Connection(f.ctx, empty.Ref())
			f.ok(err)
			equal(f, "empty", got.RequiredLocations, []string{})
		},
		"times are kept to the microsecond in UTC": func(f *fixture) {
			c := f.newConnection("k")
			c.CreatedAt = time.Date(2026, 3, 4, 5, 6, 7, 891234999, time.FixedZone("X", -7*3600))
			c.UpdatedAt = time.Time{}
			f.ok(f.CreateConnection(f.ctx, c))
			got, err := f.Connection(f.ctx, c.Ref())
			f.ok(err)
			equal(f, "created at", got.CreatedAt, time.Date(2026, 3, 4, 12, 6, 7, 891234000, time.UTC))
			equal(f, "zone", got.CreatedAt.Location() == time.UTC, true)
			equal(f, "zero time", got.UpdatedAt.IsZero() && got.UpdatedAt == time.Time{}, true)
		},
		"an address or an id can be taken once": func(f *fixture) {
			c := f.connection("k")
			mark := f.mark()
			again := f.newConnection("k")
			f.is(f.CreateConnection(f.ctx, again, grant.Event{Type: grant.LinkCreated}), store.ErrExists)
			sameID := f.newConnection("l")
			sameID.ID = c.ID
			f.is(f.CreateConnection(f.ctx, sameID), store.ErrExists)
			_, err := f.Connection(f.ctx, grant.Ref{ID: again.ID})
			f.is(err, store.ErrNotFound)
			equal(f, "events", f.since(mark), nil)
			elsewhere := f.newConnection("k")
			elsewhere.App = "r-series"
			f.ok(f.CreateConnection(f.ctx, elsewhere))
		},
		"what does not exist is not found": func(f *fixture) {
			_, err := f.Connection(f.ctx, grant.Ref{ID: "conn_none"})
			f.is(err, store.ErrNotFound)
			_, err = f.Connection(f.ctx, grant.Ref{Key: "none", App: app})
			f.is(err, store.ErrNotFound)
			_, err = f.UpdateConnection(f.ctx, "conn_none", func(*grant.Connection) error { return nil })
			f.is(err, store.ErrNotFound)
			f.is(f.DeleteConnection(f.ctx, "conn_none"), store.ErrNotFound)
			_, err = f.Grant(f.ctx, "grant_none")
			f.is(err, store.ErrNotFound)
			_, _, err = f.Credentials(f.ctx, "grant_none")
			f.is(err, store.ErrNotFound)
			grants, err := f.Grants(f.ctx, "conn_none")
			f.ok(err)
			equal(f, "grants", len(grants), 0)
		},
		"an update changes name, tags, required locations and flags and nothing else": func(f *fixture) {
			c := f.connection("k")
			f.clock.advance(time.Second)
			want := c
			want.Name, want.Tags = "New", map[string]string{"a": "b"}
			want.RequiredLocations, want.Flags = []string{"loc-1"}, []grant.Reason{grant.LocationsMissing}
			want.UpdatedAt = f.now()
			got, err := f.UpdateConnection(f.ctx, c.ID, func(c *grant.Connection) error {
				c.Name, c.Tags, c.RequiredLocations, c.Flags = want.Name, want.Tags, want.RequiredLocations, want.Flags
				c.ID, c.App, c.Key, c.CreatedAt = "conn_x", "x", "x", time.Time{}
				c.Status = grant.StatusOf(grant.Revoked, f.now())
				return nil
			})
			f.ok(err)
			equal(f, "returned", got, want)
			got, err = f.Connection(f.ctx, c.Ref())
			f.ok(err)
			equal(f, "stored", got, want)
		},
		"an update sees the connection as it is": func(f *fixture) {
			c := f.newConnection("k")
			c.Tags = map[string]string{"a": "b"}
			f.ok(f.CreateConnection(f.ctx, c))
			_, err := f.UpdateConnection(f.ctx, c.ID, func(got *grant.Connection) error {
				if got.ID != c.ID || !maps.Equal(got.Tags, c.Tags) || !got.Status.Same(c.Status) {
					return errors.New("another connection")
				}
				return nil
			})
			f.ok(err)
		},
		"an update whose function fails changes nothing and returns its error": func(f *fixture) {
			c := f.connection("k")
			mark := f.mark()
			mine := errors.New("mine")
			_, err := f.UpdateConnection(f.ctx, c.ID, func(c *grant.Connection) error {
				c.Name = "New"
				return mine
			}, grant.Event{Type: grant.ConnectionScopeChanged})
			if err != mine {
				f.Fatalf("error is %v, want it as it is", err)
			}
			got, err := f.Connection(f.ctx, c.Ref())
			f.ok(err)
			equal(f, "connection", got, c)
			equal(f, "events", f.since(mark), nil)
		},
		"an update whose function panics harms nobody else": func(f *fixture) {
			c := f.connection("k")
			func() {
				defer func() { _ = recover() }() // an implementation may pass the panic on to its caller
				_, err := f.UpdateConnection(f.ctx, c.ID, func(*grant.Connection) error { panic("mine") })
				if err == nil {
					f.Error("no error")
				}
			}()
			f.ok(f.Check(f.ctx))
			got, err := f.Connection(f.ctx, c.Ref())
			f.ok(err)
			equal(f, "connection", got, c)
		},
		"a deleted connection takes everything with it but its events": func(f *fixture) {
			c := f.connection("k")
			g := f.install(f.newGrant(c))
			l := f.link(c)
			a := f.authorization(l)
			f.ok(f.SetLocations(f.ctx, g.ID, []grant.Location{{ID: "loc-1"}}))
			f.ok(f.Park(f.ctx, store.Orphan{AttemptID: "att_1", GrantID: g.ID, Of: g.Version, Sealed: []byte("x")}))
			stays := f.connected("stays")
			f.ok(f.AppendEvents(f.ctx, grant.Event{Type: grant.ConnectionDeadlineNear, Connection: c.ID}))
			f.ok(f.DeleteConnection(f.ctx, c.ID, grant.Event{Type: grant.ConnectionDeleted}))

			_, err := f.Connection(f.ctx, c.Ref())
			f.is(err, store.ErrNotFound)
			_, err = f.Grant(f.ctx, g.ID)
			f.is(err, store.ErrNotFound)
			_, _, err = f.Credentials(f.ctx, g.ID)
			f.is(err, store.ErrNotFound)
			_, err = f.Link(f.ctx, l.ID)
			f.is(err, store.ErrNotFound)
			_, err = f.Authorization(f.ctx, a.ID)
			f.is(err, store.ErrNotFound)
			orphans, err := f.Orphans(f.ctx, g.ID)
			f.ok(err)
			equal(f, "orphans", len(orphans), 0)
			locations, err := f.Locations(f.ctx, c.ID)
			f.ok(err)
			equal(f, "locations", len(locations), 0)
			claims, err := f.Claim(f.ctx, request(owner))
			f.ok(err)
			equal(f, "claims", len(claims), 1)
			equal(f, "the other's grant", claims[0].Grant.ID, stays.ID)

			events, _, err := f.ListEvents(f.ctx, store.EventFilter{ConnectionID: c.ID}, store.Page{Limit: 10})
			f.ok(err)
			types := []grant.EventType{}
			for _, e := range events {
				types = append(types, e.Type)
			}
			equal(f, "events", types, []grant.EventType{grant.ConnectionDeadlineNear, grant.ConnectionDeleted})
			equal(f, "ref of the last", events[1].Ref, "k@"+app)
			f.is(f.DeleteConnection(f.ctx, c.ID), store.ErrNotFound)
			f.connection("k") // the address is free again
		},
		"counts are by app, state and reason": func(f *fixture) {
			f.connection("a")
			f.connection("b")
			f.connected("c")
			elsewhere := f.newConnection("a")
			elsewhere.App = "r-series"
			f.ok(f.CreateConnection(f.ctx, elsewhere))
			counts, err := f.CountConnections(f.ctx)
			f.ok(err)
			got := map[store.ConnectionCount]bool{}
			for _, c := range counts {
				got[c] = true
			}
			equal(f, "counts", got, map[store.ConnectionCount]bool{
				{App: app, State: grant.Pending, Reason: grant.NeverConnected, Count: 2}:        true,
				{App: app, State: grant.Connected, Reason: grant.OK, Count: 1}:                  true,
				{App: "r-series", State: grant.Pending, Reason: grant.NeverConnected, Count: 1}: true,
			})
		},
	}
}

// list reads all pages of a filter, limit at a time, and returns the keys.
func (f *fixture) list(filter store.ConnectionFilter, limit int) []string {
	f.Helper()
	keys := []string{}
	lastID := ""
	for cursor := ""; ; {
		page, next, err := f.ListConnections(f.ctx, filter, store.Page{Limit: limit, Cursor: cursor})
		f.ok(err)
		f.page(len(page), limit, cursor)
		for _, c := range page {
			if c.ID <= lastID {
				f.Fatalf("%s comes after %s", c.ID, lastID)
			}
			lastID = c.ID
			keys = append(keys, c.Key)
		}
		if next == "" {
			return keys
		}
		cursor = next
	}
}

// selects ends the test unless the filter selects these keys.
func (f *fixture) selects(what string, filter store.ConnectionFilter, keys ...string) {
	f.Helper()
	got := f.list(filter, 100)
	slices.Sort(got)
	slices.Sort(keys)
	if !slices.Equal(got, keys) {
		f.Errorf("%s selects %q, want %q", what, got, keys)
	}
}

func filterTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"pages follow each other without gap or repetition": func(f *fixture) {
			var want []string
			for _, k := range []string{"a", "b", "c", "d", "e"} {
				f.connection(k)
				f.clock.advance(time.Second)
				want = append(want, k)
			}
			for limit := 1; limit <= 6; limit++ {
				equal(f, "keys", f.list(store.ConnectionFilter{}, limit), want)
			}
		},
		"app, apps and keys": func(f *fixture) {
			for _, a := range []string{"x", "y", "z"} {
				for _, k := range []string{"1", "2"} {
					c := f.newConnection(k + a)
					c.App = a
					f.ok(f.CreateConnection(f.ctx, c))
				}
			}
			f.selects("one app", store.ConnectionFilter{App: "y"}, "1y", "2y")
			f.selects("two apps", store.ConnectionFilter{Apps: []string{"x", "z"}}, "1x", "2x", "1z", "2z")
			f.selects("an app outside the apps", store.ConnectionFilter{App: "y", Apps: []string{"x"}})
			f.selects("no apps at all", store.ConnectionFilter{Apps: []string{}})
			f.selects("keys", store.ConnectionFilter{Keys: []string{"1x", "2z", "none"}}, "1x", "2z")
			f.selects("no keys at all", store.ConnectionFilter{Keys: []string{}})
			f.selects("keys and app", store.ConnectionFilter{App: "x", Keys: []string{"1x", "2z"}}, "1x")
		},
		"states and who has to act": func(f *fixture) {
			for key, r := range map[string]grant.Reason{"ok": grant.OK, "new": grant.NeverConnected, "net": grant.Network,
				"out": grant.ProviderUnavailable, "paused": grant.AppPaused, "dead": grant.Revoked, "off": grant.DisconnectedByUs} {
				c := f.newConnection(key)
				c.Status = grant.StatusOf(r, f.now())
				f.ok(f.CreateConnection(f.ctx, c))
			}
			f.selects("connected", store.ConnectionFilter{States: []grant.State{grant.Connected}}, "ok")
			f.selects("two states", store.ConnectionFilter{States: []grant.State{grant.Pending, grant.Degraded}}, "new", "net", "out", "paused")
			f.selects("merchant", store.ConnectionFilter{ActBy: grant.Merchant}, "new", "dead")
			f.selects("operator", store.ConnectionFilter{ActBy: grant.Operator}, "paused")
			f.selects("provider", store.ConnectionFilter{ActBy: grant.Provider}, "net", "out")
			f.selects("nobody", store.ConnectionFilter{ActBy: grant.Nobody}, "ok", "off")
			f.selects("both", store.ConnectionFilter{ActBy: grant.Merchant, States: []grant.State{grant.Pending}}, "new")
		},
		"each reason has the actor the domain gives it": func(f *fixture) {
			reasons := []grant.Reason{grant.OK, grant.NeverConnected, grant.MerchantDeclined, grant.ProviderUnavailable,
				grant.RateLimited, grant.Network, grant.AnswerLost, grant.AppCredentialsRejected, grant.AppPaused,
				grant.StoreUnavailable, grant.KeyUnavailable, grant.RefreshRejected, grant.Revoked, grant.DeadlinePassed,
				grant.RotationLost, grant.DisconnectedByUs, grant.DisconnectedByMerchant}
			byActor := map[grant.Actor][]string{}
			for _, r := range reasons {
				c := f.newConnection(string(r))
				c.Status = grant.StatusOf(r, f.now())
				f.ok(f.CreateConnection(f.ctx, c))
				byActor[r.ActBy()] = append(byActor[r.ActBy()], string(r))
			}
			for actor, keys := range byActor {
				f.selects(string(actor), store.ConnectionFilter{ActBy: actor}, keys...)
			}
		},
		"connected connections of unhealthy apps count as degraded": func(f *fixture) {
			for _, a := range []string{"sick", "well"} {
				for key, r := range map[string]grant.Reason{"ok": grant.OK, "dead": grant.Revoked, "net": grant.Network} {
					c := f.newConnection(key + "-" + a)
					c.App, c.Status = a, grant.StatusOf(r, f.now())
					f.ok(f.CreateConnection(f.ctx, c))
				}
			}
			sick := map[string]grant.Reason{"sick": grant.AppCredentialsRejected, "none": grant.AppPaused}
			f.selects("connected", store.ConnectionFilter{States: []grant.State{grant.Connected}, Unhealthy: sick}, "ok-well")
			f.selects("degraded", store.ConnectionFilter{States: []grant.State{grant.Degraded}, Unhealthy: sick}, "ok-sick", "net-sick", "net-well")
			f.selects("operator", store.ConnectionFilter{ActBy: grant.Operator, Unhealthy: sick}, "ok-sick")
			f.selects("nobody", store.ConnectionFilter{ActBy: grant.Nobody, Unhealthy: sick}, "ok-well")
			f.selects("merchant", store.ConnectionFilter{ActBy: grant.Merchant, Unhealthy: sick}, "dead-sick", "dead-well")
			list, _, err := f.ListConnections(f.ctx, store.ConnectionFilter{Keys: []string{"ok-sick"}, Unhealthy: sick}, store.Page{Limit: 10})
			f.ok(err)
			equal(f, "what is stored", list[0].Status.Reason, grant.OK)
		},
		"a query is part of the key or the name, ignoring ASCII case": func(f *fixture) {
			for key, name := range map[string]string{"Alpha_1": "x", "beta%2": "ÉCLAIR", "gamma": "The Alphabet", "delta": ""} {
				c := f.newConnection(key)
				c.Name = name
				f.ok(f.CreateConnection(f.ctx, c))
			}
			f.selects("alpha", store.ConnectionFilter{Query: "aLPHA"}, "Alpha_1", "gamma")
			f.selects("a wildcard is a letter", store.ConnectionFilter{Query: "%"}, "beta%2")
			f.selects("another wildcard", store.ConnectionFilter{Query: "_"}, "Alpha_1")
			f.selects("a quote", store.ConnectionFilter{Query: "'"})
			f.selects("a backslash", store.ConnectionFilter{Query: `\`})
			f.selects("not ASCII", store.ConnectionFilter{Query: "Éclair"}, "beta%2")
		},
		"tags must all be there with their values": func(f *fixture) {
			for key, tags := range map[string]map[string]string{"none": nil, "a": {"tier": "gold"}, "b": {"tier": "gold", "x.y": "1"},
				"c": {"tier": "silver", "x.y": "1"}, "d": {"tier": ""}} {
				c := f.newConnection(key)
				c.Tags = tags
				f.ok(f.CreateConnection(f.ctx, c))
			}
			f.selects("gold", store.ConnectionFilter{Tags: map[string]string{"tier": "gold"}}, "a", "b")
			f.selects("both", store.ConnectionFilter{Tags: map[string]string{"tier": "gold", "x.y": "1"}}, "b")
			f.selects("empty value", store.ConnectionFilter{Tags: map[string]string{"tier": ""}}, "d")
			f.selects("unknown tag", store.ConnectionFilter{Tags: map[string]string{"none": "x"}})
		},
		"a deadline selects connections with a live grant that dies before it": func(f *fixture) {
			soon := f.now().Add(time.Hour)
			add := func(key string, deadline time.Time, r grant.Reason) {
				g := f.newGrant(f.connection(key))
				g.DeadlineAt, g.Status = deadline, grant.StatusOf(r, f.now())
				f.install(g)
			}
			add("before", soon.Add(-time.Microsecond), grant.OK)
			add("at", soon, grant.OK)
			add("never", time.Time{}, grant.OK)
			add("dead", soon.Add(-time.Minute), grant.Revoked)
			add("degraded", soon.Add(-time.Minute), grant.Network)
			f.connection("empty")
			f.selects("deadline", store.ConnectionFilter{DeadlineBefore: soon}, "before", "degraded")
		},
	}
}
