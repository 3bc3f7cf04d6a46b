package webhook

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// GiveUpAfter is how long an event is tried before its webhook is disabled.
	GiveUpAfter = 5 * 24 * time.Hour

	firstWait   = 5 * time.Second
	longestWait = time.Hour
	// mostPatience bounds what a receiver can ask for with Retry-After.
	mostPatience = 24 * time.Hour
)

// Wait is how long to wait after the nth failed delivery of an event, counted from
// 1: 5 s, and twice as long each time up to an hour, a fifth more or less. random
// is in [0,1).
func Wait(n int, random float64) time.Duration {
	d := longestWait
	if n < 20 {
		d = min(firstWait<<max(n-1, 0), longestWait)
	}
	return d + time.Duration((random-0.5)*0.4*float64(d))
}

// retryAfter is how long an answer asks to wait (RFC 9110 section 10.2.3), 0 if it
// does not.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	d := time.Duration(0)
	if n, err := strconv.ParseInt(v, 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), mostPatience)
}
