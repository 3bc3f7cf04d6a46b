package store

import (
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// CheckArrivals refuses what CreateConnections does not take: implementations
// call it first.
func CheckArrivals(arrivals []Arrival) error {
	if len(arrivals) > MaxArrivals {
		return fmt.Errorf("%d connections at once, at most %d", len(arrivals), MaxArrivals)
	}
	ids := make(map[string]bool, 2*len(arrivals))
	for _, a := range arrivals {
		if ids[a.Connection.ID] {
			return fmt.Errorf("connection %s is listed twice: %w", a.Connection.ID, ErrExists)
		}
		ids[a.Connection.ID] = true
		in := a.Installation
		if in == nil {
			continue
		}
		switch g := in.Grant; {
		case ids[g.ID]:
			return fmt.Errorf("grant %s is listed twice: %w", g.ID, ErrExists)
		case g.ConnectionID != a.Connection.ID:
			return fmt.Errorf("grant %s belongs to connection %s, not %s: %w", g.ID, g.ConnectionID, a.Connection.ID, ErrStale)
		case in.LinkID != "" || in.AuthorizationID != "":
			return fmt.Errorf("grant %s: a connection that is new has no link to finish: %w", g.ID, ErrStale)
		default:
			ids[g.ID] = true
		}
	}
	return nil
}

// Connected is the connection as its installation, which there must be, makes it
// at a time.
func (a Arrival) Connected(now time.Time) grant.Connection {
	c := a.Connection
	c.Status = grant.Derive(c.Status, []grant.Grant{a.Installation.Grant}, now)
	if was := a.Connection.Status; !c.Status.Same(was) || !c.Status.NextTryAt.Equal(was.NextTryAt) {
		c.UpdatedAt = now
	}
	return c
}
