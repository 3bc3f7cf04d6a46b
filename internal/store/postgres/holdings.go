package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// The id of a connection is a setting of the transaction, so that statements that
// are sent together can be about a connection that only the first one finds. Like a
// parameter, and unlike a column of another table, a setting is known when a
// statement begins, so PostgreSQL opens one partition of each table. Nothing is
// joined or sorted there: for the few rows of one connection that takes longer to
// begin than to do.
const (
	named         = `current_setting('evergrant.connection', true)`
	nameByID      = `SELECT set_config('evergrant.connection', $1, true)`
	nameByAddress = `SELECT set_config('evergrant.connection', connection_id, true) FROM addresses WHERE app = $1 AND key = $2`
	namedQuery    = `SELECT ` + connectionColumns + ` FROM connections c WHERE c.id = ` + named
	holdingsQuery = `SELECT (SELECT v.sealed FROM credentials v WHERE v.connection_id = ` + named + ` AND v.grant_id = g.id
				AND v.slot = g.seq % 2 AND v.epoch = g.epoch AND v.seq = g.seq),
			ARRAY(SELECT l.id FROM locations l WHERE l.connection_id = ` + named + ` AND l.grant_id = g.id AND l.lost_at IS NULL),
			` + grantColumns + `
		FROM grants g WHERE g.connection_id = ` + named + ` AND g.state IN ('connected', 'degraded')`
)

// Holdings implements [store.Holdings]. However far away the server is, it is one
// way there and back.
func (s *Store) Holdings(ctx context.Context, ref grant.Ref) (grant.Connection, []store.Holding, error) {
	var c grant.Connection
	var list []store.Holding
	var batch pgx.Batch
	if ref.ID != "" {
		batch.Queue(nameByID, text(ref.ID))
	} else {
		batch.Queue(nameByAddress, text(ref.App), text(ref.Key))
	}
	batch.Queue(namedQuery).QueryRow(func(row pgx.Row) error { return row.Scan(connectionDest(&c)...) })
	batch.Queue(holdingsQuery).Query(func(rows pgx.Rows) error {
		return eachRow(rows, nil)(func(row scanner) error {
			var h store.Holding
			var r grantRow
			err := row.Scan(append([]any{&h.Sealed, &h.Locations}, r.dest()...)...)
			if h.Sealed != nil {
				h.Grant = r.finish()
				slices.Sort(h.Locations)
				list = append(list, h)
			}
			return err
		})
	})
	err := s.read(ctx, func(ctx context.Context, conn *pgxpool.Conn) error { return conn.SendBatch(ctx, &batch).Close() })
	if err != nil {
		return grant.Connection{}, nil, fmt.Errorf("connection %s: %w", ref, err)
	}
	slices.SortFunc(list, func(a, b store.Holding) int { return strings.Compare(a.Grant.ID, b.Grant.ID) })
	return c, list, nil
}
