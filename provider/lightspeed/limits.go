package lightspeed

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// limits is what one answer tells of the limits that it counted against. A
// field is zero where the answer tells nothing.
type limits struct {
	// R-Series' leaky bucket: how full it is, how much it holds, what it loses a
	// second, and what this request put in.
	level, size, drip, cost float64
	// R-Series' limit of requests within a second.
	burst, most float64
	// X-Series' requests in its window: the allowed number, those left, and when
	// the window ends where the answer says so.
	window, left float64
	windowed     bool
	reset        time.Time

	retryAfter time.Duration
}

// slowestDrip is what the bucket of an account with one register loses a second,
// where an answer does not say (introduction/ratelimits).
const slowestDrip = 1

// readLimits reads the headers of
// https://developers.lightspeedhq.com/retail/introduction/ratelimits/ and
// https://x-series-api.lightspeedhq.com/docs/rate_limiting. Capitals in their
// names vary and do not matter; values that are no sensible numbers count as
// absent.
func readLimits(h http.Header, now time.Time) limits {
	l := limits{retryAfter: retryAfter(h, now)}
	if level, size, ok := fraction(h.Get("X-LS-API-Bucket-Level")); ok {
		l.level, l.size, l.drip = level, size, slowestDrip
		if d, ok := amount(h.Get("X-LS-API-Drip-Rate")); ok && d > 0 {
			l.drip = d
		}
		l.cost, _ = amount(h.Get("X-LS-API-Request-Cost"))
	}
	l.burst, l.most, _ = fraction(h.Get("X-LS-API-Burst-Level"))
	window, ok := amount(h.Get("X-RateLimit-Limit"))
	left, told := amount(h.Get("X-RateLimit-Remaining"))
	if ok && told && window >= 1 {
		l.window, l.left, l.windowed = window, left, true
		if at, ok := amount(h.Get("X-RateLimit-Reset")); ok && at > 1e9 && at < 1e11 {
			l.reset = time.Unix(int64(at), 0)
		}
	}
	return l
}

// amount reads a number that something can be counted with.
func amount(s string) (float64, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return f, err == nil && f >= 0 && f <= math.MaxInt32
}

// fraction reads "12.5/90". The first number may exceed the second.
func fraction(s string) (part, whole float64, ok bool) {
	a, b, _ := strings.Cut(s, "/")
	part, okPart := amount(a)
	whole, okWhole := amount(b)
	if !okPart || !okWhole || whole < 1 {
		return 0, 0, false
	}
	return part, whole, true
}
