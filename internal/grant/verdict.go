package grant

import "time"

// Outcome is what one token request came to, as far as the grant is concerned.
type Outcome int

// The outcomes.
const (
	// NotSent: no byte of the request left, so nothing was spent.
	NotSent Outcome = iota + 1
	// Granted: the answer carries tokens.
	Granted
	// Refused: the provider says, definitively, that this refresh token is no good.
	Refused
	// Misconfigured: the provider refuses the app, not the grant. Nothing was spent.
	Misconfigured
	// Throttled: the provider asks to come back later. Nothing was spent.
	Throttled
	// Unclear: a complete answer that says nothing about the grant, such as a
	// 500 or a captive portal's page. The provider is at fault and most likely
	// spent nothing, and no request is under way any more: unlike after a lost
	// answer, waiting protects nothing, so every policy sends again.
	Unclear
	// Lost: the request may have arrived and no complete answer came back.
	Lost
)

// String returns the outcome's name.
func (o Outcome) String() string {
	switch o {
	case NotSent:
		return "not_sent"
	case Granted:
		return "granted"
	case Refused:
		return "refused"
	case Misconfigured:
		return "misconfigured"
	case Throttled:
		return "throttled"
	case Unclear:
		return "unclear"
	case Lost:
		return "lost"
	}
	return "invalid"
}

// Facts is what a verdict is made from.
type Facts struct {
	Outcome    Outcome
	Now        time.Time
	RetryAfter time.Duration // what the provider asked for; 0 if nothing
	Spread     float64       // in [0,1): spreads retries of many grants
}

// Action is what to do with the open attempt.
type Action int

// The actions.
const (
	// Commit the credentials of the answer; the attempt closes with them.
	Commit Action = iota + 1
	// Close the attempt: the refresh token was not spent. Try again at Next.
	Close
	// Hold the attempt open: nobody knows whether the token was spent, by this
	// request or by the one it repeats. Send the same token again at Next.
	Hold
	// Die: the grant is dead; only its user can bring it back.
	Die
)

// Verdict is what the engine does after an attempt.
type Verdict struct {
	Action Action
	Reason Reason    // the grant's reason from now on
	Next   time.Time // when to try again; zero after Commit and Die
	// Refusals and RefusedAt carry the proof of death that has gathered so far.
	Refusals  int
	RefusedAt time.Time
	// PauseApp is set when the app itself is refused: one incident, no grant's fault.
	PauseApp bool
	// Elsewhere is set with Die when somebody else may have spent the refresh token:
	// nothing of ours had, and it was too young to have ended by itself. That its
	// user took the approval back looks the same from here.
	Elsewhere bool
}

const (
	confirmLive  = 10 * time.Second // between two refusals while the access token lives
	confirmDead  = 2 * time.Second  // and once it has ended
	backoffFirst = time.Second
	backoffMost  = 10 * time.Second
	resendSoon   = time.Second
	mostPatience = time.Hour // a provider's Retry-After is obeyed up to this
)

// Judge turns the outcome of grant g's open attempt into a verdict. The grant
// is as it was when the attempt was opened.
//
// Death needs proof: a refusal counts only when it came twice for the same
// credentials and far enough apart, or when it answers the probe of a refresh
// token whose answer was lost and whose policy allows one probe.
func (p Policy) Judge(g Grant, f Facts) Verdict {
	v := p.judge(g, f)
	if !v.Next.IsZero() && f.Outcome != NotSent {
		v.Next = latest(v.Next, f.Now.Add(p.Spacing()))
	}
	return v
}

func (p Policy) judge(g Grant, f Facts) Verdict {
	retry := f.Now.Add(Backoff(g.Failures, f.Spread))
	v := Verdict{Refusals: g.Refusals, RefusedAt: g.RefusedAt}
	switch f.Outcome {
	case Granted:
		return Verdict{Action: Commit, Reason: OK}
	case Refused:
		return p.refused(g, f)
	case NotSent:
		v.Action, v.Reason, v.Next = unspent(g), Network, retry
	case Throttled:
		wait := f.Now.Add(min(f.RetryAfter, mostPatience))
		v.Action, v.Reason, v.Next = unspent(g), RateLimited, latest(retry, wait)
	case Misconfigured:
		v.Action, v.Reason, v.Next, v.PauseApp = unspent(g), g.Status.Reason, retry, true
	case Unclear:
		v.Action, v.Reason, v.Next = Hold, ProviderUnavailable, retry
	default: // Lost, and anything a later version forgets to judge
		v.Action, v.Reason, v.Next = Hold, AnswerLost, f.Now.Add(resendSoon)
		if p.Rotation.SingleUse() {
			v.Next = latest(v.Next, p.ProbeAt(g))
		}
	}
	return v
}

// Postpone is the verdict on an attempt that tells nothing new about the grant:
// nothing was sent, or what came back is not believed. The grant keeps its
// proof and is looked at again at next, for the given reason.
func Postpone(g Grant, r Reason, next time.Time) Verdict {
	return Verdict{Action: unspent(g), Reason: r, Next: next, Refusals: g.Refusals, RefusedAt: g.RefusedAt}
}

// unspent is what becomes of an attempt whose request spent nothing. A resend
// stays open: what it repeats is as unknown as before.
func unspent(g Grant) Action {
	if g.resent() {
		return Hold
	}
	return Close
}

// resent reports whether the open attempt repeats one of unknown outcome.
func (g Grant) resent() bool { return g.Attempt != nil && g.Attempt.Kind == Resend }

// refused judges a definitive refusal.
func (p Policy) refused(g Grant, f Facts) Verdict {
	// A provider that had trouble a moment ago has to say it twice.
	if g.resent() && p.Rotation.SingleUse() && g.Status.Reason != ProviderUnavailable {
		return Verdict{Action: Die, Reason: RotationLost, Refusals: g.Refusals + 1, RefusedAt: f.Now}
	}
	apart := confirmLive
	if !f.Now.Before(g.ExpiresAt) {
		apart = confirmDead
	}
	if g.Refusals > 0 && !f.Now.Before(g.RefusedAt.Add(apart)) {
		v := Verdict{Action: Die, Reason: RefreshRejected, Refusals: g.Refusals + 1, RefusedAt: g.RefusedAt}
		if !g.DeadlineAt.IsZero() && !f.Now.Before(g.DeadlineAt) {
			v.Reason = DeadlinePassed
		}
		if g.resent() && p.Rotation != Static {
			v.Reason = RotationLost
		}
		v.Elsewhere = v.Reason == RefreshRejected && p.elsewhere(g)
		return v
	}
	first := g.RefusedAt
	if g.Refusals == 0 {
		first = f.Now
	}
	// The state stays what it was: one refusal proves nothing yet.
	return Verdict{Action: unspent(g), Reason: g.Status.Reason, Next: latest(first.Add(apart), f.Now.Add(backoffFirst)),
		Refusals: g.Refusals + 1, RefusedAt: first}
}

// elsewhere reports whether a grant whose refresh token was refused at RefusedAt
// was refused for what somebody else did. A first send follows nothing that could
// have spent the token, and a refresh token does not end by itself while the
// access token beside it lives, or on the day it was issued or adopted.
func (p Policy) elsewhere(g Grant) bool {
	if g.resent() || p.Rotation == Static { // a static token survives its use anywhere
		return false
	}
	return g.RefusedAt.Before(g.ExpiresAt) || g.Version.Seq == 0 && g.RefusedAt.Before(g.ConsentAt.Add(day))
}

// ProbeAt is when the refresh token of g's open attempt may be sent again if
// its sender died or gave up: long enough after the first send that no request
// can still be under way, and, where reuse may revoke the access token in hand,
// not before that token is nearly worthless.
func (p Policy) ProbeAt(g Grant) time.Time {
	return p.Barrier().At(g.Attempt.OpenedAt, g.ExpiresAt)
}

// Barrier describes [Policy.ProbeAt] without a grant, for stores that compute it
// for many grants in one statement: the later of opening + Settle and, if
// Guard, the access token's expiry − Lead.
type Barrier struct {
	Settle time.Duration
	Guard  bool
	Lead   time.Duration
}

// Barrier returns the policy's barrier. An attempt opened at t on a grant whose
// access token expires at e must not be taken over before At(t, e).
func (p Policy) Barrier() Barrier {
	if p.Rotation.Resendable() {
		return Barrier{Settle: p.Timeout() + settle}
	}
	return Barrier{Settle: 2 * p.Timeout(), Guard: p.Rotation.reuseKills(), Lead: lastMoments}
}

// At applies the barrier.
func (b Barrier) At(opened, expires time.Time) time.Time {
	at := opened.Add(b.Settle)
	if b.Guard {
		at = latest(at, expires.Add(-b.Lead))
	}
	return at
}

// Backoff is the wait after n earlier failures: it doubles from a second up to
// ten, and spread, in [0,1), takes up to half of it off. The ceiling is low
// because it is the app's rate and its breaker that protect a provider; the
// backoff only has to spread the grants of one that has just come back.
func Backoff(n int, spread float64) time.Duration {
	d := backoffMost
	if n >= 0 && n < 4 {
		d = min(backoffFirst<<n, backoffMost)
	}
	return d - time.Duration(spread*float64(d)/2)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
