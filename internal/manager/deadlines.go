package manager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

const (
	// watchEvery is how often deadlines are looked at that could be near, and
	// watchShare how much of the time at most: providers whose refresh tokens live for
	// days only have every grant looked at each time. Without any it is watchIdle.
	watchEvery = 30 * time.Second
	watchShare = 100
	watchIdle  = 10 * time.Minute
	watchPage  = 500
)

// watchDeadlines tells of deadlines of an app that come near. Every process does
// so; the store takes each of them once.
func (m *Manager) watchDeadlines(ctx context.Context, name string, app *provider.App) {
	w := watcher{m: m, name: name, policy: app.Policy, since: m.c.Now(), told: make(map[string]time.Time)}
	wait := watchEvery
	for sleep(ctx, wait, nil) {
		began := time.Now()
		some, err := w.look(ctx)
		if err != nil && ctx.Err() == nil {
			m.c.Logger.WarnContext(ctx, "which deadlines are near is not known", "app", name, "err", err)
		}
		if wait = max(watchEvery, watchShare*time.Since(began)); err == nil && !some {
			wait = watchIdle
		}
	}
}

// watcher looks at one app's deadlines.
type watcher struct {
	m      *Manager
	name   string
	policy grant.Policy
	since  time.Time            // when it began
	told   map[string]time.Time // deadlines that need no more telling, by grant
}

// look tells of every deadline that is near. It reports whether there were any that
// could be.
func (w *watcher) look(ctx context.Context) (some bool, _ error) {
	now := w.m.c.Now()
	told := make(map[string]time.Time)
	p := store.Page{Limit: watchPage}
	for {
		grants, next, err := w.m.c.Store.Deadlines(ctx, store.DeadlineFilter{App: w.name, Before: now.Add(grant.MostNear)}, p)
		if err != nil {
			return some, err
		}
		some = some || len(grants) > 0
		for _, g := range grants {
			if !w.policy.DeadlineNear(g, now, w.since) {
				continue
			}
			if !w.told[g.ID].Equal(g.DeadlineAt) {
				err := w.tell(ctx, g, now)
				if err != nil && !errors.Is(err, store.ErrStale) && !errors.Is(err, store.ErrNotFound) {
					return some, err
				}
			}
			told[g.ID] = g.DeadlineAt
		}
		if p.Cursor = next; next == "" {
			w.told = told
			return some, nil
		}
	}
}

// tell puts a near deadline into the log.
func (w *watcher) tell(ctx context.Context, g grant.Grant, now time.Time) error {
	c, err := w.m.c.Store.Connection(ctx, grant.Ref{ID: g.ConnectionID})
	if err != nil {
		return err
	}
	ends, reason := "unless_renewed", g.Status.Reason
	if w.policy.EndsFixed(g) {
		ends, reason = "consent", ""
	}
	e := grant.Event{Type: grant.ConnectionDeadlineNear, Reason: reason, Data: map[string]any{
		"deadline": g.DeadlineAt.UTC().Format(time.RFC3339), "seconds_left": int64(max(g.DeadlineAt.Sub(now), 0) / time.Second), "ends": ends,
	}}
	e.Data["hint"] = hint(c.Ref(), g.DeadlineAt, e.ActBy())
	return w.m.c.Store.TellDeadline(ctx, g.ID, g.DeadlineAt, e)
}

// hint says to people what to do about a deadline that is near.
func hint(ref grant.Ref, deadline time.Time, actor grant.Actor) string {
	when := deadline.UTC().Format("2 Jan 2006 15:04 MST")
	link := fmt.Sprintf("evergrant link create %s", ref)
	switch actor {
	case grant.Merchant:
		return fmt.Sprintf("The business's consent ends on %s, and no renewal moves that. Send it a link to connect again before: %s", when, link)
	case grant.Operator:
		return fmt.Sprintf("Nothing renews this business's grant, which is lost on %s. What is in the way: evergrant why %s", when, ref)
	}
	return fmt.Sprintf("Renewals fail, and the business's grant is lost on %s if they go on failing. See evergrant why %s; "+
		"a link connects it again meanwhile: %s", when, ref, link)
}

// DeadlineNear reports whether one of a connection's live grants is about to die:
// whether connection.deadline_near is told of it, or would be by now.
func (m *Manager) DeadlineNear(grants []grant.Grant) bool {
	now := m.c.Now()
	for _, g := range grants {
		if m.policy(g.App).DeadlineNear(g, now, time.Time{}) {
			return true
		}
	}
	return false
}
