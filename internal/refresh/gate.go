package refresh

import (
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

const (
	// trip is how many failures in a row close the gate of a provider.
	trip = 8
	// probeFirst and probeMost bound the wait between probes of a closed gate.
	// The upper bound keeps recovery within the promised 15 s.
	probeFirst = time.Second
	probeMost  = 10 * time.Second
	// The mass guard: when more grants than guardMost, and more than one in
	// guardShare of those refreshed, are refused within guardWindow, the fault is
	// hardly theirs.
	guardWindow = 10 * time.Minute
	guardMost   = 20
	guardShare  = 20
	// heldFor is when to ask again while an operator has to decide.
	heldFor = time.Minute
)

// gate holds an app's requests back: while its provider is down (breaker), asks
// us to slow down (throttle), refuses the app itself (incident), or refuses so
// many grants at once that the fault is hardly theirs (mass guard). A closed
// gate lets single probes through, except while an operator has to decide
// (pause).
type gate struct {
	mu        sync.Mutex
	failures  int       // in a row
	notBefore time.Time // throttled until
	nextProbe time.Time
	backoff   time.Duration
	reason    grant.Reason // of the incident; ok if none
	cause     grant.PauseCause
	since     time.Time
	// refusedSince is when the provider began to refuse an app that was paused
	// meanwhile; zero if it does not.
	refusedSince time.Time

	windowFrom       time.Time // the mass guard's counts
	granted, refused int
}

func newGate() *gate { return &gate{reason: grant.OK} }

func (g *gate) closed() bool { return g.failures >= trip || g.reason != grant.OK }

// held reports whether nothing goes out before an operator says so.
func (g *gate) held() bool {
	return g.cause == grant.PausedByOperator || g.cause == grant.PausedByRestore
}

// open reports whether a request may go out now. Letting one through a closed
// gate makes it the probe. A waiting caller may probe sooner than background
// work, but not more than once a second.
func (g *gate) open(now time.Time, waiting bool) bool {
	ok, _ := g.pass(now, waiting)
	return ok
}

// pass is open, and tells whether the request is the probe.
func (g *gate) pass(now time.Time, waiting bool) (ok, probing bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut(now) {
		return false, false
	}
	if !g.closed() {
		return true, false
	}
	probe := g.nextProbe
	if waiting {
		probe = probe.Add(probeFirst - g.backoff)
	}
	if now.Before(probe) {
		return false, false
	}
	g.backoff = min(max(2*g.backoff, probeFirst), probeMost)
	g.nextProbe = now.Add(g.backoff)
	return true, true
}

// still reports whether a request that may pass may do so now that its turn has
// come.
func (g *gate) still(now time.Time, probing bool) bool {
	if !probing {
		return g.open(now, true)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.shut(now)
}

// shut reports whether not even a probe goes out.
func (g *gate) shut(now time.Time) bool { return g.held() || now.Before(g.notBefore) }

// width is how many requests may go out together: one through a closed gate.
func (g *gate) width() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed() {
		return 1
	}
	return batch
}

// retryAfter is how long the gate stays shut, at least a short while.
func (g *gate) retryAfter(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held() {
		return heldFor
	}
	at := g.notBefore
	if g.closed() && g.nextProbe.After(at) {
		at = g.nextProbe
	}
	return max(at.Sub(now), glance)
}

// Incident is what holds an app's refreshes back for an operator to act on.
type Incident struct {
	Reason grant.Reason // app_credentials_rejected or app_paused; ok if there is none
	Cause  grant.PauseCause
	Since  time.Time
}

func (g *gate) incident() Incident {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Incident{g.reason, g.cause, g.since}
}

// pause closes the gate until resume.
func (g *gate) pause(c grant.PauseCause, since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reason == grant.AppCredentialsRejected {
		g.refusedSince = g.since
	}
	g.begin(grant.AppPaused, since)
	g.cause = c
}

// resume ends a pause, whatever caused it, and forgets what was counted. What
// the pause stood in front of goes on.
func (g *gate) resume(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reason != grant.AppPaused {
		return
	}
	g.end(now)
	if !g.refusedSince.IsZero() {
		g.begin(grant.AppCredentialsRejected, g.refusedSince)
		g.refusedSince = time.Time{}
	}
}

// learn takes in the outcome of an attempt. first tells whether a refusal is
// the first of its grant's credentials. It returns the reason of the incident
// there is, and whether the outcome turns it, which is left to turn.
func (g *gate) learn(o grant.Outcome, now time.Time, retryAfter time.Duration, first bool) (is grant.Reason, turns bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch o {
	case grant.Granted, grant.Refused:
		g.answered(o, now, first)
	case grant.Misconfigured:
		g.failures = 0
	case grant.Throttled:
		g.failures = 0
		if until := now.Add(max(min(retryAfter, time.Hour), time.Second)); until.After(g.notBefore) {
			g.notBefore = until
		}
	default:
		g.failures++
		if g.failures == trip {
			g.backoff, g.nextProbe = probeFirst, now.Add(probeFirst)
		}
	}
	return g.reason, g.after(o) != g.reason
}

// answered counts that the provider is there and accepts the app.
func (g *gate) answered(o grant.Outcome, now time.Time, first bool) {
	g.failures = 0
	if now.Sub(g.windowFrom) > guardWindow {
		g.windowFrom, g.granted, g.refused = now, 0, 0
	}
	switch {
	case o == grant.Granted:
		g.granted++
	case first:
		g.refused++
	}
}

// after is the reason of the incident that there is after an outcome; ok if none.
func (g *gate) after(o grant.Outcome) grant.Reason {
	accepted := o == grant.Granted || o == grant.Refused
	switch {
	case g.reason == grant.OK && o == grant.Misconfigured:
		return grant.AppCredentialsRejected
	case g.reason == grant.OK && accepted && g.refused > guardMost && g.refused*guardShare > g.granted+g.refused:
		return grant.AppPaused
	case g.reason == grant.AppCredentialsRejected && accepted:
		return grant.OK
	case g.reason == grant.AppPaused && o == grant.Granted && !g.held():
		return grant.OK
	}
	return g.reason
}

// turn begins or ends the incident as an outcome does, if it still does, and
// returns what was and what is.
func (g *gate) turn(o grant.Outcome, now time.Time) (before, after Incident) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before = Incident{g.reason, g.cause, g.since}
	switch reason := g.after(o); {
	case reason == g.reason:
	case reason == grant.AppPaused:
		g.begin(reason, now)
		g.cause = grant.PausedByRefusals
	case reason == grant.AppCredentialsRejected:
		g.begin(reason, now)
	case g.reason == grant.AppCredentialsRejected:
		g.reason, g.backoff = grant.OK, 0
	default:
		g.end(now)
	}
	return before, Incident{g.reason, g.cause, g.since}
}

func (g *gate) end(now time.Time) {
	g.reason, g.cause, g.backoff = grant.OK, "", 0
	g.windowFrom, g.granted, g.refused = now, 0, 0
}

func (g *gate) begin(r grant.Reason, now time.Time) {
	g.reason, g.since = r, now
	g.backoff, g.nextProbe = probeFirst, now.Add(probeFirst)
}

// believes reports whether a grant may be declared dead now.
func (g *gate) believes() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reason == grant.OK
}
