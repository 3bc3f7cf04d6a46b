package oauth

import (
	"context"
	"time"
)

const (
	// overslept is how late the end of a request's time is noticed only by a
	// process that stood still.
	overslept = time.Second
	// lastLook is how long such a process may still read what came meanwhile.
	lastLook = 2 * time.Second
)

// patient is [context.WithTimeout] for a process that may stand still, be it
// stopped, frozen or starved. The answer that came meanwhile is in the socket, and
// the token in it may be the only one: a timeout that is noticed late leaves time
// to read it. Nothing is written then; see [exchange].
func patient(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	due := time.Now().Add(d)
	ctx, cancel := context.WithCancelCause(ctx)
	end := func() { cancel(context.DeadlineExceeded) }
	timer := time.AfterFunc(d, func() {
		if time.Since(due) > overslept {
			time.AfterFunc(lastLook, end)
			return
		}
		end()
	})
	return timed{ctx, due}, func() { timer.Stop(); cancel(nil) }
}

// timed is a context with the deadline that dialers divide among addresses.
type timed struct {
	context.Context
	at time.Time
}

// Deadline implements [context.Context].
func (c timed) Deadline() (time.Time, bool) { return c.at, true }
