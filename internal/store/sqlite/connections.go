package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const connectionColumns = `c.id, c.app, c.key, c.name, c.tags, c.required_locations, c.flags,
	c.state, c.reason, c.since, c.next_try_at, c.created_at, c.updated_at`

// connectionDest is where connectionColumns are scanned to.
func connectionDest(c *grant.Connection) []any {
	return append([]any{&c.ID, &c.App, &c.Key, &c.Name, jsonColumn{&c.Tags}, jsonColumn{&c.RequiredLocations},
		jsonColumn{&c.Flags}}, append(statusDest(&c.Status), timeColumn{&c.CreatedAt}, timeColumn{&c.UpdatedAt})...)
}

func statusDest(s *grant.Status) []any {
	return []any{&s.State, &s.Reason, timeColumn{&s.Since}, timeColumn{&s.NextTryAt}}
}

// exists reports whether a query finds a row.
func (t *tx) exists(query string, args ...any) (bool, error) {
	var one int
	err := t.get(query, args, &one)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// CreateConnection implements [store.Connections].
func (s *Store) CreateConnection(ctx context.Context, c grant.Connection, events ...grant.Event) error {
	return s.w.do(ctx, func(t *tx) error {
		taken, err := t.exists(`SELECT 1 FROM connections WHERE id = ? OR (app = ? AND key = ?)`, c.ID, c.App, c.Key)
		if err != nil {
			return err
		}
		if taken {
			return fmt.Errorf("connection %s: %w", c.Ref(), store.ErrExists)
		}
		if _, err := t.insertConnection(c); err != nil {
			return err
		}
		return t.emit(aboutConnection(c), events...)
	})
}

// insertConnection adds a connection and returns its number.
func (t *tx) insertConnection(c grant.Connection) (int64, error) {
	return t.insert(`INSERT INTO connections (id, app, key, name, tags, required_locations, flags,
			state, reason, since, next_try_at, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.ID, c.App, c.Key, c.Name, jsonColumn{c.Tags}, jsonColumn{c.RequiredLocations}, jsonColumn{c.Flags},
		string(c.Status.State), string(c.Status.Reason), micros(c.Status.Since), micros(c.Status.NextTryAt),
		micros(c.CreatedAt), micros(c.UpdatedAt))
}

// Connection implements [store.Connections].
func (s *Store) Connection(ctx context.Context, ref grant.Ref) (grant.Connection, error) {
	query, args := `SELECT `+connectionColumns+` FROM connections c WHERE c.app = ? AND c.key = ?`, []any{ref.App, ref.Key}
	if ref.ID != "" {
		query, args = `SELECT `+connectionColumns+` FROM connections c WHERE c.id = ?`, []any{ref.ID}
	}
	var c grant.Connection
	if err := s.get(ctx, query, args, connectionDest(&c)...); err != nil {
		return grant.Connection{}, fmt.Errorf("connection %s: %w", ref, err)
	}
	return c, nil
}

// connection reads a connection and its number.
func (t *tx) connection(id string) (n int64, c grant.Connection, err error) {
	err = t.get(`SELECT c.n, `+connectionColumns+` FROM connections c WHERE c.id = ?`, []any{id},
		append([]any{&n}, connectionDest(&c)...)...)
	if err != nil {
		err = fmt.Errorf("connection %s: %w", id, err)
	}
	return n, c, err
}

// UpdateConnection implements [store.Connections].
func (s *Store) UpdateConnection(ctx context.Context, id string, change func(*grant.Connection) error, events ...grant.Event) (grant.Connection, error) {
	var updated grant.Connection
	err := s.w.do(ctx, func(t *tx) error {
		n, c, err := t.connection(id)
		if err != nil {
			return err
		}
		wanted := c
		if err := change(&wanted); err != nil {
			return err
		}
		c.Name, c.Tags, c.RequiredLocations, c.Flags = wanted.Name, wanted.Tags, wanted.RequiredLocations, wanted.Flags
		c.UpdatedAt = t.now
		_, err = t.exec(`UPDATE connections SET name = ?, tags = ?, required_locations = ?, flags = ?, updated_at = ? WHERE n = ?`,
			c.Name, jsonColumn{c.Tags}, jsonColumn{c.RequiredLocations}, jsonColumn{c.Flags}, micros(c.UpdatedAt), n)
		if err != nil {
			return err
		}
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
	return s.w.do(ctx, func(t *tx) error {
		n, c, err := t.connection(id)
		if err != nil {
			return err
		}
		for _, column := range []string{"credential_n", "previous_n"} {
			_, err := t.exec(`DELETE FROM credentials WHERE n IN (SELECT `+column+` FROM grants WHERE connection_n = ?)`, n)
			if err != nil {
				return err
			}
		}
		// Without the grants nothing else leads to the events of their refreshes.
		if _, err := t.exec(`UPDATE events SET previous_n = NULL WHERE n IN (`+refreshesOf+`)`, id); err != nil {
			return err
		}
		// Everything else goes with it by its foreign keys.
		if _, err := t.exec(`DELETE FROM connections WHERE n = ?`, n); err != nil {
			return err
		}
		return t.emit(aboutConnection(c), events...)
	})
}

// derive brings a connection's status in line with its grants'. If told is
// false, the caller's events tell of the change already.
func (t *tx) derive(n int64, told bool) error {
	var c grant.Connection
	err := t.get(`SELECT `+connectionColumns+` FROM connections c WHERE c.n = ?`, []any{n}, connectionDest(&c)...)
	if err != nil {
		return err
	}
	var grants []grant.Grant
	err = t.each(`SELECT state, reason, since, next_try_at FROM grants WHERE connection_n = ? ORDER BY id`, []any{n},
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
	_, err = t.exec(`UPDATE connections SET state = ?, reason = ?, since = ?, next_try_at = ?, updated_at = ? WHERE n = ?`,
		string(is.State), string(is.Reason), micros(is.Since), micros(is.NextTryAt), micros(t.now), n)
	if err != nil {
		return err
	}
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

func sameStatus(a, b grant.Status) bool {
	return a.Same(b) && micros(a.Since) == micros(b.Since) && micros(a.NextTryAt) == micros(b.NextTryAt)
}

const countQuery = `SELECT app, state, reason, count(*) FROM connections
	GROUP BY app, state, reason ORDER BY app, state, reason`

// CountConnections implements [store.Connections].
func (s *Store) CountConnections(ctx context.Context) ([]store.ConnectionCount, error) {
	var counts []store.ConnectionCount
	err := s.each(ctx, countQuery, nil,
		func(row scanner) error {
			var c store.ConnectionCount
			err := row.Scan(&c.App, &c.State, &c.Reason, &c.Count)
			counts = append(counts, c)
			return err
		})
	return counts, err
}

// ListConnections implements [store.Connections].
func (s *Store) ListConnections(ctx context.Context, f store.ConnectionFilter, p store.Page) ([]grant.Connection, string, error) {
	if err := checkPage(p); err != nil {
		return nil, "", err
	}
	w := connectionWhere(f)
	if p.Cursor != "" {
		w.and("c.id > ?", p.Cursor)
	}
	query := `SELECT ` + connectionColumns + ` FROM connections c` + string(w.sql) + ` ORDER BY c.id LIMIT ?`
	var list []grant.Connection
	err := s.list(ctx, query, append(w.args, p.Limit+1), func(row scanner) error {
		var c grant.Connection
		err := row.Scan(connectionDest(&c)...)
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	list, next := clip(list, p.Limit, func(c grant.Connection) string { return c.ID })
	return list, next, nil
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
		w.and(state+" IN (SELECT value FROM json_each(?))", append(unhealthy, jsonColumn{f.States})...)
	}
	if f.ActBy != "" {
		actBy(w, f.ActBy, reason, unhealthy)
	}
	if f.Query != "" {
		w.and("instr(lower(c.key), lower(?)) > 0 OR instr(lower(c.name), lower(?)) > 0", f.Query, f.Query)
	}
	for k, v := range f.Tags {
		w.and("EXISTS (SELECT 1 FROM json_each(c.tags) tag WHERE tag.key = ? AND tag.value = ?)", k, v)
	}
	if !f.DeadlineBefore.IsZero() {
		w.and(`EXISTS (SELECT 1 FROM grants g WHERE g.connection_n = c.n AND g.state IN ('connected', 'degraded')
			AND g.deadline_at <> 0 AND g.deadline_at < ?)`, micros(f.DeadlineBefore))
	}
	return w
}

// effective returns expressions for a connection's state and reason in the
// light of unhealthy apps, and the argument each of them takes. The plus keeps a
// state's index out: it would have all connections of the state read and sorted for
// every page.
func effective(unhealthy map[string]grant.Reason) (state, reason string, args []any) {
	if len(unhealthy) == 0 {
		return "+c.state", "c.reason", nil
	}
	const app = `(SELECT value FROM json_each(?) WHERE key = c.app)`
	return `CASE WHEN c.state = 'connected' AND ` + app + ` IS NOT NULL THEN 'degraded' ELSE c.state END`,
		`coalesce(CASE WHEN c.state = 'connected' THEN ` + app + ` END, c.reason)`,
		[]any{jsonColumn{unhealthy}}
}

// actBy adds that an actor has to act.
func actBy(w *where, actor grant.Actor, reason string, args []any) {
	reasons, except := store.ReasonsOf(actor)
	op := " IN "
	if except {
		op = " NOT IN "
	}
	w.and(reason+op+"('"+strings.Join(reasons, "', '")+"')", args...)
}
