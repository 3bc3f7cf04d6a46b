package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/eventid"
)

// latestQuery walks connections of a filter from the one that changed last. It says
// which index, because SQLite takes the one without the app too. Its last arguments
// are a moment, the cursor and how many.
func latestQuery(f store.LatestFilter) (query string, args []any) {
	index, of := "connections_latest", "c.state = ?"
	if f.Flagged {
		index, of = "connections_flagged", "c.flags <> '[]'"
	} else {
		args = append(args, string(f.State))
	}
	if f.App != "" {
		index, of, args = index+"_of_app", of+" AND c.app = ?", append(args, f.App)
	}
	return `SELECT ` + connectionColumns + ` FROM connections c INDEXED BY ` + index + `
		WHERE ` + of + ` AND c.since >= ? AND (c.since, c.id) < (?, ?) ORDER BY c.since DESC, c.id DESC LIMIT ?`, args
}

// Latest implements [store.Overview]. A cursor is a time and a connection's id.
func (s *Store) Latest(ctx context.Context, f store.LatestFilter, p store.Page) ([]grant.Connection, string, error) {
	if err := f.Check(); err != nil {
		return nil, "", err
	}
	if err := checkPage(p); err != nil {
		return nil, "", err
	}
	since, id := untilMicros(time.Time{}), "" // after all of them
	if p.Cursor != "" {
		at, last, ok := strings.Cut(p.Cursor, " ")
		us, err := strconv.ParseInt(at, 10, 64)
		if err != nil || !ok {
			return nil, "", fmt.Errorf("cursor %.60q is not one of the latest connections", p.Cursor)
		}
		since, id = us, last
	}
	query, args := latestQuery(f)
	list, err := s.connections(ctx, query, append(args, micros(f.Since), since, id, p.Limit+1)...)
	if err != nil {
		return nil, "", err
	}
	list, next := clip(list, p.Limit, func(c grant.Connection) string { return fmt.Sprintf("%d %s", micros(c.Status.Since), c.ID) })
	return list, next, nil
}

// connections reads connections with a constant query.
func (s *Store) connections(ctx context.Context, query string, args ...any) ([]grant.Connection, error) {
	var list []grant.Connection
	err := s.each(ctx, query, args, func(row scanner) error {
		var c grant.Connection
		err := row.Scan(connectionDest(&c)...)
		list = append(list, c)
		return err
	})
	return list, err
}

// findQuery looks in every place for at most as many as are wanted, and then
// takes the best of them. A place is an order within a rank. The names of the
// arguments are those of [store.Sought].
const findQuery = `WITH found (rank, place, n) AS (
		SELECT 0, '', n FROM connections WHERE id = @text
		UNION ALL SELECT 1, '', n FROM connections WHERE app = @app AND key = @key
		UNION ALL SELECT 2, app, n FROM connections WHERE lower(key) = @from AND key = @text
		UNION ALL SELECT 3, '', connection_n FROM links WHERE id = @text
		UNION ALL SELECT 3, '', connection_n FROM links WHERE upper(replace(short_code, '-', '')) = @code AND @code <> ''
		UNION ALL SELECT * FROM (SELECT 4, lower(key), n FROM connections
			WHERE lower(key) >= @from AND lower(key) < @to ORDER BY lower(key), n LIMIT @limit)
		UNION ALL SELECT * FROM (SELECT 5, lower(name), n FROM connections
			WHERE lower(name) >= @from AND lower(name) < @to ORDER BY lower(name), n LIMIT @limit)
	)
	SELECT ` + connectionColumns + ` FROM (SELECT n, min(rank) AS rank, place FROM found GROUP BY n) f
	JOIN connections c ON c.n = f.n ORDER BY f.rank, f.place, f.n LIMIT @limit`

// Find implements [store.Overview].
func (s *Store) Find(ctx context.Context, text string, limit int) ([]grant.Connection, error) {
	if err := checkPage(store.Page{Limit: limit}); err != nil {
		return nil, err
	}
	sought, ok := store.Seek(text)
	if !ok {
		return nil, ctx.Err()
	}
	return s.connections(ctx, findQuery, sql.Named("text", sought.Text), sql.Named("app", sought.Ref.App), sql.Named("key", sought.Ref.Key),
		sql.Named("code", sought.Code), sql.Named("from", sought.From), sql.Named("to", sought.To), sql.Named("limit", limit))
}

const connectionsByIDQuery = `SELECT ` + connectionColumns + ` FROM json_each(?) ids CROSS JOIN connections c ON c.id = ids.value`

// ConnectionsByID implements [store.Overview].
func (s *Store) ConnectionsByID(ctx context.Context, ids []string) (map[string]grant.Connection, error) {
	if err := checkMany(ids); err != nil {
		return nil, err
	}
	list, err := s.connections(ctx, connectionsByIDQuery, jsonColumn{nonNil(ids)})
	if err != nil {
		return nil, err
	}
	by := make(map[string]grant.Connection, len(list))
	for _, c := range list {
		by[c.ID] = c
	}
	return by, nil
}

// changesQuery reads, of each connection, its newest events backwards from the end
// of the index by connection, in which the events of refreshes are not.
const changesQuery = `SELECT e.n, e.type, e.time, e.connection, e.grant_id, e.app, e.ref, e.reason, e.data
	FROM (SELECT DISTINCT value FROM json_each(?) WHERE value <> '') ids CROSS JOIN events e ON e.n IN (
		SELECT x.n FROM events x WHERE x.connection = ids.value AND x.connection <> '' AND x.previous_n IS NULL
			AND x.n >= ? AND x.time >= ? AND x.type <> '` + string(grant.GrantRefreshed) + `' ORDER BY x.n DESC LIMIT ?)
	ORDER BY e.n`

// Changes implements [store.Overview].
func (s *Store) Changes(ctx context.Context, connectionIDs []string, since time.Time, limit int) ([]grant.Event, error) {
	if err := checkPage(store.Page{Limit: limit}); err != nil {
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
	err := s.each(ctx, changesQuery, []any{jsonColumn{nonNil(connectionIDs)}, first, micros(since), limit},
		func(row scanner) error {
			e, err := scanEvent(row)
			events = append(events, e)
			return err
		})
	return events, err
}

// checkMany refuses to ask about too many connections at once.
func checkMany(connectionIDs []string) error {
	if len(connectionIDs) > 1000 {
		return fmt.Errorf("%d connections are asked about at once; at most 1000 can be", len(connectionIDs))
	}
	return nil
}

const newestLinksQuery = `SELECT ` + linkColumns + ` FROM json_each(?) ids CROSS JOIN connections c ON c.id = ids.value
	CROSS JOIN links l ON l.id = (SELECT max(x.id) FROM links x WHERE x.connection_n = c.n)`

// NewestLinks implements [store.Overview].
func (s *Store) NewestLinks(ctx context.Context, connectionIDs []string) (map[string]grant.Link, error) {
	if err := checkMany(connectionIDs); err != nil {
		return nil, err
	}
	newest := make(map[string]grant.Link)
	err := s.each(ctx, newestLinksQuery, []any{jsonColumn{nonNil(connectionIDs)}}, func(row scanner) error {
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

// countLinksQuery steps through the index from each kind of link to the next, and
// counts of each what lies after the moment. To group the links would be to sort
// them. Without a plus only the first column would lead into the index, and without
// the last of times a step would walk through all links of its kind.
const countLinksQuery = `WITH RECURSIVE kind (app, purpose, locale, state, problem) AS (
		VALUES ('', '', '', '', '') UNION ALL
		SELECT l.app, l.purpose, l.locale, l.state, l.problem FROM kind k CROSS JOIN links l ON l.n = (
			SELECT x.n FROM links x WHERE (x.app, x.purpose, x.locale, x.state, x.problem, x.created_at) > (+k.app, +k.purpose, +k.locale, +k.state, +k.problem, ` + maxTime + `)
			ORDER BY x.app, x.purpose, x.locale, x.state, x.problem LIMIT 1)
	)
	SELECT k.*, (` + countKindQuery + `), iif(k.state IN ('completed', 'revoked'), 0, (` + countKindQuery + ` AND x.expires_at <= @now))
	FROM kind k`

const maxTime = "9223372036854775807"

const countKindQuery = `SELECT count(*) FROM links x WHERE x.app = k.app AND x.purpose = k.purpose AND x.locale = k.locale
		AND x.state = k.state AND x.problem = k.problem AND x.created_at >= @since`

// CountLinks implements [store.Overview].
func (s *Store) CountLinks(ctx context.Context, since, now time.Time) ([]store.LinkCount, error) {
	var counts []store.LinkCount
	err := s.each(ctx, countLinksQuery, []any{sql.Named("now", micros(now)), sql.Named("since", micros(since))}, func(row scanner) error {
		var c store.LinkCount
		var expired int
		err := row.Scan(&c.App, &c.Purpose, &c.Locale, &c.State, &c.Problem, &c.Count, &expired)
		for _, c.Expired = range []bool{false, true} {
			if c.Count -= expired; c.Count > 0 {
				counts = append(counts, c)
			}
			c.Count, expired = expired, 0
		}
		return err
	})
	return counts, err
}
