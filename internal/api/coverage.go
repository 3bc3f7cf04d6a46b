package api

import (
	"context"
	"slices"
	"time"

	coverages "github.com/evergrant/evergrant/internal/coverage"
	"github.com/evergrant/evergrant/internal/grant"
)

// coverage says which grants reach which locations of a connection.
type coverage struct {
	Locations     []locationWire `json:"locations" nullable:"false"`
	Uncovered     []string       `json:"uncovered" nullable:"false" doc:"required and reached by no live grant"`
	SingleGrant   []string       `json:"single_grant" nullable:"false" doc:"reached by exactly one live grant"`
	MinimalGrants []string       `json:"minimal_grants" nullable:"false" doc:"the smallest set of live grants that reaches every reachable location"`
	AsOf          *time.Time     `json:"as_of" doc:"when the provider was asked, by the oldest of its answers; null if never"`
}

type locationWire struct {
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	BusinessID   string         `json:"business_id"`
	BusinessName string         `json:"business_name"`
	Required     bool           `json:"required"`
	Grants       []string       `json:"grants" nullable:"false" doc:"the live grants that reach it"`
	RestorableBy []restorerWire `json:"restorable_by,omitempty" nullable:"false" doc:"of a location that nobody reaches: by whose approval it was reached, the last to see it first"`
}

// restorerWire is somebody who could make a location reachable again.
type restorerWire struct {
	Grant    string     `json:"grant"`
	Live     bool       `json:"live" doc:"true: their access at the provider has to be given back; false: they have to approve again"`
	Identity identity   `json:"identity"`
	SeenAt   *time.Time `json:"seen_at" doc:"when the provider last listed the location for them"`
	LostAt   *time.Time `json:"lost_at" doc:"when it no longer did; null if the grant ended first"`
}

func wireCoverage(c coverages.Coverage) coverage {
	w := coverage{
		Locations: make([]locationWire, 0, len(c.Locations)),
		Uncovered: c.Uncovered, SingleGrant: c.SingleGrant, MinimalGrants: c.MinimalGrants, AsOf: at(c.AsOf),
	}
	for _, l := range c.Locations {
		lw := locationWire{ID: l.ID, Name: l.Name, BusinessID: l.BusinessID, BusinessName: l.BusinessName, Required: l.Required, Grants: l.Grants}
		for _, r := range l.Restorers {
			lw.RestorableBy = append(lw.RestorableBy, restorerWire{r.GrantID, r.Live, identity(r.Identity), at(r.SeenAt), at(r.LostAt)})
		}
		w.Locations = append(w.Locations, lw)
	}
	return w
}

func (s *server) getLocations(c *call, _ none) (coverage, error) {
	return s.locations(c, s.c.Manager.Coverage)
}

func (s *server) refreshLocations(c *call, _ none) (coverage, error) {
	return s.locations(c, s.c.Manager.ReadLocations)
}

func (s *server) locations(c *call, read func(context.Context, grant.Ref) (coverages.Coverage, error)) (coverage, error) {
	ref, err := s.ref(c)
	if err != nil {
		return coverage{}, err
	}
	found, err := read(c.r.Context(), ref)
	if err != nil {
		return coverage{}, err
	}
	return wireCoverage(found), nil
}

// uncovered returns the locations of a connection that nobody reaches, with the
// one that was asked for first.
func (s *server) uncovered(ctx context.Context, conn grant.Connection, asked string) []string {
	c, err := s.c.Manager.CoverageOf(ctx, conn)
	if err != nil {
		return nil
	}
	missing := c.Uncovered
	if asked != "" {
		missing = slices.DeleteFunc(missing, func(id string) bool { return id == asked })
		missing = slices.Insert(missing, 0, asked)
	}
	return missing
}

// flag adds what the coverage says to a connection's flags: whether a location it
// must reach is reached by none of its live grants.
func (s *server) flag(ctx context.Context, conn *grant.Connection) error {
	if !conn.Status.State.Live() {
		return nil // its state says it all
	}
	c, err := s.c.Manager.CoverageOf(ctx, *conn)
	if err != nil {
		return err
	}
	conn.Flags = grant.SetFlag(conn.Flags, grant.LocationsMissing, len(c.Uncovered) > 0)
	return nil
}
