package storetest

import (
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// current ends the test unless these are the grant's sealed credentials.
func (f *fixture) current(g grant.Grant, want []byte) {
	f.Helper()
	_, got, err := f.Credentials(f.ctx, g.ID)
	f.ok(err)
	equal(f, "credentials", got, want)
}

func installTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"a new grant is given back as it was installed": func(f *fixture) {
			g := f.newGrant(f.connection("k"))
			g.Failures, g.Refusals, g.RefusedAt = 1, 2, f.now()
			g.Status.NextTryAt = f.now().Add(time.Minute)
			f.install(g)
			equal(f, "Grant", f.grant(g.ID), g)
			got, bytes, err := f.Credentials(f.ctx, g.ID)
			f.ok(err)
			equal(f, "Credentials' grant", got, g)
			equal(f, "Credentials' bytes", bytes, sealed(g.ID, g.Version))
			list, err := f.Grants(f.ctx, g.ConnectionID)
			f.ok(err)
			equal(f, "Grants", list, []grant.Grant{g})
		},
		"a grant without times or identity is given back as it was installed": func(f *fixture) {
			c := f.connection("k")
			g := grant.Grant{ID: "grant_1", ConnectionID: c.ID, App: app, Version: grant.Version{Epoch: 1, Seq: 3},
				Status: grant.StatusOf(grant.OK, f.now())}
			f.install(g)
			equal(f, "grant", f.grant(g.ID), g)
		},
		"an attempt given with a grant is not installed": func(f *fixture) {
			g := f.newGrant(f.connection("k"))
			g.Attempt = &grant.Attempt{ID: "att_1", Owner: owner}
			f.install(g)
			equal(f, "attempt", f.grant(g.ID).Attempt, nil)
		},
		"grants are ordered by id": func(f *fixture) {
			c := f.connection("k")
			var want []string
			for _, id := range []string{"grant_b", "grant_c", "grant_a"} {
				g := f.newGrant(c)
				g.ID = id
				f.install(g)
			}
			list, err := f.Grants(f.ctx, c.ID)
			f.ok(err)
			for _, g := range list {
				want = append(want, g.ID)
			}
			equal(f, "ids", want, []string{"grant_a", "grant_b", "grant_c"})
		},
		"live grants of an app are listed once each, in pages of any size": func(f *fixture) {
			want := map[string]int{}
			for i := range 12 {
				c := f.newConnection(fmt.Sprint("k", i))
				g := f.newGrant(c)
				switch i % 4 {
				case 1:
					c.App, g.App = "o-series", "o-series"
				case 2:
					g.Status = grant.StatusOf(grant.Revoked, f.now())
				case 3:
					g.Status, g.DueAt = grant.StatusOf(grant.Network, f.now()), time.Time{}
				}
				f.ok(f.CreateConnection(f.ctx, c))
				f.install(g)
				if i%4 == 0 || i%4 == 3 {
					want[g.ID] = 1
				}
			}
			for limit := 1; limit <= 7; limit++ {
				got := map[string]int{}
				for p := (store.Page{Limit: limit}); ; {
					ids, next, err := f.LiveGrants(f.ctx, app, p)
					f.ok(err)
					f.page(len(ids), limit, next)
					for _, id := range ids {
						got[id]++
					}
					if p.Cursor = next; next == "" {
						break
					}
				}
				equal(f, "live grants", got, want)
			}
			ids, next, err := f.LiveGrants(f.ctx, "nobody's", store.Page{Limit: 3})
			f.ok(err)
			equal(f, "of another app", len(ids)+len(next), 0)
		},
		"a new grant needs its connection": func(f *fixture) {
			g := f.newGrant(f.newConnection("k"))
			mark := f.mark()
			err := f.Install(f.ctx, store.Installation{Grant: g, Sealed: []byte("x"), Events: []grant.Event{{Type: grant.GrantIssued}}})
			f.is(err, store.ErrNotFound)
			_, err = f.Grant(f.ctx, g.ID)
			f.is(err, store.ErrNotFound)
			equal(f, "events", f.since(mark), nil)
		},
		"a higher epoch replaces everything and forgets the open attempt": func(f *fixture) {
			g := f.connected("k")
			claim := f.claim(g)
			f.ok(f.Park(f.ctx, store.Orphan{AttemptID: "att_lost", GrantID: g.ID, Of: g.Version, Sealed: []byte("x")}))
			f.clock.advance(time.Minute)
			n := f.newGrant(grant.Connection{ID: g.ConnectionID, App: app})
			n.ID, n.Version, n.Scope = g.ID, grant.Version{Epoch: 2}, "all"
			n.Identity = grant.Identity{Subject: "user-2"}
			f.install(n)
			equal(f, "grant", f.grant(g.ID), n)
			f.current(g, sealed(n.ID, n.Version))
			orphans, err := f.Orphans(f.ctx, g.ID)
			f.ok(err)
			equal(f, "orphans", len(orphans), 0)
			// The old epoch's answer comes too late.
			f.is(f.Commit(f.ctx, f.renewal(claim)), store.ErrStale)
			f.is(f.Settle(f.ctx, f.settlement(claim, grant.Revoked)), store.ErrStale)
			equal(f, "grant after late answers", f.grant(g.ID), n)
			f.current(g, sealed(n.ID, n.Version))
		},
		"an epoch that is not higher is stale and changes nothing": func(f *fixture) {
			g := f.newGrant(f.connection("k"))
			g.Version = grant.Version{Epoch: 3, Seq: 1}
			f.install(g)
			mark := f.mark()
			for _, v := range []grant.Version{{Epoch: 2, Seq: 9}, {Epoch: 3}, {Epoch: 3, Seq: 2}} {
				n := g
				n.Version, n.Scope = v, "other"
				err := f.Install(f.ctx, store.Installation{Grant: n, Sealed: []byte("x"), Events: []grant.Event{{Type: grant.GrantIssued}},
					Locations: []grant.Location{{ID: "loc-1"}}})
				f.is(err, store.ErrStale)
			}
			equal(f, "grant", f.grant(g.ID), g)
			f.current(g, sealed(g.ID, g.Version))
			equal(f, "events", f.since(mark), nil)
		},
		"what was committed before an installation is not committed any more": func(f *fixture) {
			g := f.connected("k")
			r := f.renewal(f.claim(g))
			f.ok(f.Commit(f.ctx, r))
			n := g
			n.Version = grant.Version{Epoch: 2}
			f.install(n)
			f.is(f.Commit(f.ctx, r), store.ErrStale)
			f.current(g, sealed(n.ID, n.Version))
		},
		"locations are replaced, and left alone if nil": func(f *fixture) {
			g := f.newGrant(f.connection("k"))
			one := []grant.Location{{GrantID: g.ID, ID: "loc-1", Name: "Bar", SeenAt: f.now()}}
			install := func(epoch int64, l []grant.Location) {
				f.Helper()
				g.Version.Epoch = epoch
				f.ok(f.Install(f.ctx, store.Installation{Grant: g, Sealed: []byte("x"), Locations: l}))
			}
			reaches := func(want []grant.Location) {
				f.Helper()
				got, err := f.Locations(f.ctx, g.ConnectionID)
				f.ok(err)
				equal(f, "locations", got, want)
			}
			install(1, one)
			reaches(one)
			install(2, nil)
			reaches(one)
			install(3, []grant.Location{})
			lost := one[0]
			lost.LostAt = f.now()
			reaches([]grant.Location{lost})
		},
		"the link completes and the authorization finishes": func(f *fixture) {
			c := f.connection("k")
			l := f.link(c)
			a := f.authorization(l)
			f.clock.advance(time.Minute)
			g := f.newGrant(c)
			f.ok(f.Install(f.ctx, store.Installation{Grant: g, Sealed: []byte("x"), LinkID: l.ID, AuthorizationID: a.ID}))
			got, err := f.Link(f.ctx, l.ID)
			f.ok(err)
			l.State, l.CompletedAt = grant.LinkStateCompleted, f.now()
			equal(f, "link", got, l)
			auth, err := f.Authorization(f.ctx, a.ID)
			f.ok(err)
			a.Finished = true
			equal(f, "authorization", auth, a)
		},
		"a finished authorization, or a completed or revoked link, is stale and changes nothing": func(f *fixture) {
			c := f.connection("k")
			finished, open := f.link(c), f.link(c)
			done := f.authorization(finished)
			f.ok(f.FinishAuthorization(f.ctx, done.ID, grant.ProblemDeclined))
			completed, revoked := f.link(c), f.link(c)
			f.ok(f.Install(f.ctx, store.Installation{Grant: f.newGrant(c), Sealed: []byte("x"), LinkID: completed.ID}))
			_, err := f.UpdateLink(f.ctx, revoked.ID, func(l *grant.Link) error { l.State = grant.LinkStateRevoked; return nil })
			f.ok(err)
			for what, in := range map[string]store.Installation{
				"finished authorization": {LinkID: open.ID, AuthorizationID: done.ID},
				"completed link":         {LinkID: completed.ID},
				"revoked link":           {LinkID: revoked.ID},
			} {
				mark := f.mark()
				in.Grant, in.Sealed = f.newGrant(c), []byte("x")
				in.Events = []grant.Event{{Type: grant.GrantIssued}}
				if err := f.Install(f.ctx, in); !isError(err, store.ErrStale) {
					f.Errorf("%s: error is %v, want ErrStale", what, err)
				}
				_, err := f.Grant(f.ctx, in.Grant.ID)
				f.is(err, store.ErrNotFound)
				equal(f, what+": events", f.since(mark), nil)
			}
			got, err := f.Link(f.ctx, open.ID)
			f.ok(err)
			equal(f, "the open link", got, open)
		},
		"an unknown link or authorization is not found and changes nothing": func(f *fixture) {
			c := f.connection("k")
			g := f.newGrant(c)
			f.is(f.Install(f.ctx, store.Installation{Grant: g, Sealed: []byte("x"), LinkID: "link_none"}), store.ErrNotFound)
			f.is(f.Install(f.ctx, store.Installation{Grant: g, Sealed: []byte("x"), AuthorizationID: "auth_none"}), store.ErrNotFound)
			_, err := f.Grant(f.ctx, g.ID)
			f.is(err, store.ErrNotFound)
		},
		"a disconnected grant has a higher epoch, no attempt, no credentials and is never due": func(f *fixture) {
			g := f.connected("k")
			claim := f.claim(g)
			f.ok(f.Park(f.ctx, store.Orphan{AttemptID: "att_lost", GrantID: g.ID, Of: g.Version, Sealed: []byte("x")}))
			f.clock.advance(time.Minute)
			mark := f.mark()
			f.ok(f.Disconnect(f.ctx, g.ID, g.Version, grant.DisconnectedByMerchant, grant.Event{Type: grant.ConnectionDisconnected}))
			want := f.grant(g.ID)
			equal(f, "version", want.Version, grant.Version{Epoch: 2})
			equal(f, "attempt", want.Attempt, nil)
			equal(f, "due", want.DueAt, time.Time{})
			equal(f, "status", want.Status, grant.StatusOf(grant.DisconnectedByMerchant, f.now()))
			equal(f, "connection's status", f.status(g.ConnectionID), want.Status)
			f.current(g, nil)
			orphans, err := f.Orphans(f.ctx, g.ID)
			f.ok(err)
			equal(f, "orphans", len(orphans), 0)
			equal(f, "events", f.since(mark), []grant.Event{{Type: grant.ConnectionDisconnected, Time: f.now(),
				Connection: g.ConnectionID, Grant: g.ID, App: app, Ref: "k@" + app}})

			f.clock.advance(1000 * time.Hour)
			f.is(f.Commit(f.ctx, f.renewal(claim)), store.ErrStale)
			f.is(f.Settle(f.ctx, f.settlement(claim, grant.Network)), store.ErrStale)
			claims, err := f.Claim(f.ctx, request(other))
			f.ok(err)
			equal(f, "claims", len(claims), 0)
			_, err = f.ClaimOne(f.ctx, request(other), g.ID, want.Version)
			f.is(err, store.ErrStale)
			equal(f, "grant", f.grant(g.ID), want)
		},
		"disconnecting another version is stale and changes nothing": func(f *fixture) {
			g := f.connected("k")
			mark := f.mark()
			for _, v := range []grant.Version{{Epoch: 1, Seq: 1}, {Epoch: 2}, {}} {
				f.is(f.Disconnect(f.ctx, g.ID, v, grant.DisconnectedByUs, grant.Event{Type: grant.ConnectionDisconnected}), store.ErrStale)
			}
			f.is(f.Disconnect(f.ctx, "grant_none", g.Version, grant.DisconnectedByUs), store.ErrStale)
			equal(f, "grant", f.grant(g.ID), g)
			equal(f, "events", f.since(mark), nil)
		},
		"a disconnected grant can be installed again": func(f *fixture) {
			g := f.connected("k")
			f.ok(f.Disconnect(f.ctx, g.ID, g.Version, grant.DisconnectedByUs))
			n := g
			n.Version = grant.Version{Epoch: 3}
			f.install(n)
			equal(f, "grant", f.grant(g.ID), n)
			equal(f, "connection", f.status(g.ConnectionID).State, grant.Connected)
		},
	}
}
