package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// crowd is how many callers contend.
const crowd = 100

// together calls do from many goroutines at once, with their numbers, and
// returns how many succeeded. Those that did not must have got want.
func (f *fixture) together(want error, do func(i int) error) int {
	f.Helper()
	var succeeded atomic.Int32
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range crowd {
		all.Go(func() {
			<-start
			switch err := do(i); {
			case err == nil:
				succeeded.Add(1)
			case want == nil || !isError(err, want):
				f.Errorf("caller %d: error is %v, want %v", i, err, want)
			}
		})
	}
	close(start)
	all.Wait()
	return int(succeeded.Load())
}

func contentionTests() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"one of many claims of a grant succeeds": func(f *fixture) {
			g := f.connected("k")
			n := f.together(store.ErrStale, func(i int) error {
				_, err := f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
				return err
			})
			equal(f, "claims", n, 1)
		},
		"many claims share the due grants without claiming one twice": func(f *fixture) {
			const grants = 60
			for i := range grants {
				f.connected(fmt.Sprint("k", i))
			}
			var mu sync.Mutex
			seen := map[string]int{}
			f.together(nil, func(i int) error {
				r := request(owner)
				r.Limit = 1 + i%3
				claims, err := f.Claim(f.ctx, r)
				mu.Lock()
				defer mu.Unlock()
				for _, c := range claims {
					seen[c.Grant.ID]++
				}
				return err
			})
			equal(f, "grants claimed", len(seen), grants)
			for id, n := range seen {
				if n != 1 {
					f.Errorf("%s was claimed %d times", id, n)
				}
			}
		},
		"the same commit from many sides is made once": func(f *fixture) {
			g := f.connected("k")
			r := f.renewal(f.claim(g))
			r.Events = []grant.Event{{Type: grant.GrantRefreshed}}
			mark := f.mark()
			n := f.together(nil, func(int) error { return f.Commit(f.ctx, r) })
			equal(f, "successes", n, crowd)
			equal(f, "events", f.types(mark), []grant.EventType{grant.GrantRefreshed})
			equal(f, "version", f.grant(g.ID).Version, g.Version.Next())
		},
		"of a commit and many settlements one wins": func(f *fixture) {
			g := f.connected("k")
			c := f.claim(g)
			n := f.together(store.ErrStale, func(i int) error {
				if i == crowd/2 {
					return f.Commit(f.ctx, f.renewal(c))
				}
				return f.Settle(f.ctx, f.settlement(c, grant.Network))
			})
			equal(f, "winners", n, 1)
		},
		"of many installations of an epoch one wins, and no commit of the old epoch after it": func(f *fixture) {
			g := f.connected("k")
			c := f.claim(g)
			var installed atomic.Int32
			f.together(store.ErrStale, func(i int) error {
				if i%10 == 0 {
					return f.Commit(f.ctx, f.renewal(c))
				}
				n := g
				n.Version, n.Scope = grant.Version{Epoch: 2}, fmt.Sprint("scope-", i)
				err := f.Install(f.ctx, store.Installation{Grant: n, Sealed: []byte(n.Scope)})
				if err == nil {
					installed.Add(1)
				}
				return err
			})
			equal(f, "installed", installed.Load(), 1)
			got, bytes, err := f.Credentials(f.ctx, g.ID)
			f.ok(err)
			equal(f, "version", got.Version, grant.Version{Epoch: 2})
			equal(f, "credentials of the winner", string(bytes), got.Scope)
		},
		"many grants are renewed at once, each in order": func(f *fixture) {
			grants := make([]grant.Grant, crowd)
			for i := range grants {
				grants[i] = f.connected(fmt.Sprint("k", i))
			}
			n := f.together(nil, func(i int) error {
				g := grants[i]
				for range 5 {
					c, err := f.ClaimOne(f.ctx, request(owner), g.ID, g.Version)
					if err != nil {
						return err
					}
					r := f.renewal(c)
					r.Events = []grant.Event{{Type: grant.GrantRefreshed}}
					if err := f.Commit(f.ctx, r); err != nil {
						return err
					}
					g.Version = g.Version.Next()
				}
				return nil
			})
			equal(f, "successes", n, crowd)
			for _, g := range grants {
				want := grant.Version{Epoch: 1, Seq: 5}
				equal(f, "version", f.grant(g.ID).Version, want)
				f.current(g, sealed(g.ID, want))
			}
		},
		"one of many uses of an authorization sees it unused": func(f *fixture) {
			a := f.authorization(f.link(f.connection("k")))
			var unused atomic.Int32
			n := f.together(nil, func(int) error {
				got, err := f.UseAuthorization(f.ctx, a.StateHash, a.BrowserHash)
				if err == nil && got.UsedAt.IsZero() {
					unused.Add(1)
				}
				return err
			})
			equal(f, "calls", n, crowd)
			equal(f, "unused", unused.Load(), 1)
		},
		"one of many connections takes an address": func(f *fixture) {
			n := f.together(store.ErrExists, func(int) error { return f.CreateConnection(f.ctx, f.newConnection("k")) })
			equal(f, "created", n, 1)
		},
		"one of many data keys is the first": func(f *fixture) {
			n := f.together(store.ErrStale, func(i int) error { return f.SetDataKey(f.ctx, nil, "m", fmt.Append(nil, i)) })
			equal(f, "set", n, 1)
		},
		"no update of many is lost": func(f *fixture) {
			c := f.connection("k")
			n := f.together(nil, func(int) error {
				_, err := f.UpdateConnection(f.ctx, c.ID, func(c *grant.Connection) error {
					c.Name += "x"
					return nil
				})
				return err
			})
			equal(f, "updates", n, crowd)
			got, err := f.Connection(f.ctx, c.Ref())
			f.ok(err)
			equal(f, "length", len(got.Name), len(c.Name)+crowd)
		},
		"a change that fails takes no other with it": func(f *fixture) {
			c := f.connection("k")
			n := f.together(store.ErrNotFound, func(i int) error {
				switch i % 3 {
				case 0:
					_, err := f.UpdateConnection(f.ctx, c.ID, func(c *grant.Connection) error {
						c.Name += "x"
						return store.ErrNotFound
					})
					return err
				case 1:
					return f.DeleteConnection(f.ctx, "conn_none", grant.Event{Type: grant.ConnectionDeleted})
				}
				return f.AppendEvents(f.ctx, grant.Event{Type: grant.EventAppAccepted})
			})
			equal(f, "successes", n, crowd/3)
			equal(f, "events", len(f.since("")), crowd/3)
			got, err := f.Connection(f.ctx, c.Ref())
			f.ok(err)
			equal(f, "name", got.Name, c.Name)
		},
		"a reader follows the log without missing any, while many write": func(f *fixture) {
			ctx, stop := context.WithTimeout(f.ctx, time.Minute)
			defer stop()
			const each = 5
			seen := make(chan []string, 1)
			go func() {
				var ids []string
				for cursor := ""; len(ids) < crowd*each && ctx.Err() == nil; {
					events, _, err := f.ListEvents(ctx, store.EventFilter{}, store.Page{Limit: 7, Cursor: cursor})
					if err != nil {
						f.Errorf("reader: %v", err)
						break
					}
					for _, e := range events {
						ids = append(ids, e.ID)
						cursor = e.ID
					}
				}
				seen <- ids
			}()
			f.together(nil, func(i int) error {
				for range each {
					if err := f.AppendEvents(f.ctx, grant.Event{Type: grant.EventAppAccepted}); err != nil {
						return err
					}
				}
				return nil
			})
			got := <-seen
			var want []string
			for _, e := range f.listEvents(store.EventFilter{}, 1000) {
				want = append(want, e.ID)
			}
			equal(f, "events seen", got, want)
		},
	}
}
