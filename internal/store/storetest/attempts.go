package storetest

import (
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// claimable are the ids of the grants a process can claim now, in order. It
// claims them.
func (f *fixture) claimable(r store.ClaimRequest) []string {
	f.Helper()
	claims, err := f.Claim(f.ctx, r)
	f.ok(err)
	ids := []string{}
	for _, c := range claims {
		ids = append(ids, c.Grant.ID)
	}
	return ids
}

// due stores a connected grant that is due at a time.
func (f *fixture) due(key string, at time.Time) grant.Grant {
	f.Helper()
	g := f.newGrant(f.connection(key))
	g.DueAt = at
	return f.install(g)
}

func claimTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"a claim opens an attempt and gives the grant as it is then": func(f *fixture) {
			g := f.connected("k")
			f.clock.advance(time.Second)
			r := request(owner)
			r.Barrier = grant.Barrier{Settle: 20*time.Second + time.Nanosecond}
			claims, err := f.Claim(f.ctx, r)
			f.ok(err)
			equal(f, "claims", len(claims), 1)
			c := claims[0]
			if c.Grant.Attempt == nil || c.Grant.Attempt.ID == "" {
				f.Fatal("no attempt")
			}
			want := g
			want.Attempt = &grant.Attempt{ID: c.Grant.Attempt.ID, Owner: owner, Kind: grant.FirstSend, Of: g.Version, OpenedAt: f.now()}
			want.DueAt = kept(f.clock.now().Add(20 * time.Second))
			equal(f, "claim", c, store.Claim{Grant: want, Sealed: sealed(g.ID, g.Version), DueAt: g.DueAt})
			equal(f, "stored", f.grant(g.ID), want)
		},
		"a barrier with a guard waits for the access token's end": func(f *fixture) {
			g := f.connected("k")
			r := request(owner)
			r.Barrier = grant.Barrier{Settle: time.Second, Guard: true, Lead: 5 * time.Second}
			c, err := f.ClaimOne(f.ctx, r, g.ID, g.Version)
			f.ok(err)
			equal(f, "due", c.Grant.DueAt, g.ExpiresAt.Add(-5*time.Second))
		},
		"the earliest due are claimed first, up to the limit": func(f *fixture) {
			now := f.now()
			f.due("later", now.Add(time.Microsecond))
			b := f.due("b", now.Add(-2*time.Second))
			a := f.due("a", now.Add(-3*time.Second))
			c := f.due("c", now)
			r := request(owner)
			r.Limit = 2
			equal(f, "first", f.claimable(r), []string{a.ID, b.ID})
			equal(f, "second", f.claimable(r), []string{c.ID})
			equal(f, "third", f.claimable(r), []string{})
		},
		"a claim of nothing at most claims nothing": func(f *fixture) {
			f.connected("k")
			r := request(owner)
			r.Limit = 0
			equal(f, "claims", f.claimable(r), []string{})
		},
		"grants of other apps are left alone": func(f *fixture) {
			c := f.newConnection("k")
			c.App = "r-series"
			f.ok(f.CreateConnection(f.ctx, c))
			g := f.install(f.newGrant(c))
			equal(f, "this app", f.claimable(request(owner)), []string{})
			_, ok, err := f.NextDue(f.ctx, app)
			f.ok(err)
			equal(f, "next due of this app", ok, false)
			r := request(owner)
			r.App = "r-series"
			equal(f, "its app", f.claimable(r), []string{g.ID})
		},
		"grants that are not live are neither due nor claimed": func(f *fixture) {
			for _, r := range []grant.Reason{grant.NeverConnected, grant.Revoked, grant.DisconnectedByUs} {
				g := f.newGrant(f.connection(string(r)))
				g.Status = grant.StatusOf(r, f.now())
				f.install(g)
				_, err := f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
				f.is(err, store.ErrStale)
			}
			equal(f, "claims", f.claimable(request(owner)), []string{})
			_, ok, err := f.NextDue(f.ctx, app)
			f.ok(err)
			equal(f, "next due", ok, false)
		},
		"degraded grants are live": func(f *fixture) {
			g := f.newGrant(f.connection("k"))
			g.Status = grant.StatusOf(grant.Network, f.now())
			f.install(g)
			equal(f, "claims", f.claimable(request(owner)), []string{g.ID})
		},
		"the next due is the earliest of the app": func(f *fixture) {
			now := f.now()
			f.due("b", now.Add(2*time.Hour))
			f.due("never", time.Time{})
			_ = f.due("a", now.Add(time.Hour))
			due, ok, err := f.NextDue(f.ctx, app)
			f.ok(err)
			equal(f, "ok", ok, true)
			equal(f, "due", due, now.Add(time.Hour))
		},
		"a grant that is never due is not claimed with the others": func(f *fixture) {
			f.due("never", time.Time{})
			f.clock.advance(100000 * time.Hour)
			equal(f, "claims", f.claimable(request(owner)), []string{})
		},
		"an open attempt of a living owner keeps others out, and its own owner too": func(f *fixture) {
			g := f.connected("k")
			f.claim(g)
			equal(f, "before the barrier", f.claimable(request(owner)), []string{})
			_, err := f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
			f.is(err, store.ErrStale)
			f.clock.advance(time.Hour)
			equal(f, "after the barrier", f.claimable(request(owner)), []string{})
			_, err = f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
			f.is(err, store.ErrStale)
		},
		"an attempt its owner gave up on is claimed again when it is due, as a resend": func(f *fixture) {
			g := f.connected("k")
			c := f.claim(g)
			s := f.settlement(c, grant.AnswerLost)
			s.Hold = true
			f.ok(f.Settle(f.ctx, s))
			_, err := f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
			f.is(err, store.ErrStale)
			equal(f, "before it is due", f.claimable(request(owner)), []string{})
			f.clock.advance(time.Minute)
			claims, err := f.Claim(f.ctx, request(owner))
			f.ok(err)
			equal(f, "claims", len(claims), 1)
			a := claims[0].Grant.Attempt
			equal(f, "kind", a.Kind, grant.Resend)
			equal(f, "unknown", a.Unknown, false)
			equal(f, "version", a.Of, g.Version)
			equal(f, "opened", a.OpenedAt, f.now())
			if a.ID == c.Grant.Attempt.ID {
				f.Fatal("the resend has the id of the first send")
			}
			// The first send is not the open one any more.
			f.is(f.Commit(f.ctx, f.renewal(c)), store.ErrStale)
			f.is(f.Settle(f.ctx, f.settlement(c, grant.Revoked)), store.ErrStale)
			f.ok(f.Commit(f.ctx, f.renewal(claims[0])))
		},
		"one grant whose owner gave up is claimed alone, due only": func(f *fixture) {
			g := f.connected("k")
			s := f.settlement(f.claim(g), grant.AnswerLost)
			s.Hold = true
			f.ok(f.Settle(f.ctx, s))
			f.clock.advance(time.Minute)
			c, err := f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
			f.ok(err)
			equal(f, "kind", c.Grant.Attempt.Kind, grant.Resend)
			equal(f, "due before", c.DueAt, s.DueAt)
		},
		"an attempt of a dead owner is taken over when it is due, as a resend": func(f *fixture) {
			g, h := f.connected("g"), f.connected("h")
			r := request(other)
			r.Limit = 2
			equal(f, "claimed by the first", len(f.claimable(r)), 2)
			dead := f.grant(g.ID)
			f.clock.advance(settle - time.Microsecond)
			equal(f, "before the barrier", f.claimable(request(owner)), []string{})
			_, err := f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
			f.is(err, store.ErrStale)
			f.clock.advance(time.Microsecond)
			c, err := f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
			f.ok(err)
			equal(f, "attempt", *c.Grant.Attempt, grant.Attempt{ID: c.Grant.Attempt.ID, Owner: owner, Kind: grant.Resend,
				Of: g.Version, OpenedAt: f.now()})
			claims, err := f.Claim(f.ctx, request(owner))
			f.ok(err)
			equal(f, "claims", len(claims), 1)
			equal(f, "the other grant", claims[0].Grant.ID, h.ID)
			equal(f, "kind", claims[0].Grant.Attempt.Kind, grant.Resend)
			// The dead owner's answer turns up in its journal, too late to be current.
			late := f.renewal(store.Claim{Grant: dead})
			f.is(f.Commit(f.ctx, late), store.ErrStale)
			f.ok(f.Commit(f.ctx, f.renewal(c)))
		},
		"the answer of a dead owner is committed as long as nobody took over": func(f *fixture) {
			g := f.connected("k")
			c, err := f.ClaimOne(f.ctx, request(other), g.ID, g.Version)
			f.ok(err)
			f.clock.advance(time.Hour)
			f.ok(f.Commit(f.ctx, f.renewal(c)))
			f.current(g, sealed(g.ID, g.Version.Next()))
		},
		"a resend of a resend is a resend": func(f *fixture) {
			g := f.connected("k")
			c := f.claim(g)
			for range 2 {
				s := f.settlement(c, grant.AnswerLost)
				s.Hold = true
				f.ok(f.Settle(f.ctx, s))
				f.clock.advance(time.Minute)
				var err error
				c, err = f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
				f.ok(err)
				equal(f, "kind", c.Grant.Attempt.Kind, grant.Resend)
			}
		},
		"one grant is claimed whether due or not": func(f *fixture) {
			for key, at := range map[string]time.Time{"due": f.now(), "later": f.now().Add(time.Hour), "never": {}} {
				g := f.due(key, at)
				c, err := f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
				f.ok(err)
				equal(f, "due before", c.DueAt, at)
				equal(f, "sealed", c.Sealed, sealed(g.ID, g.Version))
			}
		},
		"one grant at another version, or gone, is stale": func(f *fixture) {
			g := f.connected("k")
			for _, v := range []grant.Version{{Epoch: 1, Seq: 1}, {Epoch: 2}, {}} {
				_, err := f.ClaimOne(f.ctx, request(owner), g.ID, v)
				f.is(err, store.ErrStale)
			}
			_, err := f.ClaimOne(f.ctx, request(owner), "grant_none", g.Version)
			f.is(err, store.ErrStale)
			equal(f, "grant", f.grant(g.ID), g)
		},
		"hurry brings a grant forward, never back": func(f *fixture) {
			now := f.now()
			later, soon, never := f.due("later", now.Add(time.Hour)), f.due("soon", now.Add(time.Second)), f.due("never", time.Time{})
			for _, g := range []grant.Grant{later, soon, never} {
				f.ok(f.Hurry(f.ctx, g.ID, now.Add(time.Minute)))
			}
			equal(f, "later", f.grant(later.ID).DueAt, now.Add(time.Minute))
			equal(f, "soon", f.grant(soon.ID).DueAt, now.Add(time.Second))
			equal(f, "never", f.grant(never.ID).DueAt, now.Add(time.Minute))
			f.is(f.Hurry(f.ctx, "grant_none", now), store.ErrNotFound)
		},
		"hurry leaves open attempts and dead grants alone": func(f *fixture) {
			g := f.connected("open")
			c := f.claim(g)
			f.ok(f.Hurry(f.ctx, g.ID, f.now()))
			equal(f, "due", f.grant(g.ID).DueAt, c.Grant.DueAt)
			dead := f.newGrant(f.connection("dead"))
			dead.Status, dead.DueAt = grant.StatusOf(grant.Revoked, f.now()), time.Time{}
			f.install(dead)
			f.ok(f.Hurry(f.ctx, dead.ID, f.now()))
			equal(f, "dead", f.grant(dead.ID), dead)
		},
	}
}

func commitTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"a commit makes the new credentials current and closes the attempt": func(f *fixture) {
			g := f.newGrant(f.connection("k"))
			g.Failures, g.Refusals, g.RefusedAt = 3, 1, f.now()
			g.Status = grant.StatusOf(grant.Network, f.now())
			f.install(g)
			c := f.claim(g)
			f.clock.advance(3 * time.Second)
			r := f.renewal(c)
			f.ok(f.Commit(f.ctx, r))
			want := g
			want.Version, want.Scope, want.IssuedAt = g.Version.Next(), r.Scope, r.IssuedAt
			want.ExpiresAt, want.DeadlineAt, want.DueAt = r.Times.ExpiresAt, r.Times.DeadlineAt, r.Times.DueAt
			want.Status = grant.StatusOf(grant.OK, f.now())
			want.Failures, want.Refusals, want.RefusedAt = 0, 0, time.Time{}
			equal(f, "grant", f.grant(g.ID), want)
			got, bytes, err := f.Credentials(f.ctx, g.ID)
			f.ok(err)
			equal(f, "credentials' grant", got, want)
			equal(f, "credentials", bytes, r.Sealed)
		},
		"a grant that stays connected keeps since when": func(f *fixture) {
			g := f.connected("k")
			f.clock.advance(time.Hour)
			f.ok(f.Commit(f.ctx, f.renewal(f.claim(g))))
			equal(f, "status", f.grant(g.ID).Status, g.Status)
		},
		"committing again changes nothing": func(f *fixture) {
			g := f.connected("k")
			r := f.renewal(f.claim(g))
			r.Events = []grant.Event{{Type: grant.GrantRefreshed}}
			f.ok(f.Commit(f.ctx, r))
			want, mark := f.grant(g.ID), f.mark()
			f.clock.advance(time.Second)
			for range 3 {
				f.ok(f.Commit(f.ctx, r))
			}
			equal(f, "grant", f.grant(g.ID), want)
			equal(f, "events", f.since(mark), nil)
			f.current(g, r.Sealed)

			// While the next attempt is open, and after it.
			c := f.claim(want)
			open := f.grant(g.ID)
			f.ok(f.Commit(f.ctx, r))
			equal(f, "grant with an open attempt", f.grant(g.ID), open)
			f.ok(f.Commit(f.ctx, f.renewal(c)))
			next := f.grant(g.ID)
			f.ok(f.Commit(f.ctx, r))
			equal(f, "grant a version later", f.grant(g.ID), next)
			f.current(g, sealed(g.ID, grant.Version{Epoch: 1, Seq: 2}))
		},
		"another attempt or another version is stale and changes nothing": func(f *fixture) {
			g := f.connected("k")
			f.is(f.Commit(f.ctx, store.Renewal{GrantID: g.ID, Of: g.Version, Sealed: []byte("x")}), store.ErrStale)
			c := f.claim(g)
			want, mark := f.grant(g.ID), f.mark()
			for what, change := range map[string]func(*store.Renewal){
				"another attempt": func(r *store.Renewal) { r.AttemptID = "att_none" },
				"no attempt":      func(r *store.Renewal) { r.AttemptID = "" },
				"an older epoch":  func(r *store.Renewal) { r.Of.Epoch-- },
				"a newer epoch":   func(r *store.Renewal) { r.Of.Epoch++ },
				"a newer version": func(r *store.Renewal) { r.Of.Seq++ },
				"another grant":   func(r *store.Renewal) { r.GrantID = "grant_none" },
			} {
				r := f.renewal(c)
				r.Events = []grant.Event{{Type: grant.GrantRefreshed}}
				change(&r)
				if err := f.Commit(f.ctx, r); !isError(err, store.ErrStale) {
					f.Errorf("%s: error is %v, want ErrStale", what, err)
				}
			}
			equal(f, "grant", f.grant(g.ID), want)
			equal(f, "events", f.since(mark), nil)
			f.current(g, sealed(g.ID, g.Version))
		},
		"an attempt that was settled cannot be committed": func(f *fixture) {
			g := f.connected("k")
			c := f.claim(g)
			f.ok(f.Settle(f.ctx, f.settlement(c, grant.Network)))
			f.is(f.Commit(f.ctx, f.renewal(c)), store.ErrStale)
			f.current(g, sealed(g.ID, g.Version))
		},
		"an attempt that is held as unknown can still be committed": func(f *fixture) {
			g := f.connected("k")
			c := f.claim(g)
			s := f.settlement(c, grant.AnswerLost)
			s.Hold = true
			f.ok(f.Settle(f.ctx, s))
			f.ok(f.Commit(f.ctx, f.renewal(c)))
			f.current(g, sealed(g.ID, g.Version.Next()))
		},
		"many renewals in a row leave the last": func(f *fixture) {
			g := f.connected("k")
			for range 20 {
				f.ok(f.Commit(f.ctx, f.renewal(f.claim(g))))
				g = f.grant(g.ID)
				f.current(g, sealed(g.ID, g.Version))
			}
			equal(f, "version", g.Version, grant.Version{Epoch: 1, Seq: 20})
		},
		"credentials without a due time are never due": func(f *fixture) {
			g := f.connected("k")
			r := f.renewal(f.claim(g))
			r.Times = grant.Times{}
			f.ok(f.Commit(f.ctx, r))
			equal(f, "due", f.grant(g.ID).DueAt, time.Time{})
			_, ok, err := f.NextDue(f.ctx, app)
			f.ok(err)
			equal(f, "next due", ok, false)
		},
	}
}

func settleTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"an attempt that was not sent closes and the grant is due later": func(f *fixture) {
			g := f.connected("k")
			c := f.claim(g)
			f.clock.advance(time.Second)
			s := f.settlement(c, grant.Network)
			s.Refusals, s.RefusedAt = 1, f.now()
			f.ok(f.Settle(f.ctx, s))
			want := g
			want.DueAt, want.Status = s.DueAt, s.Status
			want.Failures, want.Refusals, want.RefusedAt = 1, 1, f.now()
			equal(f, "grant", f.grant(g.ID), want)
			f.current(g, sealed(g.ID, g.Version))
		},
		"an attempt that is held stays open and unknown": func(f *fixture) {
			g := f.connected("k")
			c := f.claim(g)
			s := f.settlement(c, grant.AnswerLost)
			s.Hold = true
			f.ok(f.Settle(f.ctx, s))
			want := c.Grant
			unknown := *c.Grant.Attempt
			unknown.Unknown = true
			want.Attempt, want.DueAt, want.Status, want.Failures = &unknown, s.DueAt, s.Status, 1
			equal(f, "grant", f.grant(g.ID), want)
		},
		"a grant that dies is never due again and keeps its credentials": func(f *fixture) {
			g := f.connected("k")
			s := f.settlement(f.claim(g), grant.Revoked)
			s.DueAt, s.Status.NextTryAt = time.Time{}, time.Time{}
			f.ok(f.Settle(f.ctx, s))
			got := f.grant(g.ID)
			equal(f, "due", got.DueAt, time.Time{})
			equal(f, "status", got.Status, s.Status)
			f.current(g, sealed(g.ID, g.Version))
			_, ok, err := f.NextDue(f.ctx, app)
			f.ok(err)
			equal(f, "next due", ok, false)
		},
		"another attempt or another version is stale and changes nothing": func(f *fixture) {
			g := f.connected("k")
			f.is(f.Settle(f.ctx, store.Settlement{GrantID: g.ID, Of: g.Version, Status: g.Status}), store.ErrStale)
			c := f.claim(g)
			want, mark := f.grant(g.ID), f.mark()
			for what, change := range map[string]func(*store.Settlement){
				"another attempt": func(s *store.Settlement) { s.AttemptID = "att_none" },
				"no attempt":      func(s *store.Settlement) { s.AttemptID = "" },
				"another epoch":   func(s *store.Settlement) { s.Of.Epoch++ },
				"another version": func(s *store.Settlement) { s.Of.Seq++ },
				"another grant":   func(s *store.Settlement) { s.GrantID = "grant_none" },
			} {
				for _, hold := range []bool{false, true} {
					s := f.settlement(c, grant.Revoked)
					s.Hold, s.Events = hold, []grant.Event{{Type: grant.GrantRevoked}}
					change(&s)
					if err := f.Settle(f.ctx, s); !isError(err, store.ErrStale) {
						f.Errorf("%s: error is %v, want ErrStale", what, err)
					}
				}
			}
			equal(f, "grant", f.grant(g.ID), want)
			equal(f, "events", f.since(mark), nil)
		},
		"an attempt is settled once": func(f *fixture) {
			g := f.connected("k")
			s := f.settlement(f.claim(g), grant.Network)
			f.ok(f.Settle(f.ctx, s))
			f.is(f.Settle(f.ctx, s), store.ErrStale)
		},
		"after it was settled the grant can be claimed as a first send": func(f *fixture) {
			g := f.connected("k")
			f.ok(f.Settle(f.ctx, f.settlement(f.claim(g), grant.Network)))
			f.clock.advance(time.Minute)
			claims, err := f.Claim(f.ctx, request(owner))
			f.ok(err)
			equal(f, "claims", len(claims), 1)
			equal(f, "kind", claims[0].Grant.Attempt.Kind, grant.FirstSend)
			equal(f, "failures", claims[0].Grant.Failures, 1)
		},
	}
}

func orphanTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"parked answers of the current epoch come newest first": func(f *fixture) {
			g := f.newGrant(f.connection("k"))
			g.Version = grant.Version{Epoch: 2, Seq: 5}
			f.install(g)
			var want []store.Orphan
			for i, v := range []grant.Version{{Epoch: 2, Seq: 3}, {Epoch: 1, Seq: 9}, {Epoch: 2, Seq: 4}} {
				f.clock.advance(time.Second)
				o := store.Orphan{AttemptID: string(rune('a' + i)), GrantID: g.ID, Of: v, Sealed: sealed(g.ID, v), ParkedAt: f.now()}
				f.ok(f.Park(f.ctx, o))
				if v.Epoch == 2 {
					want = append([]store.Orphan{o}, want...)
				}
			}
			got, err := f.Orphans(f.ctx, g.ID)
			f.ok(err)
			equal(f, "orphans", got, want)
		},
		"parking the same attempt again changes nothing": func(f *fixture) {
			g := f.connected("k")
			o := store.Orphan{AttemptID: "att_1", GrantID: g.ID, Of: g.Version, Sealed: []byte("one"), ParkedAt: f.now()}
			f.ok(f.Park(f.ctx, o))
			again := o
			again.Sealed, again.ParkedAt = []byte("two"), f.now().Add(time.Hour)
			f.ok(f.Park(f.ctx, again))
			got, err := f.Orphans(f.ctx, g.ID)
			f.ok(err)
			equal(f, "orphans", got, []store.Orphan{o})
		},
		"a grant that is gone is not found, and nothing is listed for it": func(f *fixture) {
			f.is(f.Park(f.ctx, store.Orphan{AttemptID: "att_1", GrantID: "grant_none", Sealed: []byte("x")}), store.ErrNotFound)
			got, err := f.Orphans(f.ctx, "grant_none")
			f.ok(err)
			equal(f, "orphans", len(got), 0)
		},
	}
}
