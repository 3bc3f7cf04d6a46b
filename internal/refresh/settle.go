package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/fault"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/telemetry"
)

// refused deals with any outcome but tokens, as the policy judges it.
func (a *attempt) refused(res oauth.Result) (Result, error) {
	g, now := a.claim.Grant, a.l.e.c.Now()
	known := a.learn(res)
	v := a.l.app.Policy.Judge(g, grant.Facts{Outcome: res.Outcome, Now: now, RetryAfter: res.RetryAfter, Spread: a.l.e.spread()})
	if v.Action == grant.Die {
		if r, ok := a.adoptOrphan(); ok {
			return r, nil
		}
		a.observe(oauth.Token{}, v)
		if !a.l.gate.believes() {
			wait := max(grant.Backoff(g.Failures, a.l.e.spread()), a.l.app.Policy.Spacing())
			v = grant.Postpone(g, g.Status.Reason, now.Add(wait))
		}
	}
	if v.PauseApp && known {
		// One incident, one event: the grants that run into it tell nothing new.
		return a.failWith(v, res, nil, nil)
	}
	return a.fail(v, res, nil)
}

// fail settles the attempt and words the outcome for whoever waits.
func (a *attempt) fail(v grant.Verdict, res oauth.Result, cause error) (Result, error) {
	return a.failWith(v, res, cause, []grant.Event{a.failed(v, res)})
}

func (a *attempt) failWith(v grant.Verdict, res oauth.Result, cause error, events []grant.Event) (Result, error) {
	g := a.settle(v, res, events)
	err := fmt.Errorf("%w: %s", ErrFailed, g.Status.Reason)
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return Result{Grant: g, RetryAfter: max(v.Next.Sub(a.l.e.c.Now()), 0)}, err
}

// settle records the verdict and returns the grant as it is now.
func (a *attempt) settle(v grant.Verdict, res oauth.Result, events []grant.Event) grant.Grant {
	e, g, now := a.l.e, a.claim.Grant, a.l.e.c.Now()
	next := g
	next.Status = g.Status.Become(v.Reason, now, v.Next)
	next.DueAt, next.Failures, next.Refusals, next.RefusedAt = v.Next, g.Failures+1, v.Refusals, v.RefusedAt
	if v.Action != grant.Hold {
		next.Attempt = nil
	}
	s := store.Settlement{
		GrantID: g.ID, AttemptID: g.Attempt.ID, Of: g.Attempt.Of, Hold: v.Action == grant.Hold,
		DueAt: v.Next, Status: next.Status, Failures: next.Failures, Refusals: v.Refusals, RefusedAt: v.RefusedAt,
		Events: events,
	}
	err := e.record(context.WithoutCancel(e.life), s)
	if err == nil || errors.Is(err, store.ErrStale) {
		// Stale: consent or a disconnect came between; there is nothing to settle.
		e.c.Changed(next)
	} else {
		// The attempt stays open, and nobody takes it over while this process lives.
		e.c.Logger.Error("an attempt could not be settled; trying again", "grant", g.ID, "attempt", g.Attempt.ID, "err", err)
		e.admit(func() { a.settleLater(s, next) })
	}
	e.c.Metrics.Refreshed(g.App, outcomeLabel(v, res), string(v.Reason), now.Sub(a.began))
	if a.ans.Status != 0 || res.Code != "" || res.Description != "" {
		e.c.Metrics.Answered(g.App, telemetry.Answer{Status: a.ans.Status, Code: res.Code, Description: res.Description})
	}
	return next
}

// settleLater settles until it succeeds or the engine stops; then the next
// process finds the attempt open and its owner dead.
func (a *attempt) settleLater(s store.Settlement, next grant.Grant) {
	e := a.l.e
	if !e.insist(func(ctx context.Context) error { return e.record(ctx, s) }) {
		return
	}
	e.c.Changed(next)
	a.l.poke()
}

// record keeps in the store what became of an attempt.
func (e *Engine) record(ctx context.Context, s store.Settlement) error {
	if err := fault.Point("refresh.before-settle"); err != nil {
		return err
	}
	if err := e.c.Store.Settle(ctx, s); err != nil {
		return err
	}
	return fault.Point("refresh.settled")
}

func outcomeLabel(v grant.Verdict, res oauth.Result) string {
	switch {
	case v.Action == grant.Die:
		return "permanent"
	case res.Outcome == grant.Lost:
		return "answer_lost"
	}
	return "temporary"
}

// failed is the event that tells of an attempt without credentials.
func (a *attempt) failed(v grant.Verdict, res oauth.Result) grant.Event {
	g := a.claim.Grant
	reason := v.Reason
	switch {
	case v.PauseApp:
		reason = grant.AppCredentialsRejected
	case res.Outcome == grant.Refused && v.Action != grant.Die:
		reason = grant.RefreshRejected
	}
	data := map[string]any{
		"outcome": res.Outcome.String(), "attempt": g.Attempt.ID, "kind": string(g.Attempt.Kind),
		"duration_ms": a.l.e.c.Now().Sub(a.began).Milliseconds(), "final": v.Action == grant.Die,
	}
	if a.ans.Status != 0 {
		data["status"] = a.ans.Status
	}
	if v.Elsewhere {
		data["suspect"] = "used_elsewhere"
	}
	if r := a.claim.Repeats; r != nil {
		data["repeats"], data["repeats_opened_at"] = r.ID, r.OpenedAt.UTC().Format(time.RFC3339)
	}
	if res.Code != "" {
		data["error"] = res.Code
	}
	if res.Description != "" {
		data["description"] = res.Description
	}
	if !v.Next.IsZero() {
		data["next_try_at"] = v.Next.UTC().Format(time.RFC3339)
	}
	return grant.Event{Type: grant.GrantRefreshFailed, Connection: g.ConnectionID, Grant: g.ID, App: g.App, Reason: reason, Data: data}
}

// learn teaches the gate an outcome and tells of an incident that begins or
// ends with it. known reports whether the app was under an incident already.
func (a *attempt) learn(res oauth.Result) (known bool) {
	l, now := a.l, a.l.e.c.Now()
	if res.Outcome == grant.Throttled {
		l.pace.throttled(a.began, now)
	} else if res.Outcome != grant.NotSent && res.Outcome != grant.Lost {
		l.pace.answered()
	}
	is, turns := l.gate.learn(res.Outcome, now, res.RetryAfter, a.claim.Grant.Refusals == 0)
	if !turns {
		return is != grant.OK
	}
	l.telling <- struct{}{}
	defer func() { <-l.telling }()
	before, after := l.gate.turn(res.Outcome, l.e.c.Now())
	if before.Reason == after.Reason { // another answer was first
		return after.Reason != grant.OK
	}
	l.tell(before, after, res.Code)
	return false
}

// tell records that an incident began or ended, and the provider's code for it.
func (l *lane) tell(before, after Incident, code string) {
	e, app := l.e, l.app.Name
	ev := grant.Event{App: app, Reason: after.Reason, Data: map[string]any{}}
	switch {
	case after.Reason == grant.AppCredentialsRejected:
		ev.Type = grant.EventAppRejected
		e.c.Metrics.AppAccepted(app, false)
	case before.Reason == grant.AppCredentialsRejected:
		ev.Type = grant.EventAppAccepted
		e.c.Metrics.AppAccepted(app, true)
	case after.Reason == grant.AppPaused:
		ev.Type, ev.Data["cause"] = grant.EventAppPaused, string(after.Cause)
	default:
		ev.Type, ev.Data["cause"] = grant.EventAppResumed, string(before.Cause)
	}
	if code != "" {
		ev.Data["error"] = code
	}
	if err := e.c.Store.AppendEvents(context.WithoutCancel(e.life), ev); err != nil {
		e.c.Logger.Error("an app's incident could not be recorded", "app", app, "err", err)
	}
	e.c.Incident(app)
	l.poke()
}
