// Package coverage says which grants of a connection reach which locations, what
// nobody reaches, who could change that, and how few grants would do. It is
// pure: everything is computed from what the store has read.
package coverage

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// Coverage is the reach of a connection. Every list is sorted by id and never
// nil, so that the same facts always give the same answer.
type Coverage struct {
	Locations []Location
	// Uncovered are the locations that are required and reached by no live grant.
	Uncovered []string
	// SingleGrant are the locations that exactly one live grant reaches.
	SingleGrant []string
	// MinimalGrants are the fewest live grants that together reach every location
	// that can be reached; see [smallest] for how few that is.
	MinimalGrants []string
	// AsOf is how old the oldest of the answers is that live grants gave about their
	// reach; zero if none was ever asked.
	AsOf time.Time
}

// Location is a place that a grant reaches or reached, or that is required.
type Location struct {
	ID, Name                 string
	BusinessID, BusinessName string
	Required                 bool
	Grants                   []string // the live grants that reach it
	// Restorers are those by whose approval it was reached, if nobody reaches it
	// now: the last to see it first.
	Restorers []Restorer
}

// Restorer is somebody who reached a location that nobody reaches now. If their
// grant lives, it is their access at the provider that has to be given back;
// otherwise they have to approve again.
type Restorer struct {
	GrantID  string
	Live     bool
	Identity grant.Identity
	SeenAt   time.Time // when the provider last listed the location for them
	LostAt   time.Time // when it was first missing from the list; zero if the grant ended first
}

// Of computes the coverage of a connection from its grants and every location
// that was seen for one of them, lost ones too. required nil means every location
// there is. A grant that does not live covers nothing; what it reached stays
// known.
func Of(required []string, grants []grant.Grant, seen []grant.Location) Coverage {
	owner := make(map[string]grant.Grant, len(grants))
	for _, g := range grants {
		owner[g.ID] = g
	}
	needed := make(map[string]bool, len(required))
	for _, id := range required {
		needed[id] = true
	}
	found := make(map[string]*Location)
	told := make(map[string]time.Time) // by what the name of a location was last known
	asked := make(map[string]time.Time)
	for _, s := range seen {
		l := found[s.ID]
		if l == nil {
			l = &Location{ID: s.ID, Required: required == nil || needed[s.ID], Grants: []string{}}
			found[s.ID] = l
		}
		if at, ok := told[s.ID]; !ok || s.SeenAt.After(at) {
			l.Name, l.BusinessID, l.BusinessName = s.Name, s.BusinessID, s.BusinessName
			told[s.ID] = s.SeenAt
		}
		g, live := owner[s.GrantID], owner[s.GrantID].Status.State.Live()
		if live {
			asked[g.ID] = latest(asked[g.ID], s.SeenAt, s.LostAt)
		}
		if live && !s.Lost() {
			l.Grants = append(l.Grants, g.ID)
			continue
		}
		l.Restorers = append(l.Restorers, restorer(g, live, s))
	}
	for id := range needed {
		if found[id] == nil {
			found[id] = &Location{ID: id, Required: true, Grants: []string{}}
		}
	}
	return summed(found, asked)
}

func restorer(g grant.Grant, live bool, s grant.Location) Restorer {
	r := Restorer{GrantID: s.GrantID, Live: live, Identity: g.Identity, SeenAt: s.SeenAt, LostAt: s.LostAt}
	if s.LostBy != nil && s.LostBy.OtherPerson(g.Identity) {
		r.Identity, r.Live = *s.LostBy, false
	}
	return r
}

// summed draws the conclusions.
func summed(found map[string]*Location, asked map[string]time.Time) Coverage {
	c := Coverage{Locations: []Location{}, Uncovered: []string{}, SingleGrant: []string{}}
	var reached [][]string
	for _, id := range slices.Sorted(maps.Keys(found)) {
		l := found[id]
		slices.Sort(l.Grants)
		l.Grants = slices.Compact(l.Grants)
		switch len(l.Grants) {
		case 0:
			if l.Required {
				c.Uncovered = append(c.Uncovered, id)
			}
		case 1:
			c.SingleGrant = append(c.SingleGrant, id)
		}
		if len(l.Grants) > 0 {
			reached = append(reached, l.Grants)
			l.Restorers = nil // nothing is to be restored
		}
		slices.SortFunc(l.Restorers, func(a, b Restorer) int {
			return cmp.Or(b.SeenAt.Compare(a.SeenAt), cmp.Compare(a.GrantID, b.GrantID))
		})
		c.Locations = append(c.Locations, *l)
	}
	c.MinimalGrants = smallest(reached)
	for _, at := range asked {
		if c.AsOf.IsZero() || at.Before(c.AsOf) {
			c.AsOf = at
		}
	}
	return c
}

func latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}

// Missing returns those of the wanted locations that no live grant reaches, in
// the order they are wanted in; of nil wanted ones, those that are uncovered.
// What is known of a location comes with it, if anything is.
func (c Coverage) Missing(wanted []string) []Location {
	if wanted == nil {
		wanted = c.Uncovered
	}
	var missing []Location
	seen := make(map[string]bool, len(wanted))
	for _, id := range wanted {
		if seen[id] {
			continue
		}
		seen[id] = true
		at, known := slices.BinarySearchFunc(c.Locations, id, func(l Location, id string) int { return cmp.Compare(l.ID, id) })
		switch {
		case !known:
			missing = append(missing, Location{ID: id, Grants: []string{}})
		case len(c.Locations[at].Grants) == 0:
			missing = append(missing, c.Locations[at])
		}
	}
	return missing
}

// Label is what to call a location among people: its name, or its id where the
// name is not known.
func (l Location) Label() string { return cmp.Or(l.Name, l.ID) }
