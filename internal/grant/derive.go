package grant

import "time"

// Derive returns the status of a connection with these grants: that of its best
// grant. A connection without grants keeps the status it has if that is one a
// connection can have without them, and is pending otherwise.
func Derive(current Status, grants []Grant, now time.Time) Status {
	if len(grants) == 0 {
		if current.State == Pending || current.State == Disconnected {
			return current
		}
		return current.Become(NeverConnected, now, time.Time{})
	}
	best := grants[0].Status
	for _, g := range grants[1:] {
		if rank(g.Status.State) < rank(best.State) {
			best = g.Status
		}
	}
	n := current.Become(best.Reason, now, best.NextTryAt)
	return n
}

// rank orders the states of grants, best first.
func rank(s State) int {
	for i, st := range states {
		if st == s {
			return i
		}
	}
	return len(states)
}
