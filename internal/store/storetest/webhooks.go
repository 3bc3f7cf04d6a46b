package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func (f *fixture) newWebhook(name string) store.Webhook {
	now := f.now()
	return store.Webhook{ID: "wh_" + name, Name: name, URL: "https://app.example/hooks", Types: []string{"connection.*"}, Apps: []string{app},
		Businesses: []string{"biz_1"}, Sealed: []byte("\x00sealed secrets"), CreatedAt: now, UpdatedAt: now}
}

// webhook stores a webhook.
func (f *fixture) webhook(name string) store.Webhook {
	f.Helper()
	w := f.newWebhook(name)
	f.ok(f.CreateWebhook(f.ctx, w))
	w.Cursor = f.mark()
	return w
}

// hook reads a webhook.
func (f *fixture) hook(id string) store.Webhook {
	f.Helper()
	all, err := f.Webhooks(f.ctx)
	f.ok(err)
	for _, w := range all {
		if w.ID == id {
			return w
		}
	}
	f.Fatalf("there is no webhook %s", id)
	return store.Webhook{}
}

func (f *fixture) delivery(attempt int) store.WebhookDelivery {
	return store.WebhookDelivery{EventID: "evt_01KAPZ", Type: grant.ConnectionConnected, Attempt: attempt, At: f.now(),
		Took: 1500 * time.Microsecond, Status: 503, Error: "answered 503", NextAt: f.now().Add(time.Minute)}
}

func webhookTests() map[string]func(*fixture) {
	e := grant.Event{Type: grant.EventAppAccepted, App: app}
	return map[string]func(*fixture){
		"webhooks are listed oldest first, as they were created, and begin after the newest event": func(f *fixture) {
			b := f.webhook("b")
			equal(f, "cursor in an empty log", b.Cursor, "")
			f.clock.advance(time.Second)
			f.ok(f.AppendEvents(f.ctx, e))
			a := f.newWebhook("a")
			a.Types, a.Apps, a.Businesses, a.Sealed, a.FromFile = nil, nil, nil, nil, true
			a.Cursor = f.mark()
			f.ok(f.AppendEvents(f.ctx, e))
			f.ok(f.CreateWebhook(f.ctx, a, e)) // with a cursor it begins there
			c := f.newWebhook("c")
			c.CreatedAt = c.CreatedAt.Add(time.Second)
			f.ok(f.CreateWebhook(f.ctx, c))
			c.Cursor = f.mark()
			got, err := f.Webhooks(f.ctx)
			f.ok(err)
			equal(f, "webhooks", got, []store.Webhook{b, a, c})
		},
		"an id or a name can be taken once": func(f *fixture) {
			w := f.webhook("one")
			again := f.newWebhook("one")
			again.ID = "wh_other"
			f.is(f.CreateWebhook(f.ctx, again, e), store.ErrExists)
			again = f.newWebhook("two")
			again.ID = w.ID
			f.is(f.CreateWebhook(f.ctx, again, e), store.ErrExists)
			two := f.webhook("two")
			_, err := f.UpdateWebhook(f.ctx, two.ID, func(w *store.Webhook) error { w.Name = "one"; return nil }, e)
			f.is(err, store.ErrExists)
			equal(f, "events", f.since(""), nil)
			equal(f, "name", f.hook(two.ID).Name, "two")
		},
		"a change keeps what must not change, tells of it, and ends the lease": func(f *fixture) {
			w := f.webhook("one")
			_, err := f.LeaseWebhook(f.ctx, w.ID, owner)
			f.ok(err)
			f.ok(f.AppendEvents(f.ctx, e))
			f.clock.advance(time.Second)
			p := store.Progress{Cursor: f.mark(), Failures: 3, FailingSince: f.now(), NextAt: f.now().Add(time.Hour), DisabledAt: f.now(), DisabledBecause: "gone"}
			got, err := f.UpdateWebhook(f.ctx, w.ID, func(w *store.Webhook) error {
				w.ID, w.FromFile, w.CreatedAt, w.Sent = "wh_x", true, time.Time{}, 99
				w.Name, w.URL, w.Types, w.Apps, w.Businesses, w.Sealed = "new", "https://new.example/", []string{"link.*"}, nil, nil, []byte("new")
				w.Progress = p
				return nil
			}, e)
			f.ok(err)
			want := store.Webhook{ID: w.ID, Name: "new", URL: "https://new.example/", Types: []string{"link.*"}, Sealed: []byte("new"),
				CreatedAt: w.CreatedAt, UpdatedAt: f.now(), Progress: p}
			equal(f, "returned", got, want)
			equal(f, "stored", f.hook(w.ID), want)
			equal(f, "events", len(f.since("")), 2)
			f.is(f.AdvanceWebhook(f.ctx, w.ID, owner, p, nil, e), store.ErrStale)
			_, err = f.LeaseWebhook(f.ctx, w.ID, other)
			f.ok(err)
		},
		"an error of a change is returned and nothing is changed": func(f *fixture) {
			w := f.webhook("one")
			no := errors.New("no")
			_, err := f.UpdateWebhook(f.ctx, w.ID, func(w *store.Webhook) error { w.Name = "new"; return no }, e)
			f.is(err, no)
			_, err = f.UpdateWebhook(f.ctx, "wh_none", func(*store.Webhook) error { return nil }, e)
			f.is(err, store.ErrNotFound)
			equal(f, "webhook", f.hook(w.ID), w)
			equal(f, "events", f.since(""), nil)
		},
		"a lease keeps others out until it ends, is released or confirmed no more": func(f *fixture) {
			w := f.webhook("one")
			got, err := f.LeaseWebhook(f.ctx, w.ID, owner)
			f.ok(err)
			equal(f, "leased", got, w)
			_, err = f.LeaseWebhook(f.ctx, w.ID, other)
			f.is(err, store.ErrStale)
			f.clock.advance(store.WebhookLease - time.Second)
			f.ok(f.AdvanceWebhook(f.ctx, w.ID, owner, w.Progress, nil)) // which confirms it
			f.clock.advance(store.WebhookLease - time.Second)
			_, err = f.LeaseWebhook(f.ctx, w.ID, other)
			f.is(err, store.ErrStale)
			_, err = f.LeaseWebhook(f.ctx, w.ID, owner) // which confirms it too
			f.ok(err)
			f.clock.advance(store.WebhookLease)
			_, err = f.LeaseWebhook(f.ctx, w.ID, other)
			f.ok(err)
			f.is(f.AdvanceWebhook(f.ctx, w.ID, owner, w.Progress, nil), store.ErrStale)
			f.ok(f.ReleaseWebhook(f.ctx, w.ID, owner)) // which is not the holder
			_, err = f.LeaseWebhook(f.ctx, w.ID, owner)
			f.is(err, store.ErrStale)
			f.ok(f.ReleaseWebhook(f.ctx, w.ID, other))
			_, err = f.LeaseWebhook(f.ctx, w.ID, owner)
			f.ok(err)
			_, err = f.LeaseWebhook(f.ctx, "wh_none", owner)
			f.is(err, store.ErrNotFound)
			f.ok(f.ReleaseWebhook(f.ctx, "wh_none", owner))
		},
		"of many that want a lease at once one gets it": func(f *fixture) {
			w := f.webhook("one")
			var wg sync.WaitGroup
			var got atomic.Int64
			for i := range 20 {
				wg.Go(func() {
					_, err := f.LeaseWebhook(f.ctx, w.ID, fmt.Sprint("inc_", i))
					if err == nil {
						got.Add(1)
					} else if !isError(err, store.ErrStale) {
						f.Error(err)
					}
				})
			}
			wg.Wait()
			equal(f, "leases", got.Load(), 1)
		},
		"only the holder of the lease advances, and with it come the delivery and the events": func(f *fixture) {
			w := f.webhook("one")
			d := f.delivery(1)
			f.is(f.AdvanceWebhook(f.ctx, w.ID, owner, w.Progress, &d, e), store.ErrStale)
			f.is(f.AdvanceWebhook(f.ctx, "wh_none", owner, w.Progress, &d, e), store.ErrStale)
			_, err := f.LeaseWebhook(f.ctx, w.ID, owner)
			f.ok(err)
			f.ok(f.AppendEvents(f.ctx, e))
			w.Progress = store.Progress{Cursor: f.mark(), Failures: 1, FailingSince: f.now(), NextAt: f.now().Add(time.Minute)}
			f.is(f.AdvanceWebhook(f.ctx, w.ID, other, w.Progress, &d, e), store.ErrStale)
			f.ok(f.AdvanceWebhook(f.ctx, w.ID, owner, w.Progress, &d, e))
			w.Sent = 1
			equal(f, "webhook", f.hook(w.ID), w)
			equal(f, "events", len(f.since("")), 2)
			got, next, err := f.Deliveries(f.ctx, w.ID, store.Page{Limit: 10})
			f.ok(err)
			d.Number = 1
			equal(f, "deliveries", got, []store.WebhookDelivery{d})
			equal(f, "cursor", next, "")
		},
		"the last deliveries are kept, and listed newest first": func(f *fixture) {
			w := f.webhook("one")
			other := f.webhook("other")
			const extra = 3
			for i := range store.KeepDeliveries + extra {
				d := f.delivery(i + 1)
				n, err := f.RecordDelivery(f.ctx, w.ID, d)
				f.ok(err)
				equal(f, "number", n, int64(i+1))
			}
			_, err := f.RecordDelivery(f.ctx, other.ID, f.delivery(7))
			f.ok(err)
			_, err = f.RecordDelivery(f.ctx, "wh_none", f.delivery(1))
			f.is(err, store.ErrNotFound)
			want := int64(store.KeepDeliveries + extra)
			for p := (store.Page{Limit: 64}); ; {
				got, next, err := f.Deliveries(f.ctx, w.ID, p)
				f.ok(err)
				f.page(len(got), p.Limit, next)
				for _, d := range got {
					equal(f, "number", d.Number, want)
					equal(f, "attempt", d.Attempt, int(want))
					want--
				}
				if p.Cursor = next; next == "" {
					break
				}
			}
			equal(f, "deliveries that are not kept", want, extra)
			equal(f, "sent", f.hook(w.ID).Sent, store.KeepDeliveries+extra)
			_, _, err = f.Deliveries(f.ctx, w.ID, store.Page{Limit: 1, Cursor: "nonsense"})
			if err == nil {
				f.Error("a cursor that is none is taken")
			}
		},
		"what is deleted is gone with its deliveries": func(f *fixture) {
			w := f.webhook("one")
			_, err := f.RecordDelivery(f.ctx, w.ID, f.delivery(1))
			f.ok(err)
			f.ok(f.DeleteWebhook(f.ctx, w.ID, e))
			f.is(f.DeleteWebhook(f.ctx, w.ID, e), store.ErrNotFound)
			equal(f, "events", len(f.since("")), 1)
			got, err := f.Webhooks(f.ctx)
			f.ok(err)
			equal(f, "webhooks", got, nil)
			f.webhook("one") // its name and id are free
			left, _, err := f.Deliveries(f.ctx, w.ID, store.Page{Limit: 10})
			f.ok(err)
			equal(f, "deliveries", left, nil)
		},
	}
}
