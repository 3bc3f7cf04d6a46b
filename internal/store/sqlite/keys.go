package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/store"
)

// CreateKey implements [store.Keys].
func (s *Store) CreateKey(ctx context.Context, k access.Key) error {
	return s.w.do(ctx, func(t *tx) error {
		taken, err := t.exists(`SELECT 1 FROM api_keys WHERE id = ? OR hash = ?`, k.ID, k.Hash[:])
		if err != nil {
			return err
		}
		if taken {
			return fmt.Errorf("key %s: %w", k.ID, store.ErrExists)
		}
		_, err = t.exec(`INSERT INTO api_keys (id, name, hash, scopes, apps, businesses, created_at, expires_at, revoked_at, last_used_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			k.ID, k.Name, k.Hash[:], jsonColumn{k.Scopes}, jsonColumn{k.Apps}, jsonColumn{k.Businesses},
			micros(k.CreatedAt), micros(k.ExpiresAt), micros(k.RevokedAt), micros(k.LastUsedAt))
		return err
	})
}

// ListKeys implements [store.Keys].
func (s *Store) ListKeys(ctx context.Context) ([]access.Key, error) {
	var keys []access.Key
	err := s.each(ctx, `SELECT id, name, hash, scopes, apps, businesses, created_at, expires_at, revoked_at, last_used_at
		FROM api_keys ORDER BY created_at, id`, nil,
		func(row scanner) error {
			var k access.Key
			var hash []byte
			err := row.Scan(&k.ID, &k.Name, &hash, jsonColumn{&k.Scopes}, jsonColumn{&k.Apps}, jsonColumn{&k.Businesses},
				timeColumn{&k.CreatedAt}, timeColumn{&k.ExpiresAt}, timeColumn{&k.RevokedAt}, timeColumn{&k.LastUsedAt})
			copy(k.Hash[:], hash)
			keys = append(keys, k)
			return err
		})
	return keys, err
}

// RevokeKey implements [store.Keys].
func (s *Store) RevokeKey(ctx context.Context, id string, at time.Time) error {
	return s.w.do(ctx, func(t *tx) error {
		known, err := t.exists(`SELECT 1 FROM api_keys WHERE id = ?`, id)
		if err != nil {
			return err
		}
		if !known {
			return fmt.Errorf("key %s: %w", id, store.ErrNotFound)
		}
		_, err = t.exec(`UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at = 0`, micros(at), id)
		return err
	})
}

// TouchKeys implements [store.Keys].
func (s *Store) TouchKeys(ctx context.Context, lastUsed map[string]time.Time) error {
	if len(lastUsed) == 0 {
		return ctx.Err()
	}
	return s.w.do(ctx, func(t *tx) error {
		for id, at := range lastUsed {
			_, err := t.exec(`UPDATE api_keys SET last_used_at = ? WHERE id = ? AND last_used_at < ?`, micros(at), id, micros(at))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// DataKey implements [store.DataKeys].
func (s *Store) DataKey(ctx context.Context) (masterID string, wrapped []byte, err error) {
	err = s.get(ctx, `SELECT master_id, wrapped FROM data_key WHERE n = 1`, nil, &masterID, &wrapped)
	if err != nil {
		return "", nil, fmt.Errorf("data key: %w", err)
	}
	return masterID, wrapped, nil
}

// SetDataKey implements [store.DataKeys].
func (s *Store) SetDataKey(ctx context.Context, previous []byte, masterID string, wrapped []byte) error {
	return s.w.do(ctx, func(t *tx) error {
		var current []byte
		err := t.get(`SELECT wrapped FROM data_key WHERE n = 1`, nil, &current)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if fresh := err != nil; fresh != (previous == nil) || !bytes.Equal(current, previous) {
			return fmt.Errorf("data key: %w", store.ErrStale)
		}
		_, err = t.exec(`INSERT INTO data_key (n, master_id, wrapped) VALUES (1, ?, ?)
			ON CONFLICT (n) DO UPDATE SET master_id = excluded.master_id, wrapped = excluded.wrapped`, masterID, nonNil(wrapped))
		return err
	})
}
