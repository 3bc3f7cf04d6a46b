package coverage

import (
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// Change is what became different in the reach of one grant, as the event
// connection.locations_changed tells it.
type Change struct {
	Added, Lost []string // ids, sorted
	// Restore says of each lost location that nobody reaches now who could bring it
	// back.
	Restore []Loss
	// Uncovered are the required locations that nobody reaches after the change.
	Uncovered []string
}

// Loss is a location that nobody reaches any more.
type Loss struct {
	Location Location
	By       []Restorer
}

// Between compares the reach of a grant before and after it was read. The lists
// are all that was seen for the connection, as the store has it at those moments.
func Between(required []string, grants []grant.Grant, before, after []grant.Location, grantID string) Change {
	was, is := reach(before, grantID), reach(after, grantID)
	c := Change{Added: without(is, was), Lost: without(was, is)}
	now := Of(required, grants, after)
	c.Uncovered = now.Uncovered
	for _, l := range now.Missing(c.Lost) {
		c.Restore = append(c.Restore, Loss{l, l.Restorers})
	}
	return c
}

// Replaced returns what is seen for a connection once what one of its grants
// reaches is replaced by what was found at now, as the store keeps it.
func Replaced(seen []grant.Location, grantID string, found []grant.Location, now time.Time) []grant.Location {
	again := make(map[string]bool, len(found))
	for _, l := range found {
		again[l.ID] = true
	}
	after := slices.Clone(found)
	for _, l := range seen {
		if l.GrantID == grantID {
			if again[l.ID] {
				continue
			}
			if !l.Lost() {
				l.LostAt = now
			}
		}
		after = append(after, l)
	}
	return after
}

// Event is the event that tells of the change of a grant's reach. If nobody
// reaches a location any more, its merchant has to act.
func (c Change) Event(conn grant.Connection, grantID string) grant.Event {
	e := grant.Event{Type: grant.ConnectionLocationsChanged, Connection: conn.ID, Grant: grantID, App: conn.App, Data: c.Data()}
	if len(c.Restore) > 0 {
		e.Reason = grant.LocationsMissing
	}
	return e
}

// None reports whether nothing has changed.
func (c Change) None() bool { return len(c.Added)+len(c.Lost) == 0 }

// Data is the change as an event carries it.
func (c Change) Data() map[string]any {
	restore := make([]map[string]any, 0, len(c.Restore))
	for _, loss := range c.Restore {
		by := make([]map[string]any, 0, len(loss.By))
		for _, r := range loss.By {
			by = append(by, map[string]any{"grant": r.GrantID, "live": r.Live, "identity": r.Identity})
		}
		restore = append(restore, map[string]any{"location": loss.Location.ID, "name": loss.Location.Name, "by": by})
	}
	return map[string]any{"added": c.Added, "lost": c.Lost, "restore": restore, "uncovered": c.Uncovered}
}

// reach returns the ids of what one grant reaches, sorted.
func reach(seen []grant.Location, grantID string) []string {
	ids := []string{}
	for _, l := range seen {
		if l.GrantID == grantID && !l.Lost() {
			ids = append(ids, l.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// without returns what is in a and not in b.
func without(a, b []string) []string {
	out := []string{}
	for _, id := range a {
		if _, there := slices.BinarySearch(b, id); !there {
			out = append(out, id)
		}
	}
	return out
}
