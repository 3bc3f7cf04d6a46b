package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// dying stores a connection with one grant that dies after a while.
func (f *fixture) dying(key string, after time.Duration) grant.Grant {
	f.Helper()
	g := f.newGrant(f.connection(key))
	g.DeadlineAt = time.Time{}
	if after != 0 {
		g.DeadlineAt = f.now().Add(after)
	}
	return f.install(g)
}

// ordered ends the test unless grants come in the order of their deadlines.
func (f *fixture) ordered(grants []grant.Grant) {
	f.Helper()
	if !slices.IsSortedFunc(grants, func(a, b grant.Grant) int { return a.DeadlineAt.Compare(b.DeadlineAt) }) {
		f.Fatalf("not in the order of their deadlines: %v", grants)
	}
}

func deadlineTests() map[string]func(*fixture) {
	near := grant.Event{Type: grant.ConnectionDeadlineNear, Reason: grant.Network}
	return map[string]func(*fixture){
		"live grants are listed in the order of their deadlines, page by page": func(f *fixture) {
			var want []grant.Grant
			for i, after := range []time.Duration{5, 3, 0, 1, 3, 4, 2} { // one is not known, two are the same
				g := f.dying(fmt.Sprint("biz_", i), after*time.Hour)
				if after != 0 {
					want = append(want, g)
				}
			}
			dead := f.dying("dead", time.Minute)
			f.ok(f.Disconnect(f.ctx, dead.ID, dead.Version, grant.DisconnectedByUs))
			stranger := f.newConnection("k")
			stranger.App = "other"
			f.ok(f.CreateConnection(f.ctx, stranger))
			f.install(f.newGrant(stranger))
			byEnd := func(a, b grant.Grant) int { // those that end together come in any order
				return cmp.Or(a.DeadlineAt.Compare(b.DeadlineAt), cmp.Compare(a.ID, b.ID))
			}
			list := func(filter store.DeadlineFilter, limit int) (all []grant.Grant) {
				for p := (store.Page{Limit: limit}); ; {
					got, next, err := f.Deadlines(f.ctx, filter, p)
					f.ok(err)
					f.page(len(got), limit, next)
					all = append(all, got...)
					if p.Cursor = next; next == "" {
						f.ordered(all)
						slices.SortFunc(all, byEnd)
						return all
					}
				}
			}
			order := slices.SortedFunc(slices.Values(want), byEnd)
			equal(f, "in pages of one", list(store.DeadlineFilter{App: app}, 1), order)
			equal(f, "in one page", list(store.DeadlineFilter{App: app}, 100), order)
			equal(f, "before a time", list(store.DeadlineFilter{App: app, Before: f.now().Add(3 * time.Hour)}, 2), order[:2])
			equal(f, "of some businesses", list(store.DeadlineFilter{App: app, Keys: []string{"biz_0", "biz_3", "none"}}, 1), []grant.Grant{order[0], order[5]})
			equal(f, "of no business", list(store.DeadlineFilter{App: app, Keys: []string{}}, 1), nil)
			equal(f, "of no app", list(store.DeadlineFilter{App: "none"}, 1), nil)
			for _, c := range []struct {
				what string
				keys []string
				want []int
			}{{"all", nil, []int{0, 1, 4, 6}}, {"of two businesses", []string{"biz_0", "biz_3"}, []int{0, 1, 1, 2}}} {
				now := f.now()
				got, err := f.CountDeadlines(f.ctx, store.DeadlineFilter{App: app, Keys: c.keys},
					[]time.Time{now.Add(time.Hour), now.Add(2 * time.Hour), now.Add(4 * time.Hour), now.Add(24 * time.Hour)})
				f.ok(err)
				equal(f, "counted, "+c.what, got, c.want)
			}
		},
		"a near deadline is told once, whoever sees it": func(f *fixture) {
			g := f.dying("biz_1", time.Hour)
			mark := f.mark()
			var wg sync.WaitGroup
			var told atomic.Int64
			for range 10 {
				wg.Go(func() {
					err := f.TellDeadline(f.ctx, g.ID, g.DeadlineAt, near)
					if err == nil {
						told.Add(1)
					} else if !isError(err, store.ErrStale) {
						f.Error(err)
					}
				})
			}
			wg.Wait()
			equal(f, "told", told.Load(), 1)
			equal(f, "events", f.since(mark), []grant.Event{{Type: near.Type, Reason: near.Reason, Time: f.now(),
				Connection: g.ConnectionID, Ref: "biz_1@" + app, App: app, Grant: g.ID}})
			equal(f, "grant", f.grant(g.ID), g)
		},
		"another deadline is told anew, and one that has moved is not told": func(f *fixture) {
			g := f.dying("biz_1", time.Hour)
			f.ok(f.TellDeadline(f.ctx, g.ID, g.DeadlineAt, near))
			c := f.claim(g)
			r := f.renewal(c)
			f.ok(f.Commit(f.ctx, r))
			mark := f.mark()
			f.is(f.TellDeadline(f.ctx, g.ID, g.DeadlineAt, near), store.ErrStale)
			equal(f, "events", f.since(mark), nil)
			f.ok(f.TellDeadline(f.ctx, g.ID, r.Times.DeadlineAt, near))
			f.is(f.TellDeadline(f.ctx, g.ID, r.Times.DeadlineAt, near), store.ErrStale)
			equal(f, "events", len(f.since(mark)), 1)
		},
		"nothing is told of grants that are not live, have no deadline or are gone": func(f *fixture) {
			open := f.dying("open", 0)
			f.is(f.TellDeadline(f.ctx, open.ID, time.Time{}, near), store.ErrStale)
			dead := f.dying("dead", time.Hour)
			f.ok(f.Disconnect(f.ctx, dead.ID, dead.Version, grant.DisconnectedByUs))
			f.is(f.TellDeadline(f.ctx, dead.ID, dead.DeadlineAt, near), store.ErrStale)
			f.is(f.TellDeadline(f.ctx, "grant_none", f.now(), near), store.ErrNotFound)
			equal(f, "events", f.since(""), nil)
		},
	}
}
