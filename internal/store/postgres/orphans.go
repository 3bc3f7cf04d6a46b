package postgres

import (
	"context"
	"fmt"

	"github.com/evergrant/evergrant/internal/store"
)

// Park implements [store.Attempts].
func (s *Store) Park(ctx context.Context, o store.Orphan) error {
	return s.change(ctx, func(t *tx) error {
		if o.ParkedAt.IsZero() {
			o.ParkedAt = t.now
		}
		// The grant is locked, so that what removes it sees the orphan or goes first.
		var connection string
		err := t.get(`SELECT g.connection_id`+grantByID+` WHERE i.id = $1 FOR SHARE OF g`, []any{o.GrantID}, &connection)
		if err != nil {
			return fmt.Errorf("grant %s: %w", o.GrantID, err)
		}
		t.write(`INSERT INTO orphans (connection_id, grant_id, attempt, epoch, seq, sealed, parked_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (connection_id, grant_id, attempt) DO NOTHING`,
			connection, o.GrantID, o.AttemptID, o.Of.Epoch, o.Of.Seq, nonNil(o.Sealed), stamp(o.ParkedAt))
		return nil
	})
}

// Orphans implements [store.Attempts].
func (s *Store) Orphans(ctx context.Context, grantID string) ([]store.Orphan, error) {
	var list []store.Orphan
	err := s.each(ctx, `SELECT o.attempt, g.id, o.epoch, o.seq, o.sealed, o.parked_at`+grantByID+`
		JOIN orphans o ON o.connection_id = g.connection_id AND o.grant_id = g.id AND o.epoch = g.epoch
		WHERE i.id = $1 ORDER BY o.parked_at DESC, o.attempt DESC`, []any{grantID},
		func(row scanner) error {
			var o store.Orphan
			err := row.Scan(&o.AttemptID, &o.GrantID, &o.Of.Epoch, &o.Of.Seq, &o.Sealed, timeColumn{&o.ParkedAt})
			list = append(list, o)
			return err
		})
	return list, err
}
