package sqlite

import (
	"context"
	"fmt"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const (
	linkColumns = `l.id, c.id, l.app, l.purpose, l.token_hash, l.short_code, l.business_name, l.return_url, l.locale,
	l.expect_business, l.landing, l.locations, l.state, l.problem, l.created_at, l.expires_at, l.completed_at`
	linkTables = ` FROM links l JOIN connections c ON c.n = l.connection_n`
)

// linkDest is where linkColumns are scanned to.
func linkDest(l *grant.Link) []any {
	return []any{&l.ID, &l.ConnectionID, &l.App, &l.Purpose, &l.TokenHash, &l.ShortCode, &l.BusinessName, &l.ReturnURL,
		&l.Locale, &l.ExpectBusiness, &l.Landing, jsonColumn{&l.Locations}, &l.State, &l.Problem,
		timeColumn{&l.CreatedAt}, timeColumn{&l.ExpiresAt}, timeColumn{&l.CompletedAt}}
}

// CreateLink implements [store.Links].
func (s *Store) CreateLink(ctx context.Context, l grant.Link, events ...grant.Event) error {
	return s.w.do(ctx, func(t *tx) error {
		taken, err := t.exists(`SELECT 1 FROM links WHERE id = ? OR token_hash = ?`, l.ID, nonNil(l.TokenHash))
		if err != nil {
			return err
		}
		if taken {
			return fmt.Errorf("link %s: %w", l.ID, store.ErrExists)
		}
		n, c, err := t.connection(l.ConnectionID)
		if err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO links (id, connection_n, app, purpose, token_hash, short_code, business_name, return_url,
				locale, expect_business, landing, locations, state, problem, created_at, expires_at, completed_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			l.ID, n, l.App, string(l.Purpose), nonNil(l.TokenHash), l.ShortCode, l.BusinessName, l.ReturnURL,
			l.Locale, l.ExpectBusiness, l.Landing, jsonColumn{l.Locations}, string(l.State), string(l.Problem),
			micros(l.CreatedAt), micros(l.ExpiresAt), micros(l.CompletedAt))
		if err != nil {
			return err
		}
		return t.emit(aboutConnection(c), events...)
	})
}

// Link implements [store.Links].
func (s *Store) Link(ctx context.Context, id string) (grant.Link, error) {
	var l grant.Link
	if err := s.get(ctx, `SELECT `+linkColumns+linkTables+` WHERE l.id = ?`, []any{id}, linkDest(&l)...); err != nil {
		return grant.Link{}, fmt.Errorf("link %s: %w", id, err)
	}
	return l, nil
}

// LinkByToken implements [store.Links].
func (s *Store) LinkByToken(ctx context.Context, hash []byte) (grant.Link, error) {
	var l grant.Link
	err := s.get(ctx, `SELECT `+linkColumns+linkTables+` WHERE l.token_hash = ?`, []any{nonNil(hash)}, linkDest(&l)...)
	if err != nil {
		return grant.Link{}, fmt.Errorf("link of that token: %w", err)
	}
	return l, nil
}

// link reads a link and its number for a change.
func (t *tx) link(id string) (n int64, l grant.Link, err error) {
	err = t.get(`SELECT l.n, `+linkColumns+linkTables+` WHERE l.id = ?`, []any{id}, append([]any{&n}, linkDest(&l)...)...)
	if err != nil {
		err = fmt.Errorf("link %s: %w", id, err)
	}
	return n, l, err
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
	if err := checkPage(p); err != nil {
		return nil, "", err
	}
	w := linkWhere(f)
	if p.Cursor != "" {
		w.and("l.id < ?", p.Cursor)
	}
	query := `SELECT ` + linkColumns + linkTables + string(w.sql) + ` ORDER BY l.id DESC LIMIT ?`
	var list []grant.Link
	err := s.list(ctx, query, append(w.args, p.Limit+1), func(row scanner) error {
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
		w.and("c.id = ?", f.ConnectionID)
	}
	if f.Apps != nil {
		in(w, "l.app", f.Apps)
	}
	if f.Keys != nil {
		in(w, "c.key", f.Keys)
	}
	switch f.State {
	case "":
	case grant.LinkStateCompleted, grant.LinkStateRevoked:
		w.and("l.state = ?", string(f.State))
	case grant.LinkStateExpired:
		w.and("l.state NOT IN ('completed', 'revoked') AND l.expires_at <= ?", micros(f.Now))
	default:
		w.and("l.state = ? AND l.expires_at > ?", string(f.State), micros(f.Now))
	}
	return w
}

// UpdateLink implements [store.Links].
func (s *Store) UpdateLink(ctx context.Context, id string, change func(*grant.Link) error, events ...grant.Event) (grant.Link, error) {
	var updated grant.Link
	err := s.w.do(ctx, func(t *tx) error {
		n, l, err := t.link(id)
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
		_, err = t.exec(`UPDATE links SET state = ?, problem = ?, completed_at = ? WHERE n = ?`,
			string(l.State), string(l.Problem), micros(l.CompletedAt), n)
		if err != nil {
			return err
		}
		updated = l
		return t.emitFor(l.ConnectionID, events)
	})
	if err != nil {
		return grant.Link{}, err
	}
	return updated, nil
}

// emitFor appends events about a connection known by its id.
func (t *tx) emitFor(connectionID string, events []grant.Event) error {
	if len(events) == 0 {
		return nil
	}
	_, c, err := t.connection(connectionID)
	if err != nil {
		return err
	}
	return t.emit(aboutConnection(c), events...)
}
