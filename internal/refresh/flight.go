package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Result is what a refresh came to.
type Result struct {
	Grant      grant.Grant // as it is afterwards
	Credential grant.Credential
	// Degraded is set when the credentials are safe in the spool and not yet in
	// the store.
	Degraded bool
	// RetryAfter is when another try may help, if this one failed.
	RetryAfter time.Duration
}

// flight is one refresh of one grant that any number of callers wait for.
type flight struct {
	done chan struct{}
	// carried is set, under the engine's lock, once an open attempt stands behind
	// the flight; whoever carries the attempt lands it.
	carried bool
	res     Result
	err     error
}

// Refresh renews a grant that is at version of and returns when that has
// succeeded or failed, or ctx has ended. The work itself does not end with ctx.
// All callers for one grant share one refresh, and join one that is under way.
func (e *Engine) Refresh(ctx context.Context, app, grantID string, of grant.Version) (Result, error) {
	return e.RefreshIf(ctx, app, grantID, of, func() bool { return true })
}

// RefreshIf is Refresh for callers who join a refresh that is under way in any
// case, but begin one only if may allows it; otherwise they get ErrNotBegun, as
// everybody does while the provider allows no further refresh of the grant.
// Asking and beginning are one step, so that of many callers at once one asks
// and the others join. may is called with the engine locked and may not use it.
func (e *Engine) RefreshIf(ctx context.Context, app, grantID string, of grant.Version, may func() bool) (Result, error) {
	l := e.lanes[app]
	if l == nil {
		return Result{}, fmt.Errorf("app %q is not configured: %w", app, ErrBlocked)
	}
	e.mu.Lock()
	f, joined := e.flights[grantID]
	if !joined {
		if !e.running {
			e.mu.Unlock()
			return Result{RetryAfter: time.Second}, ErrStopped
		}
		if !may() {
			e.mu.Unlock()
			return Result{}, ErrNotBegun
		}
		f = &flight{done: make(chan struct{})}
		e.flights[grantID] = f
		e.work.Go(func() { l.demand(f, grantID, of) })
	}
	e.mu.Unlock()
	select {
	case <-f.done:
		return f.res, f.err
	case <-ctx.Done():
		return Result{RetryAfter: time.Second}, ctx.Err()
	}
}

// carry marks the grant's flight as standing on an open attempt. It makes one if
// nobody waits yet, and if the one there is stands on an earlier attempt, which
// is settled already and has yet to say so to its own callers.
func (e *Engine) carry(grantID string) *flight {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.flights[grantID]
	if f == nil || f.carried {
		f = &flight{done: make(chan struct{})}
		e.flights[grantID] = f
	}
	f.carried = true
	return f
}

// land ends a flight for everybody who waits for it.
func (e *Engine) land(grantID string, f *flight, res Result, err error) {
	e.mu.Lock()
	if e.flights[grantID] == f {
		delete(e.flights, grantID)
	}
	e.mu.Unlock()
	f.res, f.err = res, err
	close(f.done)
}

// demand takes a waiting caller's refresh through the lane.
func (l *lane) demand(f *flight, grantID string, of grant.Version) {
	e := l.e
	if err := l.enter(e.life); err != nil {
		e.abandon(grantID, f, Result{RetryAfter: l.gate.retryAfter(e.c.Now())}, err)
		return
	}
	room, err := e.c.Spool.Reserve()
	if err != nil {
		l.leave()
		e.abandon(grantID, f, Result{RetryAfter: 5 * time.Second}, fmt.Errorf("%w: %w", ErrNoRoom, err))
		return
	}
	// Not while a batch is being claimed: its flights must be known first.
	l.claiming.RLock()
	rest, err := l.rests(context.WithoutCancel(e.life), grantID)
	asked := e.c.Now()
	var c store.Claim
	if err == nil {
		c, err = l.claimOne(context.WithoutCancel(e.life), grantID, of)
	}
	if err == nil {
		f = e.carry(grantID) // another, if a batch has had the grant and answered for f meanwhile
	}
	l.claiming.RUnlock()
	if err != nil {
		room.Release()
		l.leave()
		if errors.Is(err, store.ErrStale) {
			err = fmt.Errorf("%w: %w", ErrBusy, err)
		}
		e.abandon(grantID, f, Result{RetryAfter: max(rest, time.Second)}, err)
		return
	}
	l.attempt(c, asked, f, room)
}

// rests reports, by ErrNotBegun and the time it takes, that the provider allows
// no request for the grant yet. What becomes due by itself has been spaced.
func (l *lane) rests(ctx context.Context, grantID string) (time.Duration, error) {
	p := l.app.Policy
	if p.Spacing() == 0 {
		return 0, nil
	}
	g, err := l.e.c.Store.Grant(ctx, grantID)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil // claiming it will say so
	}
	if err != nil {
		return 0, err
	}
	if rest := p.Rest(g, l.e.c.Now()); rest > 0 {
		return rest, ErrNotBegun
	}
	return 0, nil
}

// abandon ends a flight that no attempt stands behind. If a batch has taken the
// grant meanwhile, the flight is the batch's to land.
func (e *Engine) abandon(grantID string, f *flight, res Result, err error) {
	e.mu.Lock()
	carried := f.carried
	if !carried && e.flights[grantID] == f {
		delete(e.flights, grantID)
	}
	e.mu.Unlock()
	if carried {
		return
	}
	f.res, f.err = res, err
	close(f.done)
}
