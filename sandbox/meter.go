package sandbox

import (
	"math"
	"time"
)

// meterKey is what a limit counts: the calls of one client for one account or
// retailer.
type meterKey struct{ what, tenant, client string }

// bucket is R-Series' leaky bucket with its burst limit.
type bucket struct {
	level  float64
	at     time.Time // when level was true
	second int64     // the burst window, in Unix seconds
	burst  int       // calls in it
}

// drip empties the bucket by what leaked since it was last looked at.
func (b *bucket) drip(now time.Time, rate float64) {
	if !b.at.IsZero() && now.After(b.at) {
		b.level = max(0, b.level-now.Sub(b.at).Seconds()*rate)
	}
	b.at = now
	if s := now.Unix(); s != b.second {
		b.second, b.burst = s, 0
	}
}

// window is a fixed window that begins with its first call.
type window struct {
	from time.Time
	used int
}

// take counts a call, and reports whether it is within the limit, how many are
// left and when the window ends.
func (w *window) take(now time.Time, most int, long time.Duration) (ok bool, left int, ends time.Time) {
	if w.from.IsZero() || !now.Before(w.from.Add(long)) {
		w.from, w.used = now, 0
	}
	ends = w.from.Add(long)
	if w.used >= most {
		return false, 0, ends
	}
	w.used++
	return true, most - w.used, ends
}

// bucket returns the bucket of a key, made when first asked for.
func (w *world) bucket(key meterKey) *bucket {
	b := w.buckets[key]
	if b == nil {
		b = &bucket{}
		w.buckets[key] = b
	}
	return b
}

// window returns the window of a key, made when first asked for.
func (w *world) window(key meterKey) *window {
	v := w.windows[key]
	if v == nil {
		v = &window{}
		w.windows[key] = v
	}
	return v
}

// wholeSeconds is d in seconds, rounded up, and at least one.
func wholeSeconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }
