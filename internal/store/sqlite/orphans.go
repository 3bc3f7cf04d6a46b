package sqlite

import (
	"context"
	"fmt"

	"github.com/evergrant/evergrant/internal/store"
)

// Park implements [store.Attempts].
func (s *Store) Park(ctx context.Context, o store.Orphan) error {
	return s.w.do(ctx, func(t *tx) error {
		var n int64
		if err := t.get(`SELECT n FROM grants WHERE id = ?`, []any{o.GrantID}, &n); err != nil {
			return fmt.Errorf("grant %s: %w", o.GrantID, err)
		}
		if o.ParkedAt.IsZero() {
			o.ParkedAt = t.now
		}
		_, err := t.exec(`INSERT INTO orphans (attempt, grant_n, epoch, seq, sealed, parked_at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (attempt) DO NOTHING`,
			o.AttemptID, n, o.Of.Epoch, o.Of.Seq, nonNil(o.Sealed), micros(o.ParkedAt))
		return err
	})
}

// Orphans implements [store.Attempts].
func (s *Store) Orphans(ctx context.Context, grantID string) ([]store.Orphan, error) {
	var list []store.Orphan
	err := s.each(ctx, `SELECT o.attempt, g.id, o.epoch, o.seq, o.sealed, o.parked_at
		FROM grants g JOIN orphans o ON o.grant_n = g.n AND o.epoch = g.epoch
		WHERE g.id = ? ORDER BY o.parked_at DESC, o.n DESC`, []any{grantID},
		func(row scanner) error {
			var o store.Orphan
			err := row.Scan(&o.AttemptID, &o.GrantID, &o.Of.Epoch, &o.Of.Seq, &o.Sealed, timeColumn{&o.ParkedAt})
			list = append(list, o)
			return err
		})
	return list, err
}
