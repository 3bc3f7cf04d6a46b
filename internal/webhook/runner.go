package webhook

import (
	"context"
	"errors"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const (
	// confirm is how old a lease gets before it is confirmed: young enough that a
	// delivery and its record end before the lease does.
	confirm = 20 * time.Second
	// rest is how long a webhook that is disabled, or waits to be tried again, is left
	// alone at most. Its lease may end meanwhile.
	rest = 5 * time.Minute
	// elsewhere is how long to wait for a lease that another process holds.
	elsewhere = 10 * time.Second
	// sick is how long to wait for a store that does not answer.
	sick = 5 * time.Second
	// batch is how many events are read at once.
	batch = 100
	// gather is how long a log that grows steadily is left alone between two looks.
	gather = 50 * time.Millisecond
	// note is how often it is recorded that the log holds nothing for a webhook.
	note = time.Minute
)

// runner delivers to one webhook. All but kick is the loop's.
type runner struct {
	s    *Service
	id   string
	kick chan struct{} // the webhook was changed

	w        store.Webhook // as this process has left it
	leasedAt time.Time     // zero: the lease is not held
	passed   string        // the log holds nothing for it up to here
	noted    time.Time     // when passed was recorded
	told     bool          // that the store does not answer
}

// gone is what a pass returns when the webhook is deleted, or is no more in the file.
const gone time.Duration = -1

// loop delivers until ctx ends or the webhook is gone.
func (r *runner) loop(ctx context.Context) {
	defer r.release()
	for {
		grown := r.s.c.Grown()
		wait := r.pass(ctx)
		if wait == gone || ctx.Err() != nil {
			return
		}
		if r.leasedAt.IsZero() || !r.w.DisabledAt.IsZero() || r.w.NextAt.After(r.s.c.Now()) {
			grown = nil // it is not news that is waited for
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.kick:
			r.leasedAt = time.Time{}
		case <-grown:
			pause(ctx, gather)
		}
		timer.Stop()
	}
}

// pause waits, for no longer than ctx lasts.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// pass delivers what there is to deliver and returns how long to wait for more.
func (r *runner) pass(ctx context.Context) time.Duration {
	if wait := r.lease(ctx); wait != 0 {
		return wait
	}
	if !r.w.DisabledAt.IsZero() {
		return rest
	}
	if wait := r.w.NextAt.Sub(r.s.c.Now()); wait > 0 {
		return min(wait, rest)
	}
	last, err := r.s.c.Store.LastEvent(ctx) // before what is selected is read
	if err != nil {
		return r.trouble(ctx, err)
	}
	events, next, err := r.s.c.Store.ListEvents(ctx, store.EventFilter{Types: r.w.Types, Apps: r.w.Apps, Keys: r.w.Businesses},
		store.Page{Limit: batch, Cursor: r.passed})
	if err != nil {
		return r.trouble(ctx, err)
	}
	r.told = false
	for _, e := range events {
		select {
		case <-r.kick: // it was changed or deleted, perhaps before the event
			r.leasedAt = time.Time{}
			return 0
		default:
		}
		if wait := r.lease(ctx); wait != 0 || ctx.Err() != nil {
			return wait
		}
		if wait := r.deliver(ctx, e); wait != 0 {
			return wait
		}
	}
	if next != "" {
		return 0
	}
	r.passed = max(r.passed, last)
	return r.note(ctx)
}

// lease makes sure that the webhook is this process's to deliver to; it returns
// how long to wait if it is not.
func (r *runner) lease(ctx context.Context) time.Duration {
	now := time.Now()
	if !r.leasedAt.IsZero() && now.Sub(r.leasedAt) < confirm {
		return 0
	}
	w, err := r.s.c.Store.LeaseWebhook(ctx, r.id, r.s.owner)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return gone
	case errors.Is(err, store.ErrStale):
		r.leasedAt, r.told = time.Time{}, false
		return elsewhere
	case err != nil:
		return r.trouble(ctx, err)
	}
	w, known := r.s.defined(w)
	if !known {
		return gone
	}
	if r.leasedAt.IsZero() || w.Cursor != r.w.Cursor {
		r.passed = w.Cursor
	}
	r.w, r.leasedAt = w, now
	return 0
}

// trouble says that the store does not answer, once.
func (r *runner) trouble(ctx context.Context, err error) time.Duration {
	if ctx.Err() == nil && !r.told {
		r.told = true
		r.s.c.Logger.WarnContext(ctx, "events cannot be delivered: the store does not answer; trying again", "webhook", r.id, "err", err)
	}
	return sick
}

// release leaves the webhook to others.
func (r *runner) release() {
	if r.leasedAt.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	if err := r.s.c.Store.ReleaseWebhook(ctx, r.id, r.s.owner); err != nil {
		r.s.c.Logger.WarnContext(ctx, "a webhook could not be left to other processes; they wait for its lease to end", "webhook", r.id, "err", err)
	}
}

// deliver sends an event and records what became of it. It returns 0 if the next
// event may follow at once.
func (r *runner) deliver(ctx context.Context, e grant.Event) time.Duration {
	select {
	case r.s.slots <- struct{}{}:
		defer func() { <-r.s.slots }()
	case <-ctx.Done():
		return sick
	}
	d, asked := r.s.send(r.s.sending, r.w, e)
	if d.Error != "" && r.s.sending.Err() != nil {
		return sick // cut off; it says nothing about the receiver
	}
	d.Attempt = r.w.Failures + 1
	now := r.s.c.Now()
	p, events := store.Progress{Cursor: e.ID}, []grant.Event(nil)
	outcome := "ok"
	if d.Error != "" {
		outcome = "failed"
		p = r.failed(now, asked, d.Status)
		d.NextAt = p.NextAt
		if !p.DisabledAt.IsZero() {
			outcome = "disabled"
			events = append(events, disabled(r.w, p.DisabledBecause))
		}
	}
	if !r.record(ctx, p, &d, events...) {
		return sick
	}
	r.s.c.Counted(r.w.Name, outcome)
	if d.Error == "" {
		r.passed = e.ID
		return 0
	}
	return min(max(p.NextAt.Sub(now), time.Millisecond), rest)
}

// failed is the progress after another failed delivery, of which the answer asked
// for a wait.
func (r *runner) failed(now time.Time, asked time.Duration, status int) store.Progress {
	p := r.w.Progress
	p.Failures++
	if p.FailingSince.IsZero() {
		p.FailingSince = now
	}
	switch {
	case status == 410: // the receiver wants no more, as Standard Webhooks says
		p.DisabledAt, p.DisabledBecause, p.NextAt = now, BecauseGone, time.Time{}
	case now.Sub(p.FailingSince) >= GiveUpAfter:
		p.DisabledAt, p.DisabledBecause, p.NextAt = now, BecauseFailing, time.Time{}
	default:
		p.NextAt = now.Add(max(Wait(p.Failures, r.s.c.Random()), asked))
	}
	return p
}

// record records the progress. While the store does not answer it is tried again,
// because what is not recorded is delivered again.
func (r *runner) record(ctx context.Context, p store.Progress, d *store.WebhookDelivery, events ...grant.Event) bool {
	for {
		err := r.s.c.Store.AdvanceWebhook(context.WithoutCancel(ctx), r.id, r.s.owner, p, d, events...)
		if err == nil {
			r.w.Progress, r.leasedAt = p, time.Now()
			return true
		}
		if errors.Is(err, store.ErrStale) || ctx.Err() != nil || time.Since(r.leasedAt) > store.WebhookLease {
			r.leasedAt = time.Time{}
			return false
		}
		r.trouble(ctx, err)
		pause(ctx, time.Second)
	}
}

// note records now and then that the log held nothing for the webhook, so that the
// next process does not look there again. It returns how long to wait for news.
func (r *runner) note(ctx context.Context) time.Duration {
	now := time.Now()
	if r.noted.IsZero() {
		r.noted = now
	}
	if r.passed == r.w.Cursor || now.Sub(r.noted) < note {
		return confirm
	}
	r.noted = now
	p := r.w.Progress
	p.Cursor = r.passed
	r.record(ctx, p, nil)
	return confirm
}
