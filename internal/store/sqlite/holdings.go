package sqlite

import (
	"context"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const holdingsQuery = `SELECT v.sealed, (SELECT json_group_array(l.id ORDER BY l.id) FROM locations l WHERE l.grant_n = g.n AND l.lost_at = 0), ` +
	grantColumns + grantTables + ` JOIN credentials v ON v.n = g.credential_n
	WHERE c.id = ? AND g.state IN ('connected', 'degraded') ORDER BY g.id`

// Holdings implements [store.Holdings].
func (s *Store) Holdings(ctx context.Context, ref grant.Ref) (grant.Connection, []store.Holding, error) {
	c, err := s.Connection(ctx, ref)
	if err != nil {
		return grant.Connection{}, nil, err
	}
	var list []store.Holding
	err = s.each(ctx, holdingsQuery, []any{c.ID}, func(row scanner) error {
		var h store.Holding
		var r grantRow
		err := row.Scan(append([]any{&h.Sealed, jsonColumn{&h.Locations}}, r.dest()...)...)
		h.Grant = r.finish()
		list = append(list, h)
		return err
	})
	return c, list, err
}
