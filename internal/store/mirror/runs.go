package mirror

import (
	"context"
	"fmt"
)

// Runs implements [store.Mirror].
func (m *Mirror) Runs(ctx context.Context) ([]string, error) {
	rows, err := m.db.QueryContext(ctx, `SELECT run FROM told_of ORDER BY run`)
	if err != nil {
		return nil, fmt.Errorf("read the mirror: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read the mirror: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the mirror: %w", err)
	}
	return ids, nil
}

// SetRuns implements [store.Mirror].
func (m *Mirror) SetRuns(ctx context.Context, ids ...string) error {
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write the mirror: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(ctx, `DELETE FROM told_of`)
	for _, id := range ids {
		if err == nil && id != "" {
			_, err = tx.ExecContext(ctx, `INSERT INTO told_of (run) VALUES (?) ON CONFLICT DO NOTHING`, id)
		}
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return fmt.Errorf("write the mirror: %w", err)
	}
	return nil
}

// Forget implements [store.Mirror].
func (m *Mirror) Forget(ctx context.Context) error {
	if _, err := m.db.ExecContext(ctx, `DELETE FROM newest WHERE run <> ?`, m.run); err != nil {
		return fmt.Errorf("write the mirror: %w", err)
	}
	return nil
}
