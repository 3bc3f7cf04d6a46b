package oauth

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// maxRetryAfter is the longest a Retry-After is believed.
const maxRetryAfter = 24 * time.Hour

// earliestMoment is the smallest number of seconds since 1970 that is read as a
// moment: September 2001, and far more than any lifetime in seconds.
const earliestMoment = 1e9

// earliestMillis is the same for milliseconds since 1970; as seconds it would be
// the year 33658.
const earliestMillis = 1e12

// decimal reads a decimal number with an optional fraction and exponent, and
// nothing else that strconv knows: no hex, NaN, Inf or underscores. A number too
// large for a float64 is infinite.
func decimal(s string) (float64, bool) {
	if s == "" || strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// seconds turns a number of seconds into a duration of at most most. Negative
// numbers make no sense.
func seconds(f float64, most time.Duration) (time.Duration, bool) {
	switch {
	case f < 0:
		return 0, false
	case f >= most.Seconds():
		return most, true
	}
	return time.Duration(f * float64(time.Second)), true
}

// lifetime reads how long something lives from now: a number of seconds where
// relative is allowed, a moment where moments are.
func lifetime(s string, relative, moments bool, now time.Time) (time.Duration, bool) {
	f, ok := decimal(s)
	if ok && (!moments || relative && f < earliestMoment) {
		return seconds(f, grant.MaxLifetime)
	}
	if !moments || now.IsZero() {
		return 0, false
	}
	var at time.Time
	switch {
	case !ok:
		var err error
		if at, err = time.Parse(time.RFC3339, s); err != nil {
			return 0, false
		}
	case f < earliestMoment:
		return 0, false
	case f >= earliestMillis:
		f /= 1000
		fallthrough
	default:
		f = min(f, float64(now.Add(grant.MaxLifetime).Unix()))
		whole, part := math.Modf(f)
		at = time.Unix(int64(whole), int64(part*float64(time.Second)))
	}
	life := at.Sub(now)
	if life <= 0 {
		return 0, false
	}
	return min(life, grant.MaxLifetime), true
}

// parseRetryAfter reads a Retry-After header (RFC 9110 section 10.2.3): seconds
// or a date. What makes no sense is 0, and no wait is longer than a day.
func parseRetryAfter(h string, now time.Time) time.Duration {
	h = strings.TrimSpace(h)
	if f, ok := decimal(h); ok {
		d, _ := seconds(f, maxRetryAfter)
		return d
	}
	at, err := http.ParseTime(h)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
