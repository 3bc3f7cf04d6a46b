package refresh

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// headcount is how often it is found out how many processes share the store.
const headcount = time.Second

// fleet is how many processes share the store, this one among them. Each takes
// its part of every limit, so that together they keep it.
type fleet struct {
	mu    sync.Mutex
	size  int
	asked time.Time
	from  time.Time // when the others know of this process

	incarnation atomic.Pointer[string] // of the store, in which this process has redone what was lost
}

// share finds out how large the fleet is, if that was not done lately, and gives
// every lane its part. What cannot be found out stays as it was.
func (e *Engine) share(ctx context.Context, now time.Time) {
	f := &e.fleet
	if !f.mu.TryLock() {
		return // another lane is at it
	}
	defer f.mu.Unlock()
	if age := now.Sub(f.asked); age >= 0 && age < headcount {
		return
	}
	if d := f.from.Sub(now); d > 0 && d <= joining {
		return
	}
	is, err := e.c.Store.Replicas(ctx, e.owner)
	f.asked = e.c.Now()
	if err != nil {
		return
	}
	if is.Incarnation != e.incarnation() {
		if err := e.wentBack(ctx, is.Incarnation); err != nil && ctx.Err() == nil {
			e.c.Logger.Error("what the database lost could not be redone; trying again", "err", err)
		}
	}
	if is.Size == f.size {
		return
	}
	if f.size != 0 {
		e.c.Logger.Info("the limits are shared anew", "replicas", is.Size)
	}
	f.size = is.Size
	for _, l := range e.lanes {
		l.share(is.Size)
	}
}

// shared reports whether other processes may use the store at the same time.
func (e *Engine) shared() bool { return e.incarnation() != "" }

// incarnation is the store's in which this process works.
func (e *Engine) incarnation() string {
	if is := e.fleet.incarnation.Load(); is != nil {
		return *is
	}
	return ""
}

// joining is how long it takes until every other process has counted again.
const joining = 2 * headcount

// join lets those who are there already make room: until they know of this
// process they use the whole of every limit, so it sends nothing. What it has it
// hands out.
func (e *Engine) join(ctx context.Context) error {
	is, err := e.c.Store.Replicas(ctx, e.owner)
	if err != nil {
		return err
	}
	e.fleet.incarnation.Store(&is.Incarnation)
	if now := e.c.Now(); is.Size > 1 {
		e.fleet.from = now.Add(joining)
		for _, l := range e.lanes {
			l.setSlots(0)
		}
	} else {
		e.share(ctx, now)
	}
	return nil
}

// share gives the lane its part of the app's limits among n processes. At least
// one request may be under way in each.
func (l *lane) share(n int) {
	l.pace.share(n)
	l.setSlots(max(1, l.app.Policy.InFlight()/n))
}

// setSlots sets how many requests may be under way, and lets waiting callers in.
func (l *lane) setSlots(slots int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free += slots - l.slots
	l.slots = slots
	for l.free > 0 && len(l.waiting) > 0 {
		l.free--
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
	}
}

// Follow takes in what the log says about apps, in this process or another: an
// app that is paused or refused is so for all of them. It does not block.
func (e *Engine) Follow(events []grant.Event) {
	for _, ev := range events {
		l := e.lanes[ev.App]
		if l == nil {
			continue
		}
		switch ev.Type {
		case grant.EventAppRejected, grant.EventAppAccepted:
			if l.gate.heard(ev.Type, e.c.Now()) {
				e.c.Metrics.AppAccepted(ev.App, ev.Type == grant.EventAppAccepted)
				e.c.Incident(ev.App)
				l.poke()
			}
		case grant.EventAppPaused, grant.EventAppResumed:
			e.admit(func() { e.followPause(l, ev) })
		}
	}
}

// followPause makes a lane agree with the store about its app's pause.
func (e *Engine) followPause(l *lane, ev grant.Event) {
	e.pausing.Lock()
	defer e.pausing.Unlock()
	paused, err := e.c.Store.PausedApps(e.life)
	if err != nil {
		e.c.Logger.Error("an app was paused or resumed elsewhere and the store cannot be read", "app", ev.App, "err", err)
		return
	}
	p, is := paused[ev.App]
	now := l.gate.incident().Cause
	cause, _ := ev.Data["cause"].(string)
	switch {
	case is && now != p.Cause:
		l.gate.pause(p.Cause, p.Since)
	case is, grant.PauseCause(cause) == grant.PausedByRefusals && now != grant.PausedByRefusals:
		return // known, or for each process to find out by itself
	case ev.Type == grant.EventAppResumed && now != "":
		l.gate.resume(e.c.Now())
	default:
		return
	}
	e.c.Incident(ev.App)
	l.poke()
}

// heard takes in that another process found the app refused, or accepted again,
// and reports whether that was news.
func (g *gate) heard(t grant.EventType, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case t == grant.EventAppRejected && g.reason == grant.OK:
		g.begin(grant.AppCredentialsRejected, now)
	case t == grant.EventAppAccepted && g.reason == grant.AppCredentialsRejected:
		g.reason, g.backoff = grant.OK, 0
	default:
		return false
	}
	return true
}
