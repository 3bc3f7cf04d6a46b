package sandbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is trouble to make. It hits requests at a token endpoint, api_401 those
// at the API.
//
//	lose_answer         processed, then the connection closes without an answer
//	lose_request        the connection closes before anything is processed
//	slow                waits Match["delay"] (15s) before processing; not processed if the client hangs up meanwhile
//	reset               not processed; part of a header, then a TCP reset
//	status_500          not processed
//	status_503          not processed, by a machine in front of the server
//	status_429          not processed; Retry-After is Match["retry_after"] (5)
//	html                not processed; 200 with a captive portal's page
//	truncate            processed; half of the body, then the connection closes
//	bad_json            processed; the body is not JSON
//	invalid_grant_once  400 invalid_grant, nothing is consumed
//	revoke              the grant is revoked, then refused
//	invalid_client      401 invalid_client
//	no_refresh_token    the answer has no refresh token; the one that was sent stays good
//	no_expires_in       the answer has no expires_in
//	expires_in_string   expires_in is "1500"
//	expires_in_float    expires_in is 1499.5
//	scope_shrink        one scope is missing: Match["scope"], or the last API scope
//	same_token          a refresh answers the pair there is already
//	api_401             the API refuses valid tokens; Match["body"] is, for K-Series, spring (default)
//	                    or empty; for R-Series expired (default), revoked, merchantos or empty; for
//	                    X-Series anything or empty
type Fault struct {
	// App is a client id, a series (lightspeed-k, lightspeed-k-v1, lightspeed-r,
	// lightspeed-x) or a family of them (k-series, r-series, x-series); "" means
	// every client.
	App string
	// Fault is one of the names above.
	Fault string
	// Times is how many requests it hits. 0: one for invalid_grant_once, any number
	// for the others.
	Times int
	// For is how long it lasts, by the sandbox's clock. 0: until it is deleted.
	For time.Duration
	// Match narrows it to requests with this grant_type or email, and holds the
	// settings named above.
	Match map[string]string
}

// stage is when in the life of a request a fault acts.
type stage int

const (
	noStage     stage = iota
	stageDelay        // first
	stageBefore       // instead of processing
	stageChange       // while processing
	stageAfter        // on the way back
	stageAPI          // at the API
)

func faultStage(name string) stage {
	switch name {
	case "slow":
		return stageDelay
	case "lose_request", "reset", "status_500", "status_503", "status_429", "html", "invalid_grant_once", "revoke", "invalid_client":
		return stageBefore
	case "no_refresh_token", "no_expires_in", "expires_in_string", "expires_in_float", "scope_shrink", "same_token":
		return stageChange
	case "lose_answer", "truncate", "bad_json":
		return stageAfter
	case "api_401":
		return stageAPI
	}
	return noStage
}

// check names the field that is wrong.
func (f Fault) check() error {
	if faultStage(f.Fault) == noStage {
		return fmt.Errorf("fault: %q is unknown", clip(f.Fault))
	}
	if f.Times < 0 {
		return fmt.Errorf("times: %d is negative", f.Times)
	}
	if f.For < 0 || f.For > maxDuration {
		return fmt.Errorf("for: at most 3650d")
	}
	for key, value := range f.Match {
		if err := f.checkMatch(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (f Fault) checkMatch(key, value string) error {
	belongsTo := map[string]string{"delay": "slow", "retry_after": "status_429", "scope": "scope_shrink", "body": "api_401"}
	if owner, ok := belongsTo[key]; ok && owner != f.Fault {
		return fmt.Errorf("match.%s: only for %s", key, owner)
	}
	switch key {
	case "grant_type":
		if value != "refresh_token" && value != "authorization_code" {
			return fmt.Errorf("match.grant_type: %q is neither refresh_token nor authorization_code", clip(value))
		}
	case "delay":
		if _, err := parseDuration(value); err != nil {
			return fmt.Errorf("match.delay: %w", err)
		}
	case "retry_after":
		if n, err := strconv.Atoi(value); err != nil || n < 0 || n > 86400 {
			return fmt.Errorf("match.retry_after: %q is not a number of seconds up to 86400", clip(value))
		}
	case "body":
		switch value {
		case "spring", "empty", expiredToken, revokedToken, "merchantos":
		default:
			return fmt.Errorf("match.body: %q is none of spring, empty, expired, revoked and merchantos", clip(value))
		}
	case "email", "scope":
	default:
		return fmt.Errorf("match.%s: unknown; grant_type and email narrow a fault", clip(key))
	}
	return nil
}

// activeFault is a fault in force.
type activeFault struct {
	Fault
	until time.Time // zero: until deleted
	left  int       // -1: any number
	hits  int
}

// Fault adds a fault. One that names no known fault or holds a wrong setting is
// logged and not added.
func (s *Sandbox) Fault(f Fault) {
	if _, err := s.addFault(f, false); err != nil {
		s.log.Error("fault not added", "err", err)
	}
}

// addFault adds a fault. A client that was not seen yet is believed if isClient.
func (s *Sandbox) addFault(f Fault, isClient bool) (activeFault, error) {
	if err := f.check(); err != nil {
		return activeFault{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.knowsApp(f.App) && (!isClient || !notOfK(f.App)) {
		return activeFault{}, fmt.Errorf("app: %q is no client id that was seen, series or family; those are k-series, r-series and x-series, and client ids of K-Series begin with devp-", clip(f.App))
	}
	f.Match = maps.Clone(f.Match)
	a := &activeFault{Fault: f, left: f.Times}
	if f.Times == 0 {
		a.left = -1
		if f.Fault == "invalid_grant_once" {
			a.left = 1
		}
	}
	if f.For > 0 {
		a.until = s.now().Add(f.For)
	}
	s.w.dropOver(s.now())
	s.w.faults = append(s.w.faults, a)
	return *a, nil
}

func (s *Sandbox) knowsApp(app string) bool {
	return app == "" || slices.ContainsFunc(s.series, func(sr *series) bool {
		return sr.name == app || sr.family == app || sr.idTells && sr.owns(app) || s.w.clients[clientKey{sr.name, app}] != nil
	})
}

// facts are what a fault may be narrowed by.
type facts struct {
	series                   *series
	client, grantType, email string
}

func (c *call) facts() facts {
	return facts{c.series, c.req.clientID, c.req.grantType, c.email}
}

func (a *activeFault) hit(f facts, now time.Time) bool {
	return !a.over(now) &&
		(a.App == "" || a.App == f.client || a.App == f.series.name || a.App == f.series.family) &&
		(a.Match["grant_type"] == "" || a.Match["grant_type"] == f.grantType) &&
		(a.Match["email"] == "" || strings.EqualFold(a.Match["email"], f.email))
}

// over reports whether the fault is used up or its time has passed.
func (a *activeFault) over(now time.Time) bool {
	return a.left == 0 || !a.until.IsZero() && !now.Before(a.until)
}

func (w *world) dropOver(now time.Time) {
	w.faults = slices.DeleteFunc(w.faults, func(a *activeFault) bool { return a.over(now) })
}

func (a *activeFault) use() *activeFault {
	if a.left > 0 {
		a.left--
	}
	a.hits++
	return a
}

// picked are the faults that hit one request: at most one to wait for, then
// either one instead of processing, or any number of changes and one on the way
// back.
type picked struct {
	delay, before, after *activeFault
	changed              []*activeFault
}

// pickFaults takes, in the order they were added, the faults that hit a token
// request.
func (w *world) pickFaults(f facts, now time.Time) picked {
	var p picked
	find := func(at stage) *activeFault {
		for _, a := range w.faults {
			if faultStage(a.Fault.Fault) == at && a.hit(f, now) {
				return a.use()
			}
		}
		return nil
	}
	p.delay = find(stageDelay)
	if p.before = find(stageBefore); p.before != nil {
		return p
	}
	for _, a := range w.faults {
		if faultStage(a.Fault.Fault) == stageChange && a.hit(f, now) {
			p.changed = append(p.changed, a.use())
		}
	}
	p.after = find(stageAfter)
	return p
}

// apiFault takes the fault that hits an API request.
func (w *world) apiFault(f facts, now time.Time) *activeFault {
	for _, a := range w.faults {
		if faultStage(a.Fault.Fault) == stageAPI && a.hit(f, now) {
			return a.use()
		}
	}
	return nil
}

// String lists the faults' names.
func (p picked) String() string {
	var names []string
	for _, a := range append([]*activeFault{p.delay, p.before, p.after}, p.changed...) {
		if a != nil {
			names = append(names, a.Fault.Fault)
		}
	}
	return strings.Join(names, ",")
}

// change returns the fault of that name, or nil.
func (p picked) change(name string) *activeFault {
	for _, a := range p.changed {
		if a.Fault.Fault == name {
			return a
		}
	}
	return nil
}

func (p picked) changes(name string) bool { return p.change(name) != nil }

// hides names the fault that keeps the answer from being understood, or "".
func (p picked) hides() string {
	if p.after == nil {
		return ""
	}
	return p.after.Fault.Fault
}

// defaultDelay is how long slow waits.
const defaultDelay = 15 * time.Second

// wait is true when the request may go on, false when its client hung up.
func (p picked) wait(ctx context.Context) bool {
	if p.delay == nil {
		return ctx.Err() == nil
	}
	delay := defaultDelay
	if d, err := parseDuration(p.delay.Match["delay"]); err == nil {
		delay = d
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
