package postgres

import (
	"context"
	"fmt"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const connectionColumns = `c.id, c.app, c.key, c.name, c.tags, c.required_locations, c.flags,
	c.state, c.reason, c.since, c.next_try_at, c.created_at, c.updated_at`

// connectionDest is where connectionColumns are scanned to.
func connectionDest(c *grant.Connection) []any {
	return append([]any{&c.ID, &c.App, &c.Key, &c.Name, &c.Tags, &c.RequiredLocations, &c.Flags},
		append(statusDest(&c.Status), timeColumn{&c.CreatedAt}, timeColumn{&c.UpdatedAt})...)
}

// CreateConnection implements [store.Connections].
func (s *Store) CreateConnection(ctx context.Context, c grant.Connection, events ...grant.Event) error {
	err := s.change(ctx, func(t *tx) error {
		t.about = c.ID
		t.write(`INSERT INTO addresses (app, key, connection_id) VALUES ($1, $2, $3)`, c.App, c.Key, c.ID)
		t.write(`INSERT INTO connections (id, app, key, name, tags, required_locations, flags,
				state, reason, since, next_try_at, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
			c.ID, c.App, c.Key, c.Name, tagsDocument(c.Tags), words(c.RequiredLocations), words(c.Flags),
			c.Status.State, c.Status.Reason, stamp(c.Status.Since), stamp(c.Status.NextTryAt), stamp(c.CreatedAt), stamp(c.UpdatedAt))
		return t.emit(aboutConnection(c), events...)
	})
	if taken(err) {
		return fmt.Errorf("connection %s: %w", c.Ref(), store.ErrExists)
	}
	return err
}

const (
	connectionByIDQuery      = `SELECT ` + connectionColumns + ` FROM connections c WHERE c.id = $1`
	connectionByAddressQuery = `SELECT ` + connectionColumns + ` FROM addresses a JOIN connections c ON c.id = a.connection_id
		WHERE a.app = $1 AND a.key = $2`
)

// Connection implements [store.Connections].
func (s *Store) Connection(ctx context.Context, ref grant.Ref) (grant.Connection, error) {
	query, args := connectionByAddressQuery, []any{ref.App, ref.Key}
	if ref.ID != "" {
		query, args = connectionByIDQuery, []any{ref.ID}
	}
	var c grant.Connection
	if err := s.get(ctx, query, args, connectionDest(&c)...); err != nil {
		return grant.Connection{}, fmt.Errorf("connection %s: %w", ref, err)
	}
	return c, nil
}

// lock reads a connection and keeps other changes of it, its grants' status and
// what else hangs on it out until the end of the transaction.
func (t *tx) lock(id string) (c grant.Connection, err error) {
	err = t.get(`SELECT `+connectionColumns+` FROM connections c WHERE c.id = $1 FOR NO KEY UPDATE`, []any{id}, connectionDest(&c)...)
	if err != nil {
		return c, fmt.Errorf("connection %s: %w", id, err)
	}
	t.about = c.ID
	return c, nil
}

// UpdateConnection implements [store.Connections].
func (s *Store) UpdateConnection(ctx context.Context, id string, change func(*grant.Connection) error, events ...grant.Event) (grant.Connection, error) {
	var updated grant.Connection
	err := s.change(ctx, func(t *tx) error {
		c, err := t.lock(id)
		if err != nil {
			return err
		}
		wanted := c
		if err := change(&wanted); err != nil {
			return err
		}
		c.Name, c.Tags, c.RequiredLocations, c.Flags = wanted.Name, wanted.Tags, wanted.RequiredLocations, wanted.Flags
		c.UpdatedAt = t.now
		t.write(`UPDATE connections SET name = $2, tags = $3, required_locations = $4, flags = $5, updated_at = $6 WHERE id = $1`,
			c.ID, c.Name, tagsDocument(c.Tags), words(c.RequiredLocations), words(c.Flags), stamp(c.UpdatedAt))
		updated = c
		return t.emit(aboutConnection(c), events...)
	})
	if err != nil {
		return grant.Connection{}, err
	}
	return updated, nil
}

// DeleteConnection implements [store.Connections].
func (s *Store) DeleteConnection(ctx context.Context, id string, events ...grant.Event) error {
	return s.change(ctx, func(t *tx) error {
		c, err := t.lock(id)
		if err != nil {
			return err
		}
		// A renewal or an orphan of a grant locks the grant and not the connection.
		t.write(`SELECT id FROM grants WHERE connection_id = $1 ORDER BY id FOR UPDATE`, id)
		t.write(`DELETE FROM grant_ids WHERE id IN (SELECT id FROM grants WHERE connection_id = $1)`, id)
		for _, table := range []string{"credentials", "orphans", "locations", "readings", "grants", "links"} {
			t.write(`DELETE FROM `+table+` WHERE connection_id = $1`, id)
		}
		t.write(`DELETE FROM addresses WHERE app = $1 AND key = $2`, c.App, c.Key)
		t.write(`DELETE FROM connections WHERE id = $1`, id)
		return t.emit(aboutConnection(c), events...)
	})
}

// derive brings a connection, which the caller has locked, in line with its
// grants. If told is true, the caller's events tell of the change already.
func (t *tx) derive(c grant.Connection, told bool) error {
	var grants []grant.Grant
	err := t.each(`SELECT state, reason, since, next_try_at FROM grants WHERE connection_id = $1 ORDER BY id`, []any{c.ID},
		func(row scanner) error {
			var g grant.Grant
			err := row.Scan(statusDest(&g.Status)...)
			grants = append(grants, g)
			return err
		})
	if err != nil {
		return err
	}
	was, is := c.Status, grant.Derive(c.Status, grants, t.now)
	if sameStatus(was, is) {
		return nil
	}
	t.write(`UPDATE connections SET state = $2, reason = $3, since = $4, next_try_at = $5, updated_at = $6 WHERE id = $1`,
		c.ID, is.State, is.Reason, stamp(is.Since), stamp(is.NextTryAt), stamp(t.now))
	typ, news := grant.Transition(was, is)
	if told || !news {
		return nil
	}
	e := grant.Event{Type: typ, Reason: is.Reason}
	if !is.NextTryAt.IsZero() {
		e.Data = map[string]any{"next_try_at": is.NextTryAt.Format(timeFormat)}
	}
	return t.emit(aboutConnection(c), e)
}

// timeFormat is RFC 3339 to the microsecond.
const timeFormat = "2006-01-02T15:04:05.999999Z07:00"

const countQuery = `SELECT app, state, reason, count(*) FROM connections
	GROUP BY app, state, reason ORDER BY app, state, reason`

// CountConnections implements [store.Connections].
func (s *Store) CountConnections(ctx context.Context) ([]store.ConnectionCount, error) {
	var counts []store.ConnectionCount
	err := s.each(ctx, countQuery, nil, func(row scanner) error {
		var c store.ConnectionCount
		err := row.Scan(&c.App, &c.State, &c.Reason, &c.Count)
		counts = append(counts, c)
		return err
	})
	return counts, err
}

// ListConnections implements [store.Connections].
func (s *Store) ListConnections(ctx context.Context, f store.ConnectionFilter, p store.Page) ([]grant.Connection, string, error) {
	if err := checkPage(p.Limit); err != nil {
		return nil, "", err
	}
	query, args := connectionsQuery(f, p)
	list, err := s.connections(ctx, query, args...)
	if err != nil {
		return nil, "", err
	}
	list, next := clip(list, p.Limit, func(c grant.Connection) string { return c.ID })
	return list, next, nil
}

// connectionsQuery selects one connection more than the page has.
func connectionsQuery(f store.ConnectionFilter, p store.Page) (string, []any) {
	w := connectionWhere(f)
	if p.Cursor != "" {
		w.and("c.id > ?", p.Cursor)
	}
	return `SELECT ` + connectionColumns + ` FROM connections c` + w.sql.String() + ` ORDER BY c.id LIMIT ` + w.arg(p.Limit+1), w.args
}

// connectionWhere turns a filter into conditions.
func connectionWhere(f store.ConnectionFilter) *where {
	w := new(where)
	if f.App != "" {
		w.and("c.app = ?", f.App)
	}
	if f.Apps != nil {
		in(w, "c.app", f.Apps)
	}
	if f.Keys != nil {
		in(w, "c.key", f.Keys)
	}
	state, reason, unhealthy := effective(f.Unhealthy)
	if len(f.States) > 0 {
		w.and(state+" = ANY(?::text[])", append(unhealthy, strs(f.States))...)
	}
	if f.ActBy != "" {
		reasons, except := store.ReasonsOf(f.ActBy)
		w.and("("+reason+" = ANY(?::text[])) <> ?", append(unhealthy, reasons, except)...)
	}
	if f.Query != "" {
		q := f.Query
		w.and("strpos(lower(c.key), lower(?)) > 0 OR strpos(lower(c.name), lower(?)) > 0", q, q)
	}
	for k, v := range f.Tags {
		w.and("c.tags ->> ? = ?", k, v)
	}
	if !f.DeadlineBefore.IsZero() {
		w.and(`EXISTS (SELECT FROM grants g WHERE g.connection_id = c.id AND g.state IN ('connected', 'degraded')
			AND g.deadline_at < ?)`, stamp(f.DeadlineBefore))
	}
	return w
}

// effective returns expressions for a connection's state and reason in the
// light of unhealthy apps, and the arguments each of them takes.
func effective(unhealthy map[string]grant.Reason) (state, reason string, args []any) {
	if len(unhealthy) == 0 {
		return "c.state", "c.reason", nil
	}
	const app = `(?::jsonb ->> c.app)`
	return `CASE WHEN c.state = 'connected' AND ` + app + ` IS NOT NULL THEN 'degraded' ELSE c.state END`,
		`coalesce(CASE WHEN c.state = 'connected' THEN ` + app + ` END, c.reason)`,
		[]any{words(unhealthy)}
}

// strs is a list of names as plain strings.
func strs[T ~string](values []T) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = string(v)
	}
	return list
}
