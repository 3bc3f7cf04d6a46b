package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/eventid"
)

// from is a moment to begin at: the zero time is before all others.
func from(t time.Time) pgtype.Timestamptz {
	if t.IsZero() {
		return pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	}
	return stamp(t)
}

// changedAt is when a connection's status changed, as the indexes have it.
const changedAt = `coalesce(c.since, '-infinity')`

// latestQuery walks connections of a filter from the one that changed last, and
// selects one more than the page has.
func latestQuery(f store.LatestFilter, p store.Page) (string, []any, error) {
	var w where
	if f.Flagged {
		w.and("json_array_length(c.flags) > 0")
	} else {
		w.and("c.state = ?", f.State)
	}
	if f.App != "" {
		w.and("c.app = ?", f.App)
	}
	w.and(changedAt+" >= ?", from(f.Since))
	if p.Cursor != "" {
		at, id, ok := strings.Cut(p.Cursor, " ")
		since, err := time.Parse(time.RFC3339Nano, at)
		if err != nil || !ok {
			return "", nil, fmt.Errorf("cursor %.60q is not one of the latest connections", p.Cursor)
		}
		w.and("("+changedAt+", c.id) < (?, ?)", from(since), id)
	}
	query := `SELECT ` + connectionColumns + ` FROM connections c` + w.sql.String() +
		` ORDER BY ` + changedAt + ` DESC, c.id DESC LIMIT ` + w.arg(p.Limit+1)
	return query, w.args, nil
}

// Latest implements [store.Overview]. A cursor is a time and a connection's id.
func (s *Store) Latest(ctx context.Context, f store.LatestFilter, p store.Page) ([]grant.Connection, string, error) {
	if err := f.Check(); err != nil {
		return nil, "", err
	}
	if err := checkPage(p.Limit); err != nil {
		return nil, "", err
	}
	query, args, err := latestQuery(f, p)
	if err != nil {
		return nil, "", err
	}
	list, err := s.connections(ctx, query, args...)
	if err != nil {
		return nil, "", err
	}
	list, next := clip(list, p.Limit, func(c grant.Connection) string {
		return c.Status.Since.Format(time.RFC3339Nano) + " " + c.ID
	})
	return list, next, nil
}

// connections reads connections.
func (s *Store) connections(ctx context.Context, query string, args ...any) ([]grant.Connection, error) {
	var list []grant.Connection
	err := s.each(ctx, query, args, func(row scanner) error {
		var c grant.Connection
		err := row.Scan(connectionDest(&c)...)
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// findQuery looks in every place for at most as many as are wanted, and then
// takes the best of them. A place is an order within a rank. OFFSET 0 keeps the
// planner, which does not see how few are found, from joining with everything.
// Of [store.Sought], $1 is Text, $2 and $3 are Ref, $4 is Code, $5 From and $6 To.
const findQuery = `WITH found (rank, place, id) AS (
		SELECT 0, '', id FROM connections WHERE id = $1
		UNION ALL SELECT 1, '', connection_id FROM addresses WHERE app = $2 AND key = $3
		UNION ALL SELECT 2, app, id FROM connections WHERE lower(key) = $5 AND key = $1
		UNION ALL SELECT 3, '', connection_id FROM links WHERE id = $1
		UNION ALL SELECT 3, '', connection_id FROM links WHERE upper(replace(short_code, '-', '')) = $4 AND $4 <> ''
		UNION ALL (SELECT 4, lower(key), id FROM connections
			WHERE lower(key) >= $5 AND lower(key) < $6 ORDER BY lower(key), id LIMIT $7)
		UNION ALL (SELECT 5, left(lower(name), 200), id FROM connections
			WHERE left(lower(name), 200) >= $5 AND left(lower(name), 200) < $6 ORDER BY left(lower(name), 200), id LIMIT $7)
	)
	SELECT c.* FROM (SELECT DISTINCT ON (id) rank, place, id FROM found ORDER BY id, rank, place) f
	CROSS JOIN LATERAL (SELECT ` + connectionColumns + ` FROM connections c WHERE c.id = f.id OFFSET 0) c
	ORDER BY f.rank, f.place, f.id LIMIT $7`

// Find implements [store.Overview].
func (s *Store) Find(ctx context.Context, text string, limit int) ([]grant.Connection, error) {
	if err := checkPage(limit); err != nil {
		return nil, err
	}
	sought, ok := store.Seek(text)
	if !ok {
		return nil, s.begins(ctx)
	}
	return s.connections(ctx, findQuery, sought.Text, sought.Ref.App, sought.Ref.Key, sought.Code, sought.From, sought.To, limit)
}

const connectionsByIDQuery = `SELECT ` + connectionColumns + ` FROM connections c WHERE c.id = ANY($1::text[])`

// ConnectionsByID implements [store.Overview].
func (s *Store) ConnectionsByID(ctx context.Context, ids []string) (map[string]grant.Connection, error) {
	if err := checkMany(ids); err != nil {
		return nil, err
	}
	list, err := s.connections(ctx, connectionsByIDQuery, nonNil(ids))
	if err != nil {
		return nil, err
	}
	by := make(map[string]grant.Connection, len(list))
	for _, c := range list {
		by[c.ID] = c
	}
	return by, nil
}

const changesQuery = `SELECT e.* FROM (SELECT DISTINCT unnest($1::text[]) AS id) ids
	CROSS JOIN LATERAL (SELECT ` + eventColumns + ` FROM events
		WHERE connection = ids.id AND connection <> '' AND type <> '` + string(grant.GrantRefreshed) + `' AND n >= $2 AND time >= $3
		ORDER BY n DESC LIMIT $4) e
	ORDER BY e.n`

// Changes implements [store.Overview].
func (s *Store) Changes(ctx context.Context, connectionIDs []string, since time.Time, limit int) ([]grant.Event, error) {
	if err := checkPage(limit); err != nil {
		return nil, err
	}
	if err := checkMany(connectionIDs); err != nil {
		return nil, err
	}
	var first int64
	if !since.IsZero() {
		first = eventid.First(since.UnixMilli())
	}
	var events []grant.Event
	err := s.each(ctx, changesQuery, []any{nonNil(connectionIDs), first, from(since), limit}, func(row scanner) error {
		_, e, err := scanEvent(row)
		events = append(events, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

// checkMany refuses to ask about too many connections at once.
func checkMany(connectionIDs []string) error {
	if len(connectionIDs) > 1000 {
		return fmt.Errorf("%d connections are asked about at once; at most 1000 can be", len(connectionIDs))
	}
	return nil
}

const newestLinksQuery = `SELECT l.* FROM (SELECT DISTINCT unnest($1::text[]) AS id) ids
	CROSS JOIN LATERAL (SELECT ` + linkColumns + ` FROM links l WHERE l.connection_id = ids.id ORDER BY l.id DESC LIMIT 1) l`

// NewestLinks implements [store.Overview].
func (s *Store) NewestLinks(ctx context.Context, connectionIDs []string) (map[string]grant.Link, error) {
	if err := checkMany(connectionIDs); err != nil {
		return nil, err
	}
	newest := make(map[string]grant.Link)
	err := s.each(ctx, newestLinksQuery, []any{nonNil(connectionIDs)}, func(row scanner) error {
		var l grant.Link
		err := row.Scan(linkDest(&l)...)
		newest[l.ConnectionID] = l
		return err
	})
	if err != nil {
		return nil, err
	}
	return newest, nil
}

// countLinksQuery counts links from a moment on, the zero time for all.
func countLinksQuery(since, now time.Time) (string, []any) {
	var w where
	expired := `state NOT IN ('completed', 'revoked') AND coalesce(expires_at <= ` + w.arg(stamp(now)) + `, true)`
	if !since.IsZero() {
		w.and("created_at >= ?", stamp(since))
	}
	return `SELECT app, purpose, locale, state, problem, ` + expired + `, count(*) FROM links` + w.sql.String() +
		` GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6`, w.args
}

// CountLinks implements [store.Overview].
func (s *Store) CountLinks(ctx context.Context, since, now time.Time) ([]store.LinkCount, error) {
	query, args := countLinksQuery(since, now)
	var counts []store.LinkCount
	err := s.each(ctx, query, args, func(row scanner) error {
		var c store.LinkCount
		err := row.Scan(&c.App, &c.Purpose, &c.Locale, &c.State, &c.Problem, &c.Expired, &c.Count)
		counts = append(counts, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}
