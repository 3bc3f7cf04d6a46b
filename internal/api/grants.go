package api

import (
	"errors"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
)

func (s *server) listGrants(c *call, _ none) (page[grantWire], error) {
	ref, err := s.ref(c)
	if err != nil {
		return page[grantWire]{}, err
	}
	grants, err := s.c.Manager.Grants(c.r.Context(), ref)
	if err != nil {
		return page[grantWire]{}, err
	}
	return listOf(c, grants, func(g grant.Grant) string { return g.ID }, wireGrant)
}

func (s *server) getGrant(c *call, _ none) (grantWire, error) {
	g, conn, err := s.c.Manager.Grant(c.r.Context(), c.r.PathValue("id"))
	if errors.Is(err, evergrant.ErrNotFound) || err == nil && !c.key.Reaches(conn.Ref()) {
		return grantWire{}, errNoSuch("grant")
	}
	if err != nil {
		return grantWire{}, err
	}
	return wireGrant(g), nil
}
