package grant

import (
	"hash/fnv"
	"time"
)

// Lifetimes is what is known about fresh credentials when they are scheduled.
type Lifetimes struct {
	AskedAt     time.Time     // just before the token request was sent
	AccessLife  time.Duration // as stated; 0 or less if not
	Ended       bool          // the stated life is 0 or less
	Hint        time.Duration // what the token says of its own life, if nobody else does; 0 if nothing
	Before      time.Duration // how long the credentials before these were taken to live; 0 if there were none
	Repeated    time.Time     // if this is the access token there was already, when that was to end; else zero
	RefreshLife time.Duration // as stated; 0 if not, which does not mean dead
	HasRefresh  bool          // whether there is a refresh token at all
	ConsentAt   time.Time     // when the user approved
}

// Times is when fresh credentials end and when to renew them.
type Times struct {
	ExpiresAt  time.Time // of the access token, counted from before the request, skew taken off
	DeadlineAt time.Time // when the grant dies if nobody refreshes it; zero if not known
	DueAt      time.Time // when to renew; zero if there is nothing to renew with
}

// Schedule computes the times of fresh credentials of the grant with the given
// id. The id makes the jitter stable: a restart does not reshuffle the fleet
// and an import spreads out.
func (p Policy) Schedule(id string, l Lifetimes) Times {
	life := p.accessLife(l)
	t := Times{ExpiresAt: l.AskedAt.Add(life - Skew)}

	refreshLife := l.RefreshLife
	if refreshLife <= 0 {
		refreshLife = p.RefreshIdle
	}
	if !l.HasRefresh {
		t.DeadlineAt = t.ExpiresAt
		t.DueAt = t.ExpiresAt // looked at once more, to be declared dead
		return t
	}
	if refreshLife > 0 {
		t.DeadlineAt = l.AskedAt.Add(min(refreshLife, MaxLifetime))
	}
	idle := t.DeadlineAt
	if p.RefreshAbsolute > 0 && !l.ConsentAt.IsZero() {
		t.DeadlineAt = earliest(t.DeadlineAt, l.ConsentAt.Add(p.RefreshAbsolute))
	}

	if l.Repeated.After(l.AskedAt) {
		// A provider that answers with the token there is, such as R-Series' older
		// server, prolongs nothing, whatever it states; before the end there is
		// nothing new to be had.
		t.ExpiresAt = earliest(t.ExpiresAt, l.Repeated)
		t.DueAt = latest(t.ExpiresAt, l.AskedAt.Add(max(LeastGap, p.Spacing())))
		return t
	}

	window := p.window(life)
	due := t.ExpiresAt.Add(-window + time.Duration(jitter(id)*float64(window)/2))
	if !idle.IsZero() {
		// Only against idleness: no renewal moves an absolute end.
		due = earliest(due, p.keepAlive(l.AskedAt, idle))
	}
	t.DueAt = latest(due, l.AskedAt.Add(max(LeastGap, p.Spacing())))
	return t
}

// accessLife is how long an access token is taken to live: what the provider
// states, within reason, or its usual lifetime, or what the token says itself.
func (p Policy) accessLife(l Lifetimes) time.Duration {
	stated := l.AccessLife
	if stated <= 0 && l.Ended {
		return afterEnded(l.Before)
	}
	for _, otherwise := range []time.Duration{p.AccessLifetime, l.Hint, defaultLifetime} {
		if stated <= 0 {
			stated = otherwise
		}
	}
	return min(max(stated, 2*time.Second), MaxLifetime)
}

// afterEnded is how long an access token is taken to live whose stated life is
// over: a minute, because it may be the truth, and twice as long each time the
// provider says so again, up to half an hour, because it may mean that the
// token has no end.
func afterEnded(before time.Duration) time.Duration {
	for d := time.Minute; d < 32*time.Minute; d *= 2 {
		if d == before {
			return 2 * d
		}
	}
	if before == 32*time.Minute {
		return before
	}
	return time.Minute
}

// window is how long before expiry a renewal may start. Of a short token's life
// it takes half at most, or three quarters if somebody asked for so much.
func (p Policy) window(life time.Duration) time.Duration {
	if p.RefreshWindow > 0 {
		return min(p.RefreshWindow, life-life/4)
	}
	return min(max(life/10, 30*time.Second), 15*time.Minute, life/2)
}

// WindowStart is when the renewal of credentials that were asked for at asked
// and expire at expires may begin. From here on a reader should ask the store,
// not a cache.
func (p Policy) WindowStart(asked, expires time.Time) time.Time {
	return expires.Add(-p.window(expires.Sub(asked) + Skew)) // the life that Schedule saw
}

// keepAlive is when a refresh token that nothing else renews is renewed: well
// before its deadline, by a tenth of its life or a week.
func (p Policy) keepAlive(asked, deadline time.Time) time.Time {
	margin := min(deadline.Sub(asked)/10, 7*24*time.Hour)
	return deadline.Add(-margin)
}

// day is how often what a grant reaches is read again.
const day = 24 * time.Hour

// ReadAgain is when what a grant reaches is to be read next, if it is read at
// now: once a day at a time of day of the grant's own, which spreads a fleet over
// the day, and not within twelve hours of now.
func ReadAgain(grantID string, now time.Time) time.Time {
	slot := time.Duration(jitter(grantID) * float64(day))
	earliest := now.UTC().Add(day / 2)
	at := earliest.Truncate(day).Add(slot)
	if at.Before(earliest) {
		at = at.Add(day)
	}
	return at.Truncate(time.Microsecond)
}

// jitter maps an id to [0,1), the same for the same id.
func jitter(id string) float64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	// FNV's low bits are its good ones; fold them before taking a fraction.
	v := h.Sum64()
	v ^= v >> 33
	v *= 0xff51afd7ed558ccd
	v ^= v >> 33
	return float64(v>>11) / (1 << 53)
}

// Serve reports whether an access token that expires at expires may be handed
// out at now to a caller that needs it for at least minValid. Where both times
// have a monotonic reading it counts as well as the wall clock's: the first
// stands still while a machine is suspended, the second can be set back.
func Serve(now, expires time.Time, minValid time.Duration) bool {
	need := max(minValid, time.Second)
	return expires.Sub(now) >= need && expires.Round(0).Sub(now.Round(0)) >= need
}

// Serves is [Serve] for the grant's access token. One that was issued in the
// future was issued before the clock was set back, and how long it will live is
// not known.
func (g Grant) Serves(now time.Time, minValid time.Duration) bool {
	return Serve(now, g.ExpiresAt, minValid) && !g.IssuedAt.After(now.Add(Skew))
}
