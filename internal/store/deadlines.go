package store

import (
	"context"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// DeadlineFilter selects live grants whose deadline is known.
type DeadlineFilter struct {
	App    string    // required
	Keys   []string  // only of these business keys, nil for all; a limited key's view
	Before time.Time // only deadlines before this
}

// Deadlines is when grants die if nobody refreshes them.
type Deadlines interface {
	// Deadlines returns live grants in the order of their deadlines, and the cursor
	// of the next page, "" after the last. It is answered from an index.
	Deadlines(ctx context.Context, f DeadlineFilter, p Page) ([]grant.Grant, string, error)
	// CountDeadlines counts live grants by their deadlines: for each of the rising
	// times how many die before it. f.Before does not count.
	CountDeadlines(ctx context.Context, f DeadlineFilter, before []time.Time) ([]int, error)
	// TellDeadline adds the event that a deadline is near. ErrStale if the grant is
	// not live, has another deadline by now, or it was told already: so of any
	// number of callers one adds it, once.
	TellDeadline(ctx context.Context, grantID string, deadline time.Time, event grant.Event) error
}
