package api

import (
	"context"
	"math/bits"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// coverage says which grants reach which locations of a connection.
type coverage struct {
	Locations     []locationWire `json:"locations" nullable:"false"`
	Uncovered     []string       `json:"uncovered" nullable:"false" doc:"required and reached by no live grant"`
	SingleGrant   []string       `json:"single_grant" nullable:"false" doc:"reached by exactly one live grant"`
	MinimalGrants []string       `json:"minimal_grants" nullable:"false" doc:"the smallest set of live grants that reaches every reachable location"`
	AsOf          *time.Time     `json:"as_of" doc:"when the provider was asked; null if never"`
}

type locationWire struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	BusinessID   string   `json:"business_id"`
	BusinessName string   `json:"business_name"`
	Required     bool     `json:"required"`
	Grants       []string `json:"grants" nullable:"false" doc:"the live grants that reach it"`
}

func (s *server) getLocations(c *call, _ none) (coverage, error) {
	return s.locations(c, s.c.Manager.Locations)
}

func (s *server) refreshLocations(c *call, _ none) (coverage, error) {
	return s.locations(c, s.c.Manager.ReadLocations)
}

func (s *server) locations(c *call, read func(context.Context, grant.Ref) ([]grant.Location, error)) (coverage, error) {
	ref, err := s.ref(c)
	if err != nil {
		return coverage{}, err
	}
	ctx := c.r.Context()
	found, err := read(ctx, ref)
	if err != nil {
		return coverage{}, err
	}
	conn, err := s.c.Manager.Connection(ctx, ref)
	if err != nil {
		return coverage{}, err
	}
	grants, err := s.c.Manager.Grants(ctx, ref)
	if err != nil {
		return coverage{}, err
	}
	return cover(conn.RequiredLocations, grants, found), nil
}

// uncovered returns the locations of a connection that nobody reaches, with the
// one that was asked for first.
func (s *server) uncovered(ctx context.Context, conn grant.Connection, asked string) []string {
	ref := grant.Ref{ID: conn.ID}
	found, err := s.c.Manager.Locations(ctx, ref)
	if err != nil {
		return nil
	}
	grants, err := s.c.Manager.Grants(ctx, ref)
	if err != nil {
		return nil
	}
	missing := cover(conn.RequiredLocations, grants, found).Uncovered
	if asked != "" {
		missing = slices.DeleteFunc(missing, func(id string) bool { return id == asked })
		missing = slices.Insert(missing, 0, asked)
	}
	return missing
}

// flag adds what the coverage says to a connection's flags: whether a location it
// must reach is reached by none of its live grants.
func (s *server) flag(ctx context.Context, c *grant.Connection) error {
	if !c.Status.State.Live() {
		return nil // its state says it all
	}
	ref := grant.Ref{ID: c.ID}
	found, err := s.c.Manager.Locations(ctx, ref)
	if err != nil || len(found)+len(c.RequiredLocations) == 0 {
		return err
	}
	grants, err := s.c.Manager.Grants(ctx, ref)
	if err != nil {
		return err
	}
	missing := cover(c.RequiredLocations, grants, found).Uncovered
	c.Flags = grant.SetFlag(c.Flags, grant.LocationsMissing, len(missing) > 0)
	return nil
}

// cover computes the coverage of a connection. required nil means every
// location there is.
func cover(required []string, grants []grant.Grant, found []grant.Location) coverage {
	live := map[string]bool{}
	for _, g := range grants {
		live[g.ID] = g.Status.State.Live()
	}
	byID := map[string]*locationWire{}
	seen := map[string]time.Time{} // by live grant, when its newest location was listed
	for _, l := range found {
		w := byID[l.ID]
		if w == nil {
			w = &locationWire{ID: l.ID, Name: l.Name, BusinessID: l.BusinessID, BusinessName: l.BusinessName,
				Required: required == nil || slices.Contains(required, l.ID), Grants: []string{}}
			byID[l.ID] = w
		}
		if live[l.GrantID] {
			w.Grants = append(w.Grants, l.GrantID)
			if l.SeenAt.After(seen[l.GrantID]) {
				seen[l.GrantID] = l.SeenAt
			}
		}
	}
	for _, id := range required {
		if byID[id] == nil {
			byID[id] = &locationWire{ID: id, Required: true, Grants: []string{}}
		}
	}
	c := coverage{Locations: []locationWire{}, Uncovered: []string{}, SingleGrant: []string{}}
	reach := map[string][]string{} // grant → locations
	for _, id := range sortedKeys(byID) {
		w := byID[id]
		slices.Sort(w.Grants)
		w.Grants = slices.Compact(w.Grants)
		c.Locations = append(c.Locations, *w)
		switch len(w.Grants) {
		case 0:
			if w.Required {
				c.Uncovered = append(c.Uncovered, id)
			}
		case 1:
			c.SingleGrant = append(c.SingleGrant, id)
		}
		for _, g := range w.Grants {
			reach[g] = append(reach[g], id)
		}
	}
	c.MinimalGrants = smallestCover(reach)
	c.AsOf = at(oldest(seen))
	return c
}

// oldest is the moment the answer of every grant is as new as.
func oldest(seen map[string]time.Time) time.Time {
	var t time.Time
	for _, s := range seen {
		if t.IsZero() || s.Before(t) {
			t = s
		}
	}
	return t
}

// exactGrants is up to how many grants the smallest cover is searched for
// exhaustively.
const exactGrants = 16

// smallestCover returns the fewest grants that together reach everything: the
// fewest there are up to exactGrants grants, a greedy choice beyond.
func smallestCover(reach map[string][]string) []string {
	grants := sortedKeys(reach)
	reachedBy := map[string]uint{} // location → set of the grants that reach it
	for i, g := range grants {
		for _, id := range reach[g] {
			reachedBy[id] |= 1 << i
		}
	}
	if len(grants) > exactGrants {
		return greedyCover(grants, reach, len(reachedBy))
	}
	distinct := map[uint]bool{}
	for _, set := range reachedBy {
		distinct[set] = true
	}
	best := uint(1)<<len(grants) - 1
	for set := range best {
		if bits.OnesCount(set) < bits.OnesCount(best) && meetsAll(set, distinct) {
			best = set
		}
	}
	chosen := []string{}
	for i, g := range grants {
		if best&(1<<i) != 0 {
			chosen = append(chosen, g)
		}
	}
	return chosen
}

// meetsAll reports whether a set of grants has one in common with each of sets.
func meetsAll(set uint, sets map[uint]bool) bool {
	for s := range sets {
		if s&set == 0 {
			return false
		}
	}
	return true
}

func greedyCover(grants []string, reach map[string][]string, total int) []string {
	chosen := []string{}
	got := map[string]bool{}
	for len(got) < total {
		best, gain := "", 0
		for _, g := range grants {
			n := 0
			for _, id := range reach[g] {
				if !got[id] {
					n++
				}
			}
			if n > gain {
				best, gain = g, n
			}
		}
		chosen = append(chosen, best)
		for _, id := range reach[best] {
			got[id] = true
		}
	}
	slices.Sort(chosen)
	return chosen
}
