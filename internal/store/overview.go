package store

import (
	"context"
	"errors"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// Overview is what people look at who watch over the fleet. Each method is one
// query that is answered from indexes: what it costs depends on what it returns
// or, where it counts, on what it counts, and not on the size of the fleet. None
// of these indexes changes when a refresh goes well.
//
// Limits are between 1 and 1000, and so is, at most, how many connections are
// asked about at once. Ids that are not known are passed over.
type Overview interface {
	// Latest returns connections, the one whose status changed last first, and the
	// cursor of the next page, "" after the last. Those that changed at the same
	// moment come in an order that does not change.
	Latest(ctx context.Context, f LatestFilter, p Page) ([]grant.Connection, string, error)
	// Find returns at most limit connections that text names, best first and each
	// once: by its id, its address "key@app", its key, a link's id or short code
	// (case and the dash do not matter), then those whose key and those whose name
	// begins with text, in alphabetical order. Beginnings ignore ASCII case; nothing
	// in text is a wildcard, and space around it does not count. An empty text finds
	// none.
	Find(ctx context.Context, text string, limit int) ([]grant.Connection, error)
	// ConnectionsByID returns connections by their ids.
	ConnectionsByID(ctx context.Context, ids []string) (map[string]grant.Connection, error)
	// Changes returns what happened to connections at or after a moment, in the
	// order of the log, without refreshes that went well: of each connection the
	// newest limit events. An event whose own time is later than when it was added
	// may be missing.
	Changes(ctx context.Context, connectionIDs []string, since time.Time, limit int) ([]grant.Event, error)
	// NewestLinks returns the link of each connection that ListLinks returns first,
	// by the connection's id.
	NewestLinks(ctx context.Context, connectionIDs []string) (map[string]grant.Link, error)
	// CountLinks counts the links that were made at or after a moment, by how far
	// they have come by now.
	CountLinks(ctx context.Context, since, now time.Time) ([]LinkCount, error)
}

// LatestFilter selects connections by their status or by their flags.
type LatestFilter struct {
	State   grant.State // required unless Flagged, which leaves no choice of it
	Flagged bool        // those with a flag, whatever their state
	App     string      // "" for all
	Since   time.Time   // whose status changed at or after this; zero for all
}

// Check returns what is wrong with a filter, for whoever wrote the call.
func (f LatestFilter) Check() error {
	if f.Flagged == (f.State != "") {
		return errors.New("select the latest connections either by a state or as flagged")
	}
	return nil
}

// LinkCount is how many links have come equally far.
//
// A link tells only where it stands, not every step it took: State is what it
// reached last. One that is at_provider may have come back before, if it has a
// Problem; one that failed was at the provider, or was refused on its way there;
// one that was revoked does not tell how far it had come.
type LinkCount struct {
	App     string
	Purpose grant.Purpose
	Locale  string
	State   grant.LinkState // as kept: never expired
	Problem grant.Problem   // why the last try failed, "" if none did
	Expired bool            // neither completed nor revoked, and past its expiry
	Count   int
}
