package store

import (
	"context"
	"time"
)

// MostLost bounds how many locations that a grant reaches no more are kept; those
// that were lost first go first.
const MostLost = 1000

// Readings is the schedule by which what grants reach is read from their
// providers again. A grant is due at once when it is installed without locations,
// and by [grant.ReadAgain] after its locations were set.
type Readings interface {
	// ClaimReadings returns the ids of live grants of app that are due, those that
	// have waited longest first, at most limit, and makes each due again after a
	// while, so that of any number of callers one reads it now, and one that dies
	// over it leaves it to another. Grants that are not live are never due again,
	// unless they are installed anew; they count towards the limit. It is answered
	// from an index.
	ClaimReadings(ctx context.Context, app string, limit int, while time.Duration) ([]string, error)
	// SkipReading makes a grant due by [grant.ReadAgain] without a change of its
	// locations. Of a grant that is gone it changes nothing.
	SkipReading(ctx context.Context, grantID string) error
}
