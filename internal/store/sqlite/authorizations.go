package sqlite

import (
	"context"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const (
	authColumns = `a.id, l.id, a.state_hash, a.browser_hash, a.sealed, a.issuer, a.redirect_uri,
	a.created_at, a.expires_at, a.used_at, a.finished, a.problem`
	authTables = ` FROM authorizations a JOIN links l ON l.n = a.link_n`
)

// authDest is where authColumns are scanned to.
func authDest(a *grant.Authorization) []any {
	return []any{&a.ID, &a.LinkID, &a.StateHash, &a.BrowserHash, &a.Sealed, &a.Issuer, &a.RedirectURI,
		timeColumn{&a.CreatedAt}, timeColumn{&a.ExpiresAt}, timeColumn{&a.UsedAt}, &a.Finished, &a.Problem}
}

// CreateAuthorization implements [store.Links].
func (s *Store) CreateAuthorization(ctx context.Context, a grant.Authorization, events ...grant.Event) error {
	return s.w.do(ctx, func(t *tx) error {
		taken, err := t.exists(`SELECT 1 FROM authorizations WHERE id = ? OR state_hash = ?`, a.ID, nonNil(a.StateHash))
		if err != nil {
			return err
		}
		if taken {
			return fmt.Errorf("authorization %s: %w", a.ID, store.ErrExists)
		}
		n, l, err := t.link(a.LinkID)
		if err != nil {
			return err
		}
		if err := unfinished(l); err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO authorizations (id, link_n, state_hash, browser_hash, sealed, issuer, redirect_uri,
				created_at, expires_at, used_at, finished, problem)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			a.ID, n, nonNil(a.StateHash), nonNil(a.BrowserHash), a.Sealed, a.Issuer, a.RedirectURI,
			micros(a.CreatedAt), micros(a.ExpiresAt), micros(a.UsedAt), a.Finished, string(a.Problem))
		if err != nil {
			return err
		}
		_, err = t.exec(`UPDATE links SET state = ? WHERE n = ?`, string(grant.LinkStateAtProvider), n)
		if err != nil {
			return err
		}
		return t.emitFor(l.ConnectionID, events)
	})
}

// UseAuthorization implements [store.Links].
func (s *Store) UseAuthorization(ctx context.Context, stateHash, browserHash []byte) (grant.Authorization, error) {
	var before grant.Authorization
	err := s.w.do(ctx, func(t *tx) error {
		var n int64
		var a grant.Authorization
		err := t.get(`SELECT a.n, `+authColumns+authTables+` WHERE a.state_hash = ?`, []any{nonNil(stateHash)},
			append([]any{&n}, authDest(&a)...)...)
		if err == nil && subtle.ConstantTimeCompare(a.BrowserHash, browserHash) != 1 {
			err = store.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("authorization of that state: %w", err)
		}
		before = a
		if !a.UsedAt.IsZero() {
			return nil
		}
		_, err = t.exec(`UPDATE authorizations SET used_at = ? WHERE n = ?`, micros(t.now), n)
		return err
	})
	if err != nil {
		return grant.Authorization{}, err
	}
	return before, nil
}

// Authorization implements [store.Links].
func (s *Store) Authorization(ctx context.Context, id string) (grant.Authorization, error) {
	var a grant.Authorization
	if err := s.get(ctx, `SELECT `+authColumns+authTables+` WHERE a.id = ?`, []any{id}, authDest(&a)...); err != nil {
		return grant.Authorization{}, fmt.Errorf("authorization %s: %w", id, err)
	}
	return a, nil
}

// authorization reads an authorization and its number for a change.
func (t *tx) authorization(id string) (n int64, a grant.Authorization, err error) {
	err = t.get(`SELECT a.n, `+authColumns+authTables+` WHERE a.id = ?`, []any{id}, append([]any{&n}, authDest(&a)...)...)
	if err != nil {
		err = fmt.Errorf("authorization %s: %w", id, err)
	}
	return n, a, err
}

// FinishAuthorization implements [store.Links].
func (s *Store) FinishAuthorization(ctx context.Context, id string, p grant.Problem, events ...grant.Event) error {
	return s.w.do(ctx, func(t *tx) error {
		n, a, err := t.authorization(id)
		if err != nil {
			return err
		}
		if a.Finished {
			return fmt.Errorf("authorization %s is finished: %w", id, store.ErrStale)
		}
		linkN, l, err := t.link(a.LinkID)
		if err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE authorizations SET finished = 1, problem = ? WHERE n = ?`, string(p), n); err != nil {
			return err
		}
		// A link that another browser completed meanwhile stays completed.
		if unfinished(l) == nil {
			_, err := t.exec(`UPDATE links SET state = ?, problem = ? WHERE n = ?`,
				string(grant.LinkStateFailed), string(p), linkN)
			if err != nil {
				return err
			}
		}
		if p == grant.ProblemDeclined {
			if err := t.decline(l.ConnectionID); err != nil {
				return err
			}
		}
		return t.emitFor(l.ConnectionID, events)
	})
}

// decline makes a connection that has never been connected one whose merchant
// said no.
func (t *tx) decline(connectionID string) error {
	n, c, err := t.connection(connectionID)
	if err != nil || c.Status.State != grant.Pending {
		return err
	}
	is := c.Status.Become(grant.MerchantDeclined, t.now, time.Time{})
	_, err = t.exec(`UPDATE connections SET reason = ?, since = ?, updated_at = ? WHERE n = ?`,
		string(is.Reason), micros(is.Since), micros(t.now), n)
	return err
}
