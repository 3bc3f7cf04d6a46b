package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

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

// eventRows are events in columns, as one statement takes them.
type eventRows struct {
	types, connections, grants, apps, refs, reasons []string
	times                                           []pgtype.Timestamptz
	data                                            []*string
}

// add adds an event. An empty time is filled in when it is appended.
func (r *eventRows) add(e grant.Event) error {
	data, err := eventData(e)
	if err != nil {
		return err
	}
	r.types = append(r.types, text(string(e.Type)))
	r.times = append(r.times, stamp(e.Time))
	r.connections = append(r.connections, text(e.Connection))
	r.grants = append(r.grants, text(e.Grant))
	r.apps = append(r.apps, text(e.App))
	r.refs = append(r.refs, text(e.Ref))
	r.reasons = append(r.reasons, text(string(e.Reason)))
	r.data = append(r.data, data)
	return nil
}

// eventData is an event's data as it is kept.
func eventData(e grant.Event) (*string, error) {
	if e.Data == nil {
		return nil, nil
	}
	data, err := document(e.Data)
	if err != nil {
		return nil, fmt.Errorf("data of event %s: %w", e.Type, err)
	}
	return data, nil
}

// emit adds events to those the transaction appends to the log.
func (t *tx) emit(about subject, events ...grant.Event) error {
	for _, e := range events {
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
		if err := t.events.add(e); err != nil {
			return err
		}
	}
	return nil
}

func fill(s *string, v string) {
	if *s == "" {
		*s = v
	}
}

// Notifications. An empty payload says that the log has grown; another one is
// the id of a connection that changed without an event.
const channel = "evergrant"

// appendQuery gives events the numbers that follow the newest, at $1 as the
// lowest, and appends them as those of the process $10. The newest number is
// locked until the end of the transaction.
const appendQuery = `WITH seat AS (
		UPDATE event_log SET last = greatest(last, $1::bigint - 1) + cardinality($2::text[])
		RETURNING last, pg_notify('` + channel + `', '')
	)
	INSERT INTO events (n, type, time, connection, grant_id, app, ref, reason, data, origin)
	SELECT seat.last - cardinality($2::text[]) + e.ord, e.type, e.time, e.connection, e.grant_id, e.app, e.ref, e.reason, e.data::json, $10
	FROM seat, unnest($2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
		WITH ORDINALITY AS e (type, time, connection, grant_id, app, ref, reason, data, ord)`

// appendEvents queues the transaction's events. They come last, because nobody
// else can append until it has committed.
func (t *tx) appendEvents() {
	if e := &t.events; len(e.types) > 0 {
		t.write(appendQuery, eventid.First(t.now.UnixMilli()), e.types, e.times, e.connections, e.grants, e.apps, e.refs, e.reasons, e.data, t.s.origin)
	}
}

// notify queues the news of a connection that changed without an event.
func (t *tx) notify() {
	if t.about != "" && len(t.events.types) == 0 {
		t.write(`SELECT pg_notify('`+channel+`', $1)`, t.about)
	}
}

// AppendEvents implements [store.Events].
func (s *Store) AppendEvents(ctx context.Context, events ...grant.Event) error {
	if len(events) == 0 {
		return ctx.Err()
	}
	return s.change(ctx, func(t *tx) error { return t.emit(subject{}, events...) })
}

const lastEventQuery = `SELECT n FROM events ORDER BY n DESC LIMIT 1`

// LastEvent implements [store.Events].
func (s *Store) LastEvent(ctx context.Context) (string, error) {
	var n int64
	err := s.get(ctx, lastEventQuery, nil, &n)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return eventid.Format(n), nil
}

const eventColumns = `n, type, time, connection, grant_id, app, ref, reason, data`

// scanEvent reads eventColumns, and what comes after them.
func scanEvent(row scanner, more ...any) (n int64, e grant.Event, err error) {
	err = row.Scan(append([]any{&n, &e.Type, timeColumn{&e.Time}, &e.Connection, &e.Grant, &e.App, &e.Ref, &e.Reason, &e.Data}, more...)...)
	e.ID = eventid.Format(n)
	return n, e, err
}

// ListEvents implements [store.Events].
func (s *Store) ListEvents(ctx context.Context, f store.EventFilter, p store.Page) ([]grant.Event, string, error) {
	if err := checkPage(p.Limit); err != nil {
		return nil, "", err
	}
	query, args, err := eventsQuery(f, p)
	if err != nil {
		return nil, "", err
	}
	var events []grant.Event
	err = s.each(ctx, query, args, func(row scanner) error {
		_, e, err := scanEvent(row)
		events = append(events, e)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	events, next := clip(events, p.Limit, func(e grant.Event) string { return e.ID })
	return events, next, nil
}

// before is the number below which events are older than d.
func (t *tx) before(d time.Duration) int64 { return eventid.First(t.now.Add(-d).UnixMilli()) }
