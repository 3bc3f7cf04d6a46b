package grant

import (
	"fmt"
	"time"
)

// Rotation says what a provider does with a refresh token that is used.
type Rotation string

// The rotation policies, from the kindest to the harshest. Unknown is treated
// as FamilyKill until an operator says otherwise.
const (
	Static      Rotation = "static"        // the refresh token is unchanged by a refresh
	Lenient     Rotation = "lenient"       // a new one, the old stays good for a long window
	Grace       Rotation = "grace"         // the old one is accepted for a short window after its first use
	RetireOnUse Rotation = "retire_on_use" // the old one is good until its successor is first used
	Strict      Rotation = "strict"        // single use; reuse is refused, the successor survives
	FamilyKill  Rotation = "family_kill"   // single use; reuse revokes everything
	Unknown     Rotation = "unknown"
)

// ParseRotation returns the rotation named s.
func ParseRotation(s string) (Rotation, error) {
	switch r := Rotation(s); r {
	case Static, Lenient, Grace, RetireOnUse, Strict, FamilyKill, Unknown:
		return r, nil
	}
	return "", fmt.Errorf("rotation policy %q is not one of static, lenient, grace, retire_on_use, strict, family_kill, unknown", clip(s))
}

// Resendable reports whether a refresh whose answer was lost may simply be sent
// again inside the policy's window.
func (r Rotation) Resendable() bool {
	switch r {
	case Static, Lenient, Grace, RetireOnUse:
		return true
	}
	return false
}

// SingleUse reports whether sending a spent refresh token again can destroy
// something. Such requests go out on a fresh connection, so that a dead
// keep-alive cannot leave it open whether the request was sent.
func (r Rotation) SingleUse() bool { return !r.Resendable() }

// reuseKills reports whether reuse may revoke the access token in hand too, so
// that a probe has to wait until that token is nearly worthless.
func (r Rotation) reuseKills() bool { return r == FamilyKill || r == Unknown || r == "" }

// OldAccessToken says what a refresh does to the access token before it.
type OldAccessToken string

// What becomes of the old access token.
const (
	Kept       OldAccessToken = "kept"
	RevokedNow OldAccessToken = "revoked_now"
)

// Limits of the timings below.
const (
	// Skew is taken off every lifetime a provider states.
	Skew = time.Second
	// MaxLifetime bounds what a provider may claim.
	MaxLifetime = 10 * 365 * 24 * time.Hour

	defaultLifetime    = time.Hour
	defaultSendTimeout = 10 * time.Second
	// settle is how long a request may still be under way after its sender gave it
	// up or died.
	settle = 2 * time.Second
	// lastMoments is how little life the old access token may have left before a
	// probe that could kill it is sent: five seconds as the provider counts, which
	// takes no skew off.
	lastMoments = 5*time.Second - Skew
	// LeastGap is between two renewals of a grant, however short its tokens live:
	// a token that is stale on arrival must not become a hot loop.
	LeastGap = 5 * time.Second
)

// Policy is everything about a provider that decides when a grant is renewed
// and what a failed renewal means. The zero value is usable: an unknown
// rotation, one-hour tokens, a window of a tenth of their life.
type Policy struct {
	Rotation       Rotation
	Window         time.Duration  // how long an old refresh token is still accepted; 0 if not stated
	OldAccessToken OldAccessToken // "" means Kept

	AccessLifetime  time.Duration // when the provider states none; 0 means one hour
	RefreshIdle     time.Duration // a refresh token unused this long is dead; 0 if not known
	RefreshAbsolute time.Duration // a grant this old is dead however much it is used; 0 if never

	RefreshWindow    time.Duration // a scheduled renewal starts this long before expiry; 0 means life/10 within 30 s to 15 min
	SendTimeout      time.Duration // 0 means 10 s, or less where the window demands it
	MinInterval      time.Duration // between two forced refreshes of one grant; 0 means 30 s
	MaxInFlight      int           // token requests under way per app; 0 means 32, or 8 where the token is single use
	RatePerSecond    float64       // token requests per second per app; 0 means no limit of ours
	RefreshPerMinute int           // refreshes per minute per grant the provider allows, which spaces them; 0 if not stated
}

// Timeout is how long a token request may take. It fits at least four times
// into a grace window, so that waiting, settling and sending again all happen
// inside it.
func (p Policy) Timeout() time.Duration {
	t := p.SendTimeout
	if t <= 0 {
		t = defaultSendTimeout
	}
	if p.Rotation == Grace && p.Window > 0 {
		t = min(t, max(p.Window/4, time.Second))
	}
	return t
}

// ForcedInterval is the least time between two forced refreshes of one grant.
// Nobody can ask for less than the provider allows.
func (p Policy) ForcedInterval() time.Duration {
	if p.MinInterval > 0 {
		return max(p.MinInterval, p.Spacing())
	}
	return max(30*time.Second, p.Spacing())
}

// Spacing is the least time between two token requests of one grant, so that
// RefreshPerMinute holds for any minute; 0 if the provider states none.
func (p Policy) Spacing() time.Duration {
	if p.RefreshPerMinute <= 0 {
		return 0
	}
	return time.Minute / time.Duration(p.RefreshPerMinute)
}

// Rest is how long a grant has to be left alone at now for the sake of
// [Policy.Spacing], however much somebody wants its token; 0 if it may be
// renewed. It is never longer than the spacing: a moment that is farther away
// than that is so for another reason, or because the clock was set back.
func (p Policy) Rest(g Grant, now time.Time) time.Duration {
	var rest time.Duration
	within := func(until time.Time) {
		if d := until.Sub(now); d <= p.Spacing() {
			rest = max(rest, d)
		}
	}
	if g.Version.Seq > 0 {
		within(g.IssuedAt.Add(p.Spacing()))
	}
	if g.Failures > 0 {
		within(g.DueAt) // Judge has spaced it
	}
	return rest
}

// InFlight is how many token requests of one app may be under way at once. It
// bounds what a crash can cost where a refresh token is single use.
func (p Policy) InFlight() int {
	switch {
	case p.MaxInFlight > 0:
		return p.MaxInFlight
	case p.Rotation.SingleUse():
		return 8
	}
	return 32
}
