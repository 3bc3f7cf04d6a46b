package postgres

import (
	"context"
	"fmt"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const linkColumns = `l.id, l.connection_id, l.app, l.purpose, l.token_hash, l.short_code, l.business_name, l.return_url, l.locale,
	l.expect_business, l.landing, l.locations, l.state, l.problem, l.created_at, l.expires_at, l.completed_at`

// linkDest is where linkColumns are scanned to.
func linkDest(l *grant.Link) []any {
	return []any{&l.ID, &l.ConnectionID, &l.App, &l.Purpose, &l.TokenHash, &l.ShortCode, &l.BusinessName, &l.ReturnURL,
		&l.Locale, &l.ExpectBusiness, &l.Landing, &l.Locations, &l.State, &l.Problem,
		timeColumn{&l.CreatedAt}, timeColumn{&l.ExpiresAt}, timeColumn{&l.CompletedAt}}
}

// CreateLink implements [store.Links].
func (s *Store) CreateLink(ctx context.Context, l grant.Link, events ...grant.Event) error {
	err := s.change(ctx, func(t *tx) error {
		c, err := t.lock(l.ConnectionID)
		if err != nil {
			return err
		}
		t.write(`INSERT INTO links (id, connection_id, app, key, purpose, token_hash, short_code, business_name, return_url,
				locale, expect_business, landing, locations, state, problem, created_at, expires_at, completed_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
			l.ID, l.ConnectionID, l.App, c.Key, l.Purpose, nonNil(l.TokenHash), l.ShortCode, l.BusinessName, l.ReturnURL,
			l.Locale, l.ExpectBusiness, l.Landing, words(l.Locations), l.State, l.Problem,
			stamp(l.CreatedAt), stamp(l.ExpiresAt), stamp(l.CompletedAt))
		return t.emit(aboutConnection(c), events...)
	})
	if taken(err) {
		return fmt.Errorf("link %s: %w", l.ID, store.ErrExists)
	}
	return err
}

// Link implements [store.Links].
func (s *Store) Link(ctx context.Context, id string) (grant.Link, error) {
	var l grant.Link
	if err := s.get(ctx, `SELECT `+linkColumns+` FROM links l WHERE l.id = $1`, []any{id}, linkDest(&l)...); err != nil {
		return grant.Link{}, fmt.Errorf("link %s: %w", id, err)
	}
	return l, nil
}

// LinkByToken implements [store.Links].
func (s *Store) LinkByToken(ctx context.Context, hash []byte) (grant.Link, error) {
	var l grant.Link
	err := s.get(ctx, `SELECT `+linkColumns+` FROM links l WHERE l.token_hash = $1`, []any{nonNil(hash)}, linkDest(&l)...)
	if err != nil {
		return grant.Link{}, fmt.Errorf("link of that token: %w", err)
	}
	return l, nil
}

// link reads a link for a change and keeps others out.
func (t *tx) link(id string) (l grant.Link, err error) {
	err = t.get(`SELECT `+linkColumns+` FROM links l WHERE l.id = $1 FOR UPDATE`, []any{id}, linkDest(&l)...)
	if err != nil {
		err = fmt.Errorf("link %s: %w", id, err)
	}
	return l, err
}

// unfinished refuses a link that is not changed any more.
func unfinished(l grant.Link) error {
	if l.State == grant.LinkStateCompleted || l.State == grant.LinkStateRevoked {
		return fmt.Errorf("link %s is %s: %w", l.ID, l.State, store.ErrStale)
	}
	return nil
}

// ListLinks implements [store.Links].
func (s *Store) ListLinks(ctx context.Context, f store.LinkFilter, p store.Page) ([]grant.Link, string, error) {
	if err := checkPage(p.Limit); err != nil {
		return nil, "", err
	}
	w := linkWhere(f)
	if p.Cursor != "" {
		w.and("l.id < ?", p.Cursor)
	}
	query := `SELECT ` + linkColumns + ` FROM links l` + w.sql.String() + ` ORDER BY l.id DESC LIMIT ` + w.arg(p.Limit+1)
	var list []grant.Link
	err := s.each(ctx, query, w.args, func(row scanner) error {
		var l grant.Link
		err := row.Scan(linkDest(&l)...)
		list = append(list, l)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	list, next := clip(list, p.Limit, func(l grant.Link) string { return l.ID })
	return list, next, nil
}

// linkWhere turns a filter into conditions.
func linkWhere(f store.LinkFilter) *where {
	w := new(where)
	if f.ConnectionID != "" {
		w.and("l.connection_id = ?", f.ConnectionID)
	}
	if f.Apps != nil {
		in(w, "l.app", f.Apps)
	}
	if f.Keys != nil {
		in(w, "l.key", f.Keys)
	}
	switch f.State {
	case "":
	case grant.LinkStateCompleted, grant.LinkStateRevoked:
		w.and("l.state = ?", f.State)
	case grant.LinkStateExpired:
		w.and("l.state NOT IN ('completed', 'revoked') AND l.expires_at <= ?", stamp(f.Now))
	default:
		w.and("l.state = ? AND l.expires_at > ?", f.State, stamp(f.Now))
	}
	return w
}

// UpdateLink implements [store.Links].
func (s *Store) UpdateLink(ctx context.Context, id string, change func(*grant.Link) error, events ...grant.Event) (grant.Link, error) {
	var updated grant.Link
	err := s.change(ctx, func(t *tx) error {
		c, err := t.lockOf(`SELECT connection_id FROM links WHERE id = $1`, id)
		if err != nil {
			return fmt.Errorf("link %s: %w", id, err)
		}
		l, err := t.link(id)
		if err != nil {
			return err
		}
		if err := unfinished(l); err != nil {
			return err
		}
		wanted := l
		if err := change(&wanted); err != nil {
			return err
		}
		l.State, l.Problem = wanted.State, wanted.Problem
		if l.State == grant.LinkStateCompleted {
			l.CompletedAt = t.now
		}
		t.write(`UPDATE links SET state = $2, problem = $3, completed_at = $4 WHERE id = $1`,
			id, l.State, l.Problem, stamp(l.CompletedAt))
		updated = l
		return t.emit(aboutConnection(c), events...)
	})
	if err != nil {
		return grant.Link{}, err
	}
	return updated, nil
}

// lockOf locks the connection whose id a query finds.
func (t *tx) lockOf(query, id string) (grant.Connection, error) {
	var connection string
	if err := t.get(query, []any{id}, &connection); err != nil {
		return grant.Connection{}, err
	}
	return t.lock(connection)
}
