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
type window struct {
	limit float64 // 0: not known
	left  float64 // after what is under way
	slack float64 // how many answers may be out of order
	ends  time.Time
}

// windowLasts is how long X-Series' window is (docs/rate_limiting).
const windowLasts = 5 * time.Minute

// wait is how long nothing is left. When the window began is not told: what is
// certain is that it ends five minutes after the first request that was seen in
// it, at the latest.
func (w *window) wait(now time.Time) time.Duration {
	if w.limit > 0 && !now.Before(w.ends) {
		w.left, w.ends = w.limit, now.Add(windowLasts) // until the next answer tells better
	}
	if w.limit == 0 || w.left >= 1 {
		return 0
	}
	return w.ends.Sub(now)
}

func (w *window) add() { w.left-- }

// learn takes what an answer tells, while others are under way. What they use
// may be counted in it or not.
func (w *window) learn(now time.Time, told limits, flying int) {
	if !told.windowed {
		return
	}
	left := told.left - float64(flying)
	if w.limit == 0 || !now.Before(w.ends) || left > w.left+2*w.slack+1 {
		w.left, w.ends = left, now.Add(windowLasts)
	}
	w.limit, w.left, w.slack = told.window, min(w.left, left), float64(flying)
	if told.reset.After(now) && told.reset.Before(now.Add(windowLasts)) {
		w.ends = told.reset
	}
}

// atLeast turns seconds into a wait that is neither 0 nor beyond all reason.
func atLeast(seconds float64) time.Duration {
	return max(time.Duration(min(seconds, mostHold.Seconds())*float64(time.Second)), time.Millisecond)
}
