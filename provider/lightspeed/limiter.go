package lightspeed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Limiter keeps requests for one account within the vendor's limits. It learns
// them from the answers: R-Series' leaky bucket and its burst limit, X-Series'
// window, and Retry-After of either kind. K-Series publishes none, so there only
// Retry-After counts.
//
// The limits are those of one account and one app, whoever asks: let all of a
// program's clients for an account share one Limiter.
//
//	limiter := lightspeed.NewLimiter()
//	client := evergrant.NewHTTPClient(src, ref)
//	client.Transport = limiter.Transport(client.Transport)
//
// Around the transport that adds the token it waits before a token is asked
// for, so that none grows old in the queue. It is safe for concurrent use and
// starts no goroutines: whoever wants to send waits, first come first served, as
// long as the request's context lets it.
type Limiter struct {
	turn chan struct{} // held by whoever may send next

	mu      sync.Mutex
	learned bool // an answer came; until then requests go one by one
	flying  int
	hold    time.Time // nothing is sent before
	bucket  bucket
	burst   burst
	window  window
}

// NewLimiter returns a limiter that knows nothing yet: its first request goes
// alone, and the others follow when the answer has told the limits.
func NewLimiter() *Limiter { return &Limiter{turn: make(chan struct{}, 1)} }

// Transport returns base with requests held back as the limits ask; nil is
// [http.DefaultTransport].
//
// A request that is answered 429, or 503 with a Retry-After, is sent again after
// the time the API asks for, four times at most, if it can be: one without a
// body or with GetBody. The last such answer is handed back; so is the first, at
// once, if the request's deadline would pass meanwhile or the API asks for more
// than 15 minutes.
func (l *Limiter) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &limited{l, base}
}

// How often and how long a refused request is tried again.
const (
	mostTries = 5
	mostHold  = 15 * time.Minute
)

type limited struct {
	limiter *Limiter
	base    http.RoundTripper
}

// CloseIdleConnections is called by [http.Client.CloseIdleConnections].
func (t *limited) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip implements [http.RoundTripper].
func (t *limited) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	for try := 1; ; try++ {
		done, err := t.limiter.admit(ctx, req.Method)
		if err != nil {
			closeBody(req)
			return nil, err
		}
		resp, err := t.base.RoundTrip(req)
		if err != nil {
			done(nil, try)
			return nil, err
		}
		wait := done(resp, try)
		if wait == 0 || try == mostTries || wait > mostHold || !inTime(ctx, wait) {
			return resp, nil
		}
		again, ok := replay(req)
		if !ok {
			return resp, nil
		}
		_, _ = io.CopyN(io.Discard, resp.Body, mostErrorBody)
		_ = resp.Body.Close()
		req = again
	}
}

// admit waits until a request may be sent. The caller calls done with its answer,
// or nil for none, which returns how long the API asks to wait before the request
// is sent again; 0 if it need not be.
func (l *Limiter) admit(ctx context.Context, method string) (done func(*http.Response, int) time.Duration, err error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for {
		wait, alone, s := l.reserve(method)
		if wait == 0 {
			if !alone {
				<-l.turn
			}
			return func(resp *http.Response, try int) time.Duration {
				if alone {
					defer func() { <-l.turn }()
				}
				return l.answered(resp, s, try)
			}, nil
		}
		if !inTime(ctx, wait) {
			<-l.turn
			return nil, fmt.Errorf("the API's limits ask for %s of patience: %w", wait.Round(time.Second), context.DeadlineExceeded)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			<-l.turn
			return nil, context.Cause(ctx)
		}
	}
}

// sent is what is kept of a request until its answer comes.
type sent struct {
	method string
	cost   float64 // expected
	seen   seen
}

// reserve takes room for a request, or says how long there will be none.
func (l *Limiter) reserve(method string) (wait time.Duration, alone bool, s sent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	cost := l.bucket.expected(method)
	wait = max(l.hold.Sub(now), l.bucket.wait(now, cost), l.burst.wait(now), l.window.wait(now, l.flying), 0)
	if wait > 0 {
		return wait, false, sent{}
	}
	l.flying++
	l.bucket.add(now, cost)
	l.burst.add(now)
	return 0, !l.learned, sent{method, cost, l.window.seen()}
}

// answered learns from an answer, nil for none.
func (l *Limiter) answered(resp *http.Response, s sent, try int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flying--
	l.bucket.flying -= s.cost
	if resp == nil {
		return 0
	}
	l.learned = true
	now := time.Now()
	told := readLimits(resp.Header, now)
	l.bucket.learn(now, told, s.method, s.cost)
	l.burst.learn(told)
	l.window.learn(now, told, s.seen)

	wait := told.retryAfter
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable && wait > 0:
	case resp.StatusCode != http.StatusTooManyRequests:
		return 0
	case wait == 0:
		// Nobody says how long: a second, then twice as long each time.
		wait = time.Second << (try - 1)
	}
	if until := now.Add(min(wait, mostHold)); until.After(l.hold) {
		l.hold = until
	}
	return wait
}

// inTime reports whether ctx lives that long.
func inTime(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > wait)
}

// replay returns a request to send once more, if that can be done.
func replay(req *http.Request) (*http.Request, bool) {
	again := req.Clone(req.Context())
	if req.Body == nil || req.Body == http.NoBody {
		return again, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	again.Body = body
	return again, err == nil
}

// closeBody keeps the promise of a RoundTripper to close the body always.
func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
