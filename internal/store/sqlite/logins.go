package sqlite

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
	err := s.w.do(ctx, func(t *tx) error {
		until = truncate(t.now.Add(life))
		taken, err := t.exists(`SELECT 1 FROM logins WHERE hash = ?`, l.Hash[:])
		if err != nil {
			return err
		}
		if taken {
			return fmt.Errorf("login: %w", store.ErrExists)
		}
		if _, err := t.exec(`DELETE FROM logins WHERE expires_at <= ?`, micros(t.now)); err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO logins (hash, name, role, expires_at) VALUES (?, ?, ?, ?)`,
			l.Hash[:], l.Name, string(l.Role), micros(until))
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	return until, nil
}

// Login implements [store.Logins].
func (s *Store) Login(ctx context.Context, hash [sha256.Size]byte) (store.Login, error) {
	l := store.Login{Hash: hash}
	err := s.get(ctx, `SELECT name, role FROM logins WHERE hash = ? AND expires_at > ?`, []any{hash[:], micros(s.now())}, &l.Name, &l.Role)
	return found(l, err)
}

// UseLogin implements [store.Logins].
func (s *Store) UseLogin(ctx context.Context, hash [sha256.Size]byte) (store.Login, error) {
	l := store.Login{Hash: hash}
	err := s.w.do(ctx, func(t *tx) error {
		err := t.get(`SELECT name, role FROM logins WHERE hash = ? AND expires_at > ?`, []any{hash[:], micros(t.now)}, &l.Name, &l.Role)
		if err != nil {
			return err
		}
		_, err = t.exec(`DELETE FROM logins WHERE hash = ?`, hash[:])
		return err
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
