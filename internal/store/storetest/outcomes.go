package storetest

import (
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

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
