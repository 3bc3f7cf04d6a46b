package connect

import (
	"context"

	"github.com/evergrant/evergrant/internal/coverage"
	"github.com/evergrant/evergrant/internal/grant"
)

// wanted are the locations that a link was made for: nil, if it names none, for
// all that the connection requires.
func wanted(l grant.Link) []string {
	if len(l.Locations) == 0 {
		return nil
	}
	return l.Locations
}

// missing returns the locations that a link asks a further login for and that
// nobody reaches now. What cannot be read costs the names and not the page.
func (s *Service) missing(ctx context.Context, l grant.Link, conn grant.Connection) []coverage.Location {
	if l.Purpose != grant.PurposeAddGrant {
		return nil
	}
	c, _ := s.coverage(ctx, conn)
	return c.Missing(wanted(l))
}

// coverage returns what a connection reaches, and its grants.
func (s *Service) coverage(ctx context.Context, conn grant.Connection) (coverage.Coverage, []grant.Grant) {
	seen, err := s.c.Store.Locations(ctx, conn.ID)
	if err != nil {
		s.c.Logger.WarnContext(ctx, "locations could not be read", "connection", conn.ID, "err", err)
	}
	grants, err := s.c.Store.Grants(ctx, conn.ID)
	if err != nil {
		s.c.Logger.WarnContext(ctx, "grants could not be read", "connection", conn.ID, "err", err)
		return coverage.Coverage{}, nil
	}
	return coverage.Of(conn.RequiredLocations, grants, seen), grants
}
