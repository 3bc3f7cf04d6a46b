package postgres

import (
	"context"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const authColumns = `a.id, a.link_id, a.state_hash, a.browser_hash, a.sealed, a.issuer, a.redirect_uri,
	a.created_at, a.expires_at, a.used_at, a.finished, a.problem`

// authDest is where authColumns are scanned to.
func authDest(a *grant.Authorization) []any {
	return []any{&a.ID, &a.LinkID, &a.StateHash, &a.BrowserHash, &a.Sealed, &a.Issuer, &a.RedirectURI,
		timeColumn{&a.CreatedAt}, timeColumn{&a.ExpiresAt}, timeColumn{&a.UsedAt}, &a.Finished, &a.Problem}
}

// CreateAuthorization implements [store.Links].
func (s *Store) CreateAuthorization(ctx context.Context, a grant.Authorization, events ...grant.Event) error {
	err := s.change(ctx, func(t *tx) error {
		c, err := t.lockOf(`SELECT connection_id FROM links WHERE id = $1`, a.LinkID)
		if err != nil {
			return fmt.Errorf("link %s: %w", a.LinkID, err)
		}
		l, err := t.link(a.LinkID)
		if err != nil {
			return err
		}
		if err := unfinished(l); err != nil {
			return err
		}
		t.write(`INSERT INTO authorizations (id, link_id, state_hash, browser_hash, sealed, issuer, redirect_uri,
				created_at, expires_at, used_at, finished, problem)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			a.ID, a.LinkID, nonNil(a.StateHash), nonNil(a.BrowserHash), a.Sealed, a.Issuer, a.RedirectURI,
			stamp(a.CreatedAt), stamp(a.ExpiresAt), stamp(a.UsedAt), a.Finished, a.Problem)
		t.write(`UPDATE links SET state = $2 WHERE id = $1`, a.LinkID, grant.LinkStateAtProvider)
		return t.emit(aboutConnection(c), events...)
	})
	if taken(err) {
		return fmt.Errorf("authorization %s: %w", a.ID, store.ErrExists)
	}
	return err
}

// UseAuthorization implements [store.Links].
func (s *Store) UseAuthorization(ctx context.Context, stateHash, browserHash []byte) (grant.Authorization, error) {
	var before grant.Authorization
	err := s.change(ctx, func(t *tx) error {
		var a grant.Authorization
		err := t.get(`SELECT `+authColumns+` FROM authorizations a WHERE a.state_hash = $1 FOR UPDATE`,
			[]any{nonNil(stateHash)}, authDest(&a)...)
		if err == nil && subtle.ConstantTimeCompare(a.BrowserHash, browserHash) != 1 {
			err = store.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("authorization of that state: %w", err)
		}
		before = a
		if a.UsedAt.IsZero() {
			t.write(`UPDATE authorizations SET used_at = $2 WHERE id = $1`, a.ID, stamp(t.now))
		}
		return nil
	})
	if err != nil {
		return grant.Authorization{}, err
	}
	return before, nil
}

// Authorization implements [store.Links].
func (s *Store) Authorization(ctx context.Context, id string) (grant.Authorization, error) {
	var a grant.Authorization
	if err := s.get(ctx, `SELECT `+authColumns+` FROM authorizations a WHERE a.id = $1`, []any{id}, authDest(&a)...); err != nil {
		return grant.Authorization{}, fmt.Errorf("authorization %s: %w", id, err)
	}
	return a, nil
}

// authorization reads an authorization for a change and keeps others out.
func (t *tx) authorization(id string) (a grant.Authorization, err error) {
	err = t.get(`SELECT `+authColumns+` FROM authorizations a WHERE a.id = $1 FOR UPDATE`, []any{id}, authDest(&a)...)
	if err != nil {
		err = fmt.Errorf("authorization %s: %w", id, err)
	}
	return a, err
}

// FinishAuthorization implements [store.Links].
func (s *Store) FinishAuthorization(ctx context.Context, id string, p grant.Problem, events ...grant.Event) error {
	return s.change(ctx, func(t *tx) error {
		c, err := t.lockOf(`SELECT l.connection_id FROM authorizations a JOIN links l ON l.id = a.link_id WHERE a.id = $1`, id)
		if err != nil {
			return fmt.Errorf("authorization %s: %w", id, err)
		}
		a, err := t.authorization(id)
		if err != nil {
			return err
		}
		if a.Finished {
			return fmt.Errorf("authorization %s is finished: %w", id, store.ErrStale)
		}
		t.write(`UPDATE authorizations SET finished = true, problem = $2 WHERE id = $1`, id, p)
		// A link that another browser completed meanwhile stays completed.
		t.write(`UPDATE links SET state = $2, problem = $3 WHERE id = $1 AND state NOT IN ('completed', 'revoked')`,
			a.LinkID, grant.LinkStateFailed, p)
		if p == grant.ProblemDeclined {
			t.decline(c)
		}
		return t.emit(aboutConnection(c), events...)
	})
}

// decline makes a connection that has never been connected one whose merchant
// said no.
func (t *tx) decline(c grant.Connection) {
	if c.Status.State != grant.Pending {
		return
	}
	is := c.Status.Become(grant.MerchantDeclined, t.now, time.Time{})
	t.write(`UPDATE connections SET reason = $2, since = $3, updated_at = $4 WHERE id = $1`,
		c.ID, is.Reason, stamp(is.Since), stamp(t.now))
}
