package grant

import "time"

// The bounds of when a deadline is near.
const (
	leastNear = 24 * time.Hour
	// MostNear is the longest time before a deadline at which it may be near.
	MostNear = 7 * 24 * time.Hour
)

// EndsFixed reports whether no renewal moves the grant's deadline: consent was
// given until then, or there is nothing to renew with.
func (p Policy) EndsFixed(g Grant) bool {
	if g.DeadlineAt.IsZero() {
		return false
	}
	consent := g.ConsentAt.Add(p.RefreshAbsolute)
	return p.RefreshAbsolute > 0 && !g.ConsentAt.IsZero() && !g.DeadlineAt.Before(consent.Add(-time.Second)) ||
		g.DeadlineAt.Equal(g.ExpiresAt)
}

// nearBefore is how long before its deadline the end of a grant is near: a tenth of
// what it was given, a day at least and [MostNear] at most, and never more than
// half of it.
func (p Policy) nearBefore(g Grant) time.Duration {
	from := g.IssuedAt
	if p.EndsFixed(g) && !g.ConsentAt.IsZero() {
		from = g.ConsentAt
	}
	life := max(g.DeadlineAt.Sub(from), 0)
	return min(max(life/10, leastNear), MostNear, life/2)
}

// DeadlineNear reports whether the deadline of a live grant is near at now and
// somebody should know. Renewals keep it away, well before; so of a grant whose
// renewals do not fail it is near only a quarter later, when the one that was due
// has not come. A process that has just begun has not renewed anything yet: since
// is when it did.
func (p Policy) DeadlineNear(g Grant, now, since time.Time) bool {
	if g.DeadlineAt.IsZero() || !g.Status.State.Live() {
		return false
	}
	near, left := p.nearBefore(g), g.DeadlineAt.Sub(now)
	if p.EndsFixed(g) || g.Failures > 0 {
		return left <= near
	}
	const grace = 15 * time.Minute
	return left <= near-near/4 && now.Sub(since) >= min(grace, near/4)
}
