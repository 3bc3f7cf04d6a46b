package postgres

import (
	"context"

	"github.com/evergrant/evergrant/internal/store"
)

// Every table is asked with the connection's id itself, and not with another
// table's, so that PostgreSQL opens one partition of each.
const holdingsQuery = `SELECT v.sealed, ARRAY(SELECT l.id FROM locations l WHERE l.connection_id = $1 AND l.grant_id = g.id AND l.lost_at IS NULL ORDER BY l.id), ` +
	grantColumns + ` FROM grants g JOIN credentials v ON v.connection_id = $1 AND v.grant_id = g.id
		AND v.slot = g.seq % 2 AND v.epoch = g.epoch AND v.seq = g.seq
	WHERE g.connection_id = $1 AND g.state IN ('connected', 'degraded') ORDER BY g.id`

// Holdings implements [store.Holdings].
func (s *Store) Holdings(ctx context.Context, connectionID string) ([]store.Holding, error) {
	var list []store.Holding
	err := s.each(ctx, holdingsQuery, []any{connectionID}, func(row scanner) error {
		var h store.Holding
		var r grantRow
		err := row.Scan(append([]any{&h.Sealed, &h.Locations}, r.dest()...)...)
		if err == nil {
			h.Grant = r.finish()
			list = append(list, h)
		}
		return err
	})
	return list, err
}
