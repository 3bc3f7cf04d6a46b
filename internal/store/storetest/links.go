package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// listLinks reads all pages of a filter, limit at a time, and returns the ids.
func (f *fixture) listLinks(filter store.LinkFilter, limit int) []string {
	f.Helper()
	ids := []string{}
	for cursor := ""; ; {
		page, next, err := f.ListLinks(f.ctx, filter, store.Page{Limit: limit, Cursor: cursor})
		f.ok(err)
		f.page(len(page), limit, cursor)
		for _, l := range page {
			ids = append(ids, l.ID)
		}
		if next == "" {
			return ids
		}
		cursor = next
	}
}

func linkTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"a link is given back as it was created": func(f *fixture) {
			c := f.connection("k")
			full := f.link(c)
			bare := f.newLink(c)
			bare.Locations, bare.Landing, bare.ReturnURL, bare.Problem = nil, false, "", grant.ProblemDeclined
			f.ok(f.CreateLink(f.ctx, bare))
			for _, l := range []grant.Link{full, bare} {
				got, err := f.Link(f.ctx, l.ID)
				f.ok(err)
				equal(f, "by id", got, l)
				got, err = f.LinkByToken(f.ctx, l.TokenHash)
				f.ok(err)
				equal(f, "by token", got, l)
			}
		},
		"what does not exist is not found": func(f *fixture) {
			_, err := f.Link(f.ctx, "link_none")
			f.is(err, store.ErrNotFound)
			for _, h := range [][]byte{nil, {}, hash("none")} {
				_, err = f.LinkByToken(f.ctx, h)
				f.is(err, store.ErrNotFound)
			}
			_, err = f.UpdateLink(f.ctx, "link_none", func(*grant.Link) error { return nil })
			f.is(err, store.ErrNotFound)
			f.is(f.CreateLink(f.ctx, f.newLink(f.newConnection("k"))), store.ErrNotFound)
		},
		"an id or a token can be taken once": func(f *fixture) {
			c := f.connection("k")
			l := f.link(c)
			mark := f.mark()
			sameID, sameToken := f.newLink(c), f.newLink(c)
			sameID.ID, sameToken.TokenHash = l.ID, l.TokenHash
			f.is(f.CreateLink(f.ctx, sameID, grant.Event{Type: grant.LinkCreated}), store.ErrExists)
			f.is(f.CreateLink(f.ctx, sameToken, grant.Event{Type: grant.LinkCreated}), store.ErrExists)
			equal(f, "events", f.since(mark), nil)
		},
		"pages are newest first and follow each other without gap or repetition": func(f *fixture) {
			c := f.connection("k")
			var want []string
			for range 5 {
				want = append(want, f.link(c).ID)
				f.clock.advance(time.Second)
			}
			slices.Reverse(want)
			for limit := 1; limit <= 6; limit++ {
				equal(f, "links", f.listLinks(store.LinkFilter{}, limit), want)
			}
		},
		"links are selected by connection, apps and keys": func(f *fixture) {
			a, b := f.connection("a"), f.newConnection("b")
			b.App = "r-series"
			f.ok(f.CreateConnection(f.ctx, b))
			la, lb := f.link(a), f.link(b)
			for what, s := range map[string]struct {
				filter store.LinkFilter
				want   []string
			}{
				"connection":      {store.LinkFilter{ConnectionID: a.ID}, []string{la.ID}},
				"none":            {store.LinkFilter{ConnectionID: "conn_none"}, []string{}},
				"apps":            {store.LinkFilter{Apps: []string{"r-series"}}, []string{lb.ID}},
				"no apps":         {store.LinkFilter{Apps: []string{}}, []string{}},
				"keys":            {store.LinkFilter{Keys: []string{"a", "x"}}, []string{la.ID}},
				"no keys":         {store.LinkFilter{Keys: []string{}}, []string{}},
				"app of the rest": {store.LinkFilter{Apps: []string{app}, Keys: []string{"b"}}, []string{}},
			} {
				equal(f, what, f.listLinks(s.filter, 10), s.want)
			}
		},
		"an unfinished link past its expiry is selected as expired": func(f *fixture) {
			c := f.connection("k")
			byState := map[grant.LinkState]grant.Link{}
			for _, s := range []grant.LinkState{grant.LinkStateCreated, grant.LinkStateOpened, grant.LinkStateFailed,
				grant.LinkStateCompleted, grant.LinkStateRevoked} {
				l := f.newLink(c)
				l.State = s
				f.ok(f.CreateLink(f.ctx, l))
				byState[s] = l
			}
			expiry := byState[grant.LinkStateCreated].ExpiresAt
			count := func(s grant.LinkState, now time.Time) int {
				return len(f.listLinks(store.LinkFilter{State: s, Now: now}, 10))
			}
			for _, now := range []time.Time{expiry.Add(-time.Microsecond), expiry} {
				for s, l := range byState {
					equal(f, string(s), count(s, now) == 1, l.StateAt(now) == s)
				}
			}
			equal(f, "expired before", count(grant.LinkStateExpired, expiry.Add(-time.Microsecond)), 0)
			equal(f, "expired after", count(grant.LinkStateExpired, expiry), 3)
			equal(f, "all", count("", expiry), 5)
		},
		"an update changes state and problem and nothing else": func(f *fixture) {
			c := f.connection("k")
			l := f.link(c)
			mark := f.mark()
			got, err := f.UpdateLink(f.ctx, l.ID, func(l *grant.Link) error {
				l.State, l.Problem = grant.LinkStateFailed, grant.ProblemDeclined
				l.BusinessName, l.TokenHash, l.ExpiresAt, l.ConnectionID = "x", hash("x"), time.Time{}, "conn_x"
				return nil
			}, grant.Event{Type: grant.LinkFailed})
			f.ok(err)
			l.State, l.Problem = grant.LinkStateFailed, grant.ProblemDeclined
			equal(f, "returned", got, l)
			got, err = f.Link(f.ctx, l.ID)
			f.ok(err)
			equal(f, "stored", got, l)
			equal(f, "events", f.since(mark), []grant.Event{{Type: grant.LinkFailed, Time: f.now(), Connection: c.ID, App: app, Ref: "k@" + app}})
		},
		"an update whose function fails changes nothing and returns its error": func(f *fixture) {
			l := f.link(f.connection("k"))
			mine := errors.New("mine")
			_, err := f.UpdateLink(f.ctx, l.ID, func(l *grant.Link) error {
				l.State = grant.LinkStateRevoked
				return mine
			}, grant.Event{Type: grant.LinkFailed})
			if err != mine {
				f.Fatalf("error is %v, want it as it is", err)
			}
			got, err := f.Link(f.ctx, l.ID)
			f.ok(err)
			equal(f, "link", got, l)
		},
		"a completed or revoked link is stale": func(f *fixture) {
			c := f.connection("k")
			for _, s := range []grant.LinkState{grant.LinkStateCompleted, grant.LinkStateRevoked} {
				l := f.link(c)
				_, err := f.UpdateLink(f.ctx, l.ID, func(l *grant.Link) error { l.State = s; return nil })
				f.ok(err)
				want, err := f.Link(f.ctx, l.ID)
				f.ok(err)
				called := false
				_, err = f.UpdateLink(f.ctx, l.ID, func(l *grant.Link) error {
					called = true
					l.State = grant.LinkStateOpened
					return nil
				}, grant.Event{Type: grant.LinkOpened})
				f.is(err, store.ErrStale)
				equal(f, "called", called, false)
				f.is(f.CreateAuthorization(f.ctx, f.newAuthorization(l)), store.ErrStale)
				got, err := f.Link(f.ctx, l.ID)
				f.ok(err)
				equal(f, string(s), got, want)
			}
		},
	}
}

func authorizationTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"an authorization is given back as it was created and moves its link": func(f *fixture) {
			l := f.link(f.connection("k"))
			a := f.authorization(l)
			got, err := f.Authorization(f.ctx, a.ID)
			f.ok(err)
			equal(f, "authorization", got, a)
			link, err := f.Link(f.ctx, l.ID)
			f.ok(err)
			equal(f, "link", link.State, grant.LinkStateAtProvider)
		},
		"an authorization needs its link, and a state of its own": func(f *fixture) {
			c := f.connection("k")
			f.is(f.CreateAuthorization(f.ctx, f.newAuthorization(f.newLink(c))), store.ErrNotFound)
			l := f.link(c)
			a := f.authorization(l)
			again := f.newAuthorization(l)
			again.StateHash = a.StateHash
			f.is(f.CreateAuthorization(f.ctx, again), store.ErrExists)
			_, err := f.Authorization(f.ctx, again.ID)
			f.is(err, store.ErrNotFound)
		},
		"it is used once, and given as it was before": func(f *fixture) {
			a := f.authorization(f.link(f.connection("k")))
			f.clock.advance(time.Second)
			got, err := f.UseAuthorization(f.ctx, a.StateHash, a.BrowserHash)
			f.ok(err)
			equal(f, "first use", got, a)
			a.UsedAt = f.now()
			f.clock.advance(time.Second)
			for range 2 {
				got, err = f.UseAuthorization(f.ctx, a.StateHash, a.BrowserHash)
				f.ok(err)
				equal(f, "later use", got, a)
			}
			got, err = f.Authorization(f.ctx, a.ID)
			f.ok(err)
			equal(f, "stored", got, a)
		},
		"another browser or another state finds nothing and uses nothing up": func(f *fixture) {
			l := f.link(f.connection("k"))
			a, b := f.authorization(l), f.authorization(l)
			for _, h := range [][]byte{nil, {}, hash("x"), b.BrowserHash, a.BrowserHash[:31]} {
				_, err := f.UseAuthorization(f.ctx, a.StateHash, h)
				f.is(err, store.ErrNotFound)
			}
			_, err := f.UseAuthorization(f.ctx, hash("x"), a.BrowserHash)
			f.is(err, store.ErrNotFound)
			got, err := f.UseAuthorization(f.ctx, a.StateHash, a.BrowserHash)
			f.ok(err)
			equal(f, "first use", got, a)
		},
		"a problem is kept, and fails the link": func(f *fixture) {
			c := f.connection("k")
			l := f.link(c)
			a := f.authorization(l)
			mark := f.mark()
			f.ok(f.FinishAuthorization(f.ctx, a.ID, grant.ProblemDeclined, grant.Event{Type: grant.LinkFailed}))
			a.Finished, a.Problem = true, grant.ProblemDeclined
			got, err := f.Authorization(f.ctx, a.ID)
			f.ok(err)
			equal(f, "authorization", got, a)
			link, err := f.Link(f.ctx, l.ID)
			f.ok(err)
			l.State, l.Problem = grant.LinkStateFailed, grant.ProblemDeclined
			equal(f, "link", link, l)
			equal(f, "events", f.since(mark), []grant.Event{{Type: grant.LinkFailed, Time: f.now(), Connection: c.ID, App: app, Ref: "k@" + app}})
		},
		"a refusal shows in a pending connection, and in no other": func(f *fixture) {
			for name, p := range map[string]grant.Problem{"declined": grant.ProblemDeclined, "failed": grant.ProblemOurFault} {
				c := f.connection(name)
				f.ok(f.FinishAuthorization(f.ctx, f.authorization(f.link(c)).ID, p))
				want := grant.NeverConnected
				if p == grant.ProblemDeclined {
					want = grant.MerchantDeclined
				}
				equal(f, name, f.status(c.ID).Reason, want)
			}
			g := f.connected("k")
			c, err := f.Connection(f.ctx, grant.Ref{ID: g.ConnectionID})
			f.ok(err)
			f.ok(f.FinishAuthorization(f.ctx, f.authorization(f.link(c)).ID, grant.ProblemDeclined))
			equal(f, "a connected one", f.status(c.ID).State, grant.Connected)
		},
		"a finished one is stale and changes nothing": func(f *fixture) {
			l := f.link(f.connection("k"))
			a := f.authorization(l)
			f.ok(f.FinishAuthorization(f.ctx, a.ID, grant.ProblemDeclined))
			f.authorization(l)
			mark := f.mark()
			f.is(f.FinishAuthorization(f.ctx, a.ID, grant.ProblemOurFault, grant.Event{Type: grant.LinkFailed}), store.ErrStale)
			got, err := f.Authorization(f.ctx, a.ID)
			f.ok(err)
			equal(f, "problem", got.Problem, grant.ProblemDeclined)
			link, err := f.Link(f.ctx, l.ID)
			f.ok(err)
			equal(f, "link", link.State, grant.LinkStateAtProvider)
			equal(f, "events", f.since(mark), nil)
		},
		"a link that another browser completed stays completed": func(f *fixture) {
			c := f.connection("k")
			l := f.link(c)
			a, b := f.authorization(l), f.authorization(l)
			f.ok(f.Install(f.ctx, store.Installation{Grant: f.newGrant(c), Sealed: []byte("x"), LinkID: l.ID, AuthorizationID: a.ID}))
			f.ok(f.FinishAuthorization(f.ctx, b.ID, grant.ProblemDeclined))
			link, err := f.Link(f.ctx, l.ID)
			f.ok(err)
			equal(f, "link", link.State, grant.LinkStateCompleted)
			equal(f, "problem", link.Problem, grant.Problem(""))
		},
		"what does not exist is not found": func(f *fixture) {
			_, err := f.Authorization(f.ctx, "auth_none")
			f.is(err, store.ErrNotFound)
			f.is(f.FinishAuthorization(f.ctx, "auth_none", grant.ProblemDeclined), store.ErrNotFound)
		},
	}
}
