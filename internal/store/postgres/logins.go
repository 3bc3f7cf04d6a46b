package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/store"
)

// CreateLogin implements [store.Logins].
func (s *Store) CreateLogin(ctx context.Context, l store.Login, life time.Duration) (time.Time, error) {
	var until time.Time
	err := s.change(ctx, func(t *tx) error {
		until = truncate(t.now.Add(life))
		t.write(`DELETE FROM logins WHERE expires_at <= $1`, stamp(t.now))
		t.write(`INSERT INTO logins (hash, name, role, expires_at) VALUES ($1, $2, $3, $4)`, l.Hash[:], l.Name, string(l.Role), stamp(until))
		return nil
	})
	switch {
	case taken(err):
		return time.Time{}, fmt.Errorf("login: %w", store.ErrExists)
	case err != nil:
		return time.Time{}, err
	}
	return until, nil
}

// Login implements [store.Logins].
func (s *Store) Login(ctx context.Context, hash [sha256.Size]byte) (store.Login, error) {
	l := store.Login{Hash: hash}
	err := s.get(ctx, `SELECT name, role FROM logins WHERE hash = $1 AND expires_at > coalesce($2::timestamptz, clock_timestamp())`,
		[]any{hash[:], s.clock()}, &l.Name, &l.Role)
	return found(l, err)
}

// UseLogin implements [store.Logins]. The row goes to one of those who ask for it
// at the same time; the others wait for it and find nothing.
func (s *Store) UseLogin(ctx context.Context, hash [sha256.Size]byte) (store.Login, error) {
	l := store.Login{Hash: hash}
	err := s.change(ctx, func(t *tx) error {
		return t.get(`DELETE FROM logins WHERE hash = $1 AND expires_at > $2 RETURNING name, role`, []any{hash[:], stamp(t.now)}, &l.Name, &l.Role)
	})
	return found(l, err)
}

// found names what was not found. The hash is not named: a stranger chose it.
func found(l store.Login, err error) (store.Login, error) {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Login{}, fmt.Errorf("login: %w", err)
	case err != nil:
		return store.Login{}, err
	}
	return l, nil
}
