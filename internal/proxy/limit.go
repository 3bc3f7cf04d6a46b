package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// limitSpacing is the least between two requests that have waited for a limit
	// whose rate is not known.
	limitSpacing = 100 * time.Millisecond
	// retryUnsaid is how long a 429 is waited out that does not say how long.
	retryUnsaid = time.Second
	// maxLimit bounds what an API can make us believe.
	maxLimit = time.Hour
	// manyLimits is when limits that have passed are looked for.
	manyLimits = 4096
)

// limits knows the connections whose provider has said that it will refuse more.
// Each process learns for itself. The zero value knows none.
type limits struct {
	mu  sync.Mutex
	all map[string]*limit
}

// limit is when a connection's next request may leave, and how far apart those
// after it.
type limit struct {
	next    time.Time
	spacing time.Duration
}

// reserve returns when a request may leave. If that is after latest, nothing is
// reserved and ok is false.
func (l *limits) reserve(key string, now, latest time.Time) (at time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.all[key]
	if g == nil || !g.next.After(now) {
		return now, true
	}
	at = g.next
	if at.After(latest) {
		return at, false
	}
	g.next = at.Add(g.spacing)
	return at, true
}

// until returns when the next request may leave; zero if at once.
func (l *limits) until(key string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.all[key]; g != nil {
		return g.next
	}
	return time.Time{}
}

// learn takes from an answer whether the limit is reached.
func (l *limits) learn(key string, now time.Time, res *http.Response) {
	wait, spacing := reached(res, now)
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.all[key]
	switch {
	case wait <= 0:
		if g != nil && !g.next.After(now) {
			delete(l.all, key)
		}
	case g == nil:
		if l.all == nil {
			l.all = make(map[string]*limit)
		}
		if len(l.all) >= manyLimits {
			l.sweep(now)
		}
		l.all[key] = &limit{next: now.Add(wait), spacing: spacing}
	default:
		g.spacing = spacing
		if at := now.Add(wait); at.After(g.next) {
			g.next = at
		}
	}
}

// sweep forgets limits that have passed; the caller holds l.mu.
func (l *limits) sweep(now time.Time) {
	for key, g := range l.all {
		if !g.next.After(now) {
			delete(l.all, key)
		}
	}
}

// reached returns how long a provider wants to be left alone after an answer, 0
// if it does not, and how far apart requests are to be afterwards.
func reached(res *http.Response, now time.Time) (wait, spacing time.Duration) {
	h := res.Header
	spacing = limitSpacing
	drip, err := strconv.ParseFloat(h.Get("X-LS-Api-Drip-Rate"), 64)
	if err != nil || !(drip > 0.001 && drip < 1000) {
		drip = 1
	}
	// R-Series: a bucket that leaks, and a window of a second.
	if level, size, ok := fraction(h.Get("X-LS-Api-Bucket-Level")); ok && level >= size {
		wait = time.Duration((level - size + 1) / drip * float64(time.Second))
		spacing = time.Duration(float64(time.Second) / drip)
	}
	if level, size, ok := fraction(h.Get("X-LS-API-Burst-Level")); ok && level >= size {
		wait = max(wait, time.Second)
	}
	for _, prefix := range []string{"X-RateLimit-", "RateLimit-"} {
		if strings.TrimSpace(h.Get(prefix+"Remaining")) == "0" {
			wait = max(wait, reset(h.Get(prefix+"Reset"), now))
		}
	}
	if res.StatusCode == http.StatusTooManyRequests {
		after, ok := retryAfter(h.Get("Retry-After"), now)
		if !ok {
			after = max(wait, retryUnsaid)
		}
		wait = max(after, limitSpacing)
	}
	return min(wait, maxLimit), spacing
}

// fraction reads a level as R-Series writes it: 12.5/90.
func fraction(s string) (level, size float64, ok bool) {
	l, z, found := strings.Cut(s, "/")
	level, err := strconv.ParseFloat(strings.TrimSpace(l), 64)
	size, err2 := strconv.ParseFloat(strings.TrimSpace(z), 64)
	return level, size, found && err == nil && err2 == nil && size > 0 && level < 1e9
}

// reset reads when a window ends: seconds from now, or since 1970.
func reset(s string, now time.Time) time.Duration {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	switch {
	case err != nil || n <= 0:
		return 0
	case n > 1e9:
		return time.Unix(min(n, 1<<40), 0).Sub(now)
	}
	return time.Duration(n) * time.Second
}

// retryAfter reads a Retry-After header: seconds or a date (RFC 9110 section
// 10.2.3).
func retryAfter(s string, now time.Time) (time.Duration, bool) {
	if n, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil && n >= 0 && n < 1e9 {
		return time.Duration(n * float64(time.Second)), true
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}
