package sqlite

import (
	"context"
	"fmt"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/eventid"
)

// subject is what a change is about. Events of the change that do not say
// otherwise are about it too.
type subject struct {
	connection string
	ref        string
	app        string
	grant      string
}

func aboutConnection(c grant.Connection) subject {
	return subject{connection: c.ID, ref: c.Ref().String(), app: c.App}
}

// emit appends events to the log.
func (t *tx) emit(about subject, events ...grant.Event) error {
	for _, e := range events {
		if err := t.append(about, e, nil); err != nil {
			return err
		}
	}
	return nil
}

// append adds an event to the log. previous is the number of the refresh's event
// before it, if it is one's, else nil.
func (t *tx) append(about subject, e grant.Event, previous any) error {
	fill(&e.Connection, about.connection)
	// An event of another connection than the change's has another address too.
	if e.Connection == about.connection {
		fill(&e.Ref, about.ref)
		fill(&e.App, about.app)
		fill(&e.Grant, about.grant)
	}
	if e.Time.IsZero() {
		e.Time = t.now
	}
	e.Time = truncate(e.Time)
	data, err := jsonColumn{e.Data}.Value()
	if err != nil {
		return fmt.Errorf("data of event %s: %w", e.Type, err)
	}
	n := t.nextEvent()
	e.ID = eventid.Format(n)
	_, err = t.exec(`INSERT INTO events (n, type, time, connection, grant_id, app, ref, reason, data, previous_n)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		n, string(e.Type), micros(e.Time), e.Connection, e.Grant, e.App, e.Ref, string(e.Reason), data, previous)
	if err != nil {
		return err
	}
	t.w.lastEvent = n
	t.w.trimmer.since++
	t.events = append(t.events, e)
	return nil
}

// nextEvent is the number of the next event.
func (t *tx) nextEvent() int64 { return eventid.Next(t.w.lastEvent, t.now.UnixMilli()) }

// ofRefresh tells whether an event about h is kept with its grant's refreshes.
func (h held) ofRefresh(e grant.Event) bool {
	return e.Type == grant.GrantRefreshed && (e.Connection == "" || e.Connection == h.about.connection)
}

func fill(s *string, v string) {
	if *s == "" {
		*s = v
	}
}

// AppendEvents implements [store.Events].
func (s *Store) AppendEvents(ctx context.Context, events ...grant.Event) error {
	if len(events) == 0 {
		return ctx.Err()
	}
	return s.w.do(ctx, func(t *tx) error { return t.emit(subject{}, events...) })
}

// LastEvent implements [store.Events].
func (s *Store) LastEvent(ctx context.Context) (string, error) {
	var n int64
	if err := s.get(ctx, `SELECT coalesce(max(n), 0) FROM events`, nil, &n); err != nil || n == 0 {
		return "", err
	}
	return eventid.Format(n), nil
}

// refreshesOf is the events of the refreshes of a connection's grants, newest
// first by grant. It ends where the log was trimmed.
const refreshesOf = `WITH RECURSIVE refresh (n, previous_n, connection) AS (
		SELECT e.n, e.previous_n, e.connection FROM connections c JOIN grants g ON g.connection_n = c.n JOIN events e ON e.n = g.refreshed_n
		WHERE c.id = ? AND e.connection = c.id
		UNION ALL
		SELECT e.n, e.previous_n, e.connection FROM refresh r JOIN events e ON e.n = r.previous_n WHERE e.connection = r.connection
	) SELECT n FROM refresh`

// eventsOfConnection is the numbers of a connection's events.
const eventsOfConnection = refreshesOf + ` UNION ALL
	SELECT n FROM events WHERE connection = ? AND connection <> '' AND previous_n IS NULL`

const eventColumns = `n, type, time, connection, grant_id, app, ref, reason, data`

// scanEvent reads eventColumns.
func scanEvent(row scanner) (grant.Event, error) {
	var e grant.Event
	var n int64
	err := row.Scan(&n, &e.Type, timeColumn{&e.Time}, &e.Connection, &e.Grant, &e.App, &e.Ref, &e.Reason, jsonColumn{&e.Data})
	e.ID = eventid.Format(n)
	return e, err
}

// ListEvents implements [store.Events].
func (s *Store) ListEvents(ctx context.Context, f store.EventFilter, p store.Page) ([]grant.Event, string, error) {
	if err := checkPage(p); err != nil {
		return nil, "", err
	}
	query, args, err := eventsQuery(f, p)
	if err != nil {
		return nil, "", err
	}
	var events []grant.Event
	err = s.list(ctx, query, args, func(row scanner) error {
		e, err := scanEvent(row)
		events = append(events, e)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	events, next := clip(events, p.Limit, func(e grant.Event) string { return e.ID })
	return events, next, nil
}
