package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/store"
)

// CreateKey implements [store.Keys].
func (s *Store) CreateKey(ctx context.Context, k access.Key) error {
	err := s.change(ctx, func(t *tx) error {
		t.write(`INSERT INTO api_keys (id, name, hash, scopes, apps, businesses, created_at, expires_at, revoked_at, last_used_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			k.ID, k.Name, k.Hash[:], words(k.Scopes), words(k.Apps), words(k.Businesses),
			stamp(k.CreatedAt), stamp(k.ExpiresAt), stamp(k.RevokedAt), stamp(k.LastUsedAt))
		return nil
	})
	if taken(err) {
		return fmt.Errorf("key %s: %w", k.ID, store.ErrExists)
	}
	return err
}

// ListKeys implements [store.Keys].
func (s *Store) ListKeys(ctx context.Context) ([]access.Key, error) {
	var keys []access.Key
	err := s.each(ctx, `SELECT id, name, hash, scopes, apps, businesses, created_at, expires_at, revoked_at, last_used_at
		FROM api_keys ORDER BY created_at, id`, nil,
		func(row scanner) error {
			var k access.Key
			var hash []byte
			err := row.Scan(&k.ID, &k.Name, &hash, &k.Scopes, &k.Apps, &k.Businesses,
				timeColumn{&k.CreatedAt}, timeColumn{&k.ExpiresAt}, timeColumn{&k.RevokedAt}, timeColumn{&k.LastUsedAt})
			copy(k.Hash[:], hash)
			keys = append(keys, k)
			return err
		})
	return keys, err
}

// RevokeKey implements [store.Keys].
func (s *Store) RevokeKey(ctx context.Context, id string, at time.Time) error {
	return s.change(ctx, func(t *tx) error {
		n, err := t.made(`UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1`, id, stamp(at))
		if err == nil && n == 0 {
			err = fmt.Errorf("key %s: %w", id, store.ErrNotFound)
		}
		return err
	})
}

// TouchKeys implements [store.Keys].
func (s *Store) TouchKeys(ctx context.Context, lastUsed map[string]time.Time) error {
	if len(lastUsed) == 0 {
		return ctx.Err()
	}
	var ids []string
	for id := range lastUsed {
		ids = append(ids, id)
	}
	slices.Sort(ids) // so that processes lock them in one order
	times := make([]pgtype.Timestamptz, len(ids))
	for i, id := range ids {
		times[i] = stamp(lastUsed[id])
	}
	return s.change(ctx, func(t *tx) error {
		t.write(`SELECT id FROM api_keys WHERE id = ANY($1) ORDER BY id FOR UPDATE`, ids)
		t.write(`UPDATE api_keys k SET last_used_at = u.at FROM unnest($1::text[], $2::timestamptz[]) AS u (id, at)
			WHERE k.id = u.id AND (k.last_used_at IS NULL OR k.last_used_at < u.at)`, ids, times)
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
	err := s.change(ctx, func(t *tx) error {
		if previous == nil {
			t.write(`INSERT INTO data_key (n, master_id, wrapped) VALUES (1, $1, $2)`, masterID, nonNil(wrapped))
			return nil
		}
		var current []byte
		err := t.get(`SELECT wrapped FROM data_key WHERE n = 1 FOR UPDATE`, nil, &current)
		if errors.Is(err, store.ErrNotFound) || err == nil && !bytes.Equal(current, previous) {
			return fmt.Errorf("data key: %w", store.ErrStale)
		}
		t.write(`UPDATE data_key SET master_id = $1, wrapped = $2 WHERE n = 1`, masterID, nonNil(wrapped))
		return err
	})
	if taken(err) {
		return fmt.Errorf("data key: %w", store.ErrStale)
	}
	return err
}
