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
			equal(f, "the attempt it repeats", claims[0].Repeats.ID, c.Grant.Attempt.ID)
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
		"one grant whose attempt is of the future, before the clock was set back, is claimed alone": func(f *fixture) {
			g := f.connected("k")
			s := f.settlement(f.claim(g), grant.AnswerLost)
			s.Hold, s.DueAt = true, f.now().Add(time.Hour)
			f.ok(f.Settle(f.ctx, s))
			_, err := f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
			f.is(err, store.ErrStale)
			f.clock.advance(-24 * time.Hour)
			_, err = f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
			f.ok(err)
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
			equal(f, "the attempt it repeats", *c.Repeats, *dead.Attempt)
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
	}
}
