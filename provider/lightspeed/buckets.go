package lightspeed

import (
	"net/http"
	"time"
)

// bucket is R-Series' leaky bucket, as far as answers have told of it. Requests
// under way count as if they were in it already.
type bucket struct {
	size, drip float64   // 0: not known, nothing is limited
	level      float64   // at the time at, with what is under way
	at         time.Time // never before what is counted in level
	flying     float64   // what the requests under way are expected to cost

	read, write float64 // what the last request of the kind did cost
}

// expected is what a request will probably cost: what the last of its kind did.
// The vendor's table of costs is longer than what can be seen of a request.
func (b *bucket) expected(method string) float64 {
	c := b.write
	if reads(method) {
		c = b.read
	}
	return max(c, 1)
}

func reads(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == ""
}

// drain lets drip what has dripped.
func (b *bucket) drain(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.level = max(b.level-d.Seconds()*b.drip, 0)
		b.at = now
	}
}

// wait is how long the bucket is too full for a request of this cost.
func (b *bucket) wait(now time.Time, cost float64) time.Duration {
	if b.size == 0 {
		return 0
	}
	b.drain(now)
	over := b.level + min(cost, b.size) - b.size
	if over <= 0 {
		return 0
	}
	return atLeast(over / b.drip)
}

// add counts a request that is sent now.
func (b *bucket) add(now time.Time, cost float64) {
	b.flying += cost
	if b.size > 0 {
		b.drain(now)
		b.level += cost
	}
}

// learn takes what the answer to a request tells that was expected to cost as
// much as given. Answers come out of order, and what else is under way may be in
// the level or not: the higher reading counts.
func (b *bucket) learn(now time.Time, told limits, method string, expected float64) {
	if told.size == 0 {
		return
	}
	known := b.size > 0
	b.size, b.drip = told.size, told.drip
	b.drain(now)
	if told.cost > 0 {
		if known {
			b.level = max(b.level+told.cost-expected, 0)
		}
		if reads(method) {
			b.read = told.cost
		} else {
			b.write = told.cost
		}
	}
	b.level = max(b.level, told.level+max(b.flying, 0))
}

// burst is R-Series' limit within one second. Where the second begins is not
// told, so the limit is kept for every second.
type burst struct {
	most int         // 0: not known
	sent []time.Time // the last of them, at most most
}

// burstWindow is R-Series' second, and a little for the way there, which takes
// one request longer than another.
const burstWindow = 1100 * time.Millisecond

// mostBurst bounds what is remembered of requests sent.
const mostBurst = 1000

func (b *burst) wait(now time.Time) time.Duration {
	if b.most == 0 || len(b.sent) < b.most {
		return 0
	}
	return max(b.sent[len(b.sent)-b.most].Add(burstWindow).Sub(now), 0)
}

func (b *burst) add(now time.Time) {
	if len(b.sent) == mostBurst {
		b.sent = append(b.sent[:0], b.sent[mostBurst/2:]...)
	}
	b.sent = append(b.sent, now)
}

func (b *burst) learn(told limits) {
	if told.most > 0 {
		b.most = min(int(told.most), mostBurst/2)
	}
}

// window is X-Series' number of requests in five minutes.
//
// Answers come out of order, so a higher number left is no sign of a new window
// by itself. But within one, a request is told less than any that was answered
// before it was sent.
type window struct {
	limit  float64 // 0: not known
	low    float64 // the least that was told to be left; what is under way is not off yet
	ends   time.Time
	number int // of the windows so far
}

// seen is what was known of the windows when a request was sent.
type seen struct {
	number int
	low    float64
}

// windowLasts is how long X-Series' window is (docs/rate_limiting).
const windowLasts = 5 * time.Minute

// wait is how long nothing is left for one more than are under way. When the
// window began is not told: what is certain is that it ends five minutes after
// the first answer that was seen of it, at the latest.
func (w *window) wait(now time.Time, flying int) time.Duration {
	if w.limit > 0 && !now.Before(w.ends) {
		w.begin(now, w.limit) // until the next answer tells better
	}
	if w.limit == 0 || w.low-float64(flying) >= 1 {
		return 0
	}
	return w.ends.Sub(now)
}

func (w *window) begin(now time.Time, left float64) {
	w.number++
	w.low, w.ends = left, now.Add(windowLasts)
}

func (w *window) seen() seen { return seen{w.number, w.low} }

// learn takes what the answer tells to a request that was sent when this much had
// been seen.
func (w *window) learn(now time.Time, told limits, before seen) {
	if !told.windowed {
		return
	}
	w.limit = told.window
	switch {
	case w.number == 0, before.number == w.number && told.left > before.low:
		w.begin(now, told.left)
	case before.number == w.number:
		w.low = min(w.low, told.left)
	default:
		// It was sent before this window was known of and may have been counted in
		// an earlier one, of which it would tell. That it counts is safe to suppose.
		w.low--
		return
	}
	if told.reset.After(now) && told.reset.Before(now.Add(windowLasts)) {
		w.ends = told.reset
	}
	if again := now.Add(told.retryAfter); told.left < 1 && told.retryAfter > 0 && again.Before(w.ends) {
		w.ends = again
	}
}

// atLeast turns seconds into a wait that is neither 0 nor beyond all reason.
func atLeast(seconds float64) time.Duration {
	return max(time.Duration(min(seconds, mostHold.Seconds())*float64(time.Second)), time.Millisecond)
}
