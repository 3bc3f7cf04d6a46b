package evergranttest

import (
	"sync"
	"sync/atomic"
	"time"
)

// Clock is the time of an engine and of its sandbox. It begins at the real time
// and stands still.
type Clock struct {
	start  time.Time
	ahead  atomic.Int64 // nanoseconds
	engine *Engine
	one    sync.Mutex // one moves it at a time
}

func newClock() *Clock { return &Clock{start: time.Now().UTC().Truncate(time.Second)} }

// Now returns the time.
func (c *Clock) Now() time.Time { return c.start.Add(time.Duration(c.ahead.Load())) }

// zero is what the sandbox adds its own advance to.
func (c *Clock) zero() time.Time { return c.start }

// moved is told by the sandbox, whose control API moves the clock too.
func (c *Clock) moved(d time.Duration) { c.ahead.Add(int64(d)) }

// steps bounds how often grants are renewed on a way, however long it is.
const steps = 48

// Advance moves the clock by d, which is positive, as if the engine had been
// running meanwhile: when a grant is due on the way, the clock stops there until
// its renewal has been tried. When Advance returns nothing is due any more, but
// for what the engine puts off itself, such as a try after one that failed.
//
// On a long way the clock stops at most 48 times and renews what has become due
// since: tokens of half an hour are then not renewed each half hour of a year.
func (c *Clock) Advance(d time.Duration) {
	e := c.engine
	e.t.Helper()
	if d <= 0 {
		e.t.Fatalf("evergranttest: Advance by %s: the clock goes forward only", d)
	}
	c.one.Lock()
	defer c.one.Unlock()
	end := c.Now().Add(d)
	next := e.renew()
	for left := d; left > 0; left = end.Sub(c.Now()) {
		step := d / steps
		if !next.IsZero() {
			step = max(step, next.Sub(c.Now()))
		} else {
			step = left
		}
		before := c.Now()
		e.Sandbox.Advance(min(max(step, time.Second), left))
		if !c.Now().After(before) {
			e.t.Fatalf("evergranttest: Advance by %s: the sandbox's clock goes no further than ten years", d)
		}
		next = e.renew()
	}
}

// renew renews what is due and returns when the next grant is.
func (e *Engine) renew() time.Time {
	e.t.Helper()
	next, err := e.manager.RenewDue(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	return next
}
