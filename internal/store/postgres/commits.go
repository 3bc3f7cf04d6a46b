package postgres

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/evergrant/evergrant/internal/fault"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const (
	// maxGroup bounds how many renewals share a transaction, and with it how long
	// the first of them waits for the last.
	maxGroup = 256
	// turns is how often others get a turn before a group is taken to be complete.
	turns = 3
	// maxWait bounds how long a group waits for more.
	maxWait = 10 * time.Millisecond
)

// commits gathers renewals that arrive together, and makes one group of them at
// a time: two would wait for each other to append to the log, and each be half
// as large.
type commits struct {
	s    *Store
	ops  chan *commitOp // not buffered: an op that was received will be made
	took time.Duration  // by the last group; 0 if that was only one
}

// commitOp is one renewal on its way.
type commitOp struct {
	store.Renewal
	made bool // if not, and err is nil, the renewal has to be made alone
	err  error
	done chan struct{}
}

func newCommits(s *Store) *commits { return &commits{s: s, ops: make(chan *commitOp)} }

// Commit implements [store.Attempts].
func (s *Store) Commit(ctx context.Context, r store.Renewal) error {
	if err := s.begins(ctx); err != nil {
		return err
	}
	for _, e := range r.Events {
		if _, err := eventData(e); err != nil {
			return err
		}
	}
	o := &commitOp{Renewal: r, done: make(chan struct{})}
	select {
	case s.commits.ops <- o:
		<-o.done
	case <-ctx.Done():
		return ctx.Err()
	case <-s.life.Done():
		return errClosed
	}
	if o.made || o.err != nil {
		return o.err
	}
	return s.commitAlone(ctx, r)
}

// loop runs until the store closes.
func (c *commits) loop() {
	for {
		select {
		case o := <-c.ops:
			c.run(c.gather(o))
		case <-c.s.life.Done():
			return
		}
	}
}

// gather adds what is waiting now to a group, and what comes as soon as others
// have had their turn: a transaction costs far more than that. If there are many
// it waits for more, twice as long as the last group took. Renewals of a grant that
// has one in the group find out alone what became of it.
func (c *commits) gather(first *commitOp) []*commitOp {
	group := []*commitOp{first}
	grants := map[string]bool{first.GrantID: true}
	add := func(o *commitOp) {
		if grants[o.GrantID] {
			close(o.done) // behind the lock of the group's
			return
		}
		grants[o.GrantID] = true
		group = append(group, o)
	}
	for idle := 0; idle < turns && len(group) < maxGroup; {
		select {
		case o := <-c.ops:
			idle = 0
			add(o)
		default:
			idle++
			runtime.Gosched()
		}
	}
	if c.took == 0 {
		return group
	}
	over := time.NewTimer(min(2*c.took, maxWait))
	defer over.Stop()
	for len(group) < maxGroup {
		select {
		case o := <-c.ops:
			add(o)
		case <-over.C:
			return group
		}
	}
	return group
}

// run makes the renewals of a group together.
func (c *commits) run(group []*commitOp) {
	began := time.Now()
	events, err := c.try(group)
	for n := 1; again(err) && n < attempts; n++ {
		events, err = c.try(group)
	}
	for _, o := range group {
		switch {
		case err == nil:
		case errors.Is(err, store.ErrUnavailable):
			o.made, o.err = false, err
		default: // one of them is at fault; each finds out alone
			o.made = false
		}
		close(o.done)
	}
	c.took = 0
	if len(group) > 1 {
		c.took = time.Since(began)
	}
	if err == nil {
		c.s.trimmer.added(c.s, events)
	}
}

// commitQuery makes renewals current of grants that are connected and stay so,
// and returns which. Statuses do not change, so no connection does.
//
// $1 is the clock, $2 to $11 are renewals in columns, $12 to $20 their events,
// the first of which says whose, and $21 is the process.
const commitQuery = `WITH clock AS MATERIALIZED (
		SELECT coalesce($1::timestamptz, clock_timestamp()) AS now
	), r AS MATERIALIZED (
		SELECT * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[], $7::text[],
			$8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[]) WITH ORDINALITY
			AS r (grant_id, attempt, epoch, seq, sealed, scope, issued_at, expires_at, deadline_at, due_at, ord)
	), found AS MATERIALIZED (
		SELECT g.connection_id, g.id, r.ord, r.seq, r.scope, r.issued_at, r.expires_at, r.deadline_at, r.due_at
		FROM r JOIN grant_ids i ON i.id = r.grant_id JOIN grants g ON g.connection_id = i.connection_id AND g.id = i.id
		WHERE g.epoch = r.epoch AND g.seq = r.seq AND g.attempt = r.attempt
			AND g.state = 'connected' AND g.reason = 'ok' AND g.next_try_at IS NULL
		ORDER BY g.id FOR UPDATE OF g
	), renewed AS (
		UPDATE grants g SET seq = f.seq + 1, scope = f.scope, issued_at = f.issued_at, expires_at = f.expires_at,
			deadline_at = f.deadline_at, due_at = f.due_at, failures = 0, refusals = 0, refused_at = NULL, ` + closed + `
		FROM found f WHERE g.connection_id = f.connection_id AND g.id = f.id
		RETURNING f.ord, g.connection_id, g.id, g.app, g.key
	), kept AS (
		INSERT INTO credentials (connection_id, grant_id, slot, epoch, seq, attempt, sealed)
		SELECT u.connection_id, u.id, (r.seq + 1) % 2, r.epoch, r.seq + 1, r.attempt, r.sealed
		FROM renewed u JOIN r ON r.ord = u.ord
		ON CONFLICT (connection_id, grant_id, slot) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq,
			attempt = excluded.attempt, sealed = excluded.sealed
	), e AS MATERIALIZED (
		SELECT row_number() OVER (ORDER BY e.ord) AS n, e.type, coalesce(e.time, clock.now) AS time, e.connection,
			CASE WHEN e.mine AND e.grant_id = '' THEN e.id ELSE e.grant_id END AS grant_id,
			CASE WHEN e.mine AND e.app = '' THEN e.its_app ELSE e.app END AS app,
			CASE WHEN e.mine AND e.ref = '' THEN e.key || '@' || e.its_app ELSE e.ref END AS ref,
			e.reason, e.data
		FROM (SELECT e.ord, e.type, e.time, coalesce(nullif(e.connection, ''), u.connection_id) AS connection,
				e.connection IN ('', u.connection_id) AS mine, e.grant_id, e.app, e.ref, e.reason, e.data, u.id, u.app AS its_app, u.key
			FROM unnest($12::bigint[], $13::text[], $14::timestamptz[], $15::text[], $16::text[], $17::text[], $18::text[],
				$19::text[], $20::text[]) WITH ORDINALITY AS e (of, type, time, connection, grant_id, app, ref, reason, data, ord)
			JOIN renewed u ON u.ord = e.of) AS e, clock
	), seat AS (
		UPDATE event_log SET last = greatest(last, (floor(extract(epoch FROM clock.now) * 1000)::bigint << 15) - 1)
			+ (SELECT count(*) FROM e)
		FROM clock WHERE EXISTS (SELECT FROM e)
		RETURNING last, pg_notify('` + channel + `', '')
	), logged AS (
		INSERT INTO events (n, type, time, connection, grant_id, app, ref, reason, data, origin)
		SELECT seat.last - (SELECT count(*) FROM e) + e.n, e.type, e.time, e.connection, e.grant_id, e.app, e.ref, e.reason, e.data::json, $21
		FROM seat, e
	)
	SELECT u.ord, CASE WHEN u.ord <> ALL ($12::bigint[]) THEN pg_notify('` + channel + `', u.connection_id) END FROM renewed u`

// try sends a group in one transaction. It marks the renewals that were made and
// returns how many events they have.
func (c *commits) try(group []*commitOp) (events int, err error) {
	for _, o := range group {
		o.made, o.err = false, nil
	}
	if err := fault.Point("store.before-commit"); err != nil {
		return 0, fmt.Errorf("%w: commit: %w", store.ErrUnavailable, err)
	}
	ctx, cancel := c.s.detached()
	defer cancel()
	conn, err := c.s.acquire(ctx)
	if err != nil {
		return 0, dbError(err)
	}
	defer conn.Release()
	args, events := commitArgs(c.s.clock(), group)
	err = eachRow(conn.Query(ctx, commitQuery, append(args, c.s.origin)...))(func(row scanner) error {
		var ord int
		err := row.Scan(&ord, nil)
		if err == nil {
			group[ord-1].made = true
		}
		return err
	})
	if err != nil {
		c.s.suspect(err)
		return 0, dbError(err)
	}
	if err := fault.Point("store.committed"); err != nil { // durable, and nobody here knows
		return 0, fmt.Errorf("%w: the answer to a commit is lost: %w", store.ErrUnavailable, err)
	}
	return events, nil
}

// commitArgs are the arguments of commitQuery but the last.
func commitArgs(clock any, group []*commitOp) (args []any, events int) {
	n := len(group)
	ids, owners, scopes := make([]string, n), make([]string, n), make([]string, n)
	epochs, seqs := make([]int64, n), make([]int64, n)
	sealed := make([][]byte, n)
	var times [4][]pgtype.Timestamptz // issued, expires, deadline, due
	var of []int64
	var rows eventRows
	for i, o := range group {
		ids[i], owners[i], scopes[i] = text(o.GrantID), text(o.AttemptID), text(o.Scope)
		epochs[i], seqs[i], sealed[i] = o.Of.Epoch, o.Of.Seq, nonNil(o.Sealed)
		for j, t := range []time.Time{o.IssuedAt, o.Times.ExpiresAt, o.Times.DeadlineAt, o.Times.DueAt} {
			times[j] = append(times[j], stamp(t))
		}
		for _, e := range o.Events {
			_ = rows.add(e) // Commit has seen that its data is JSON
			of = append(of, int64(i+1))
		}
	}
	return []any{clock, ids, owners, epochs, seqs, sealed, scopes, times[0], times[1], times[2], times[3],
		nonNil(of), nonNil(rows.types), nonNil(rows.times), nonNil(rows.connections), nonNil(rows.grants), nonNil(rows.apps),
		nonNil(rows.refs), nonNil(rows.reasons), nonNil(rows.data)}, len(rows.types)
}

// commitAlone makes a renewal that may change its grant's status, or finds that
// it is made already or comes too late.
func (s *Store) commitAlone(ctx context.Context, r store.Renewal) error {
	return s.change(ctx, func(t *tx) error {
		h, err := t.hold(r.GrantID)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("grant %s is gone: %w", r.GrantID, store.ErrStale)
		}
		if err != nil {
			return err
		}
		if h.Version != r.Of || h.Attempt == nil || h.Attempt.ID != r.AttemptID {
			return t.committed(h, r)
		}
		return t.renew(h, r)
	})
}

// committed returns nil if the renewal is current, or was until the one after
// it, and ErrStale otherwise. The versions that are kept are just these two.
func (t *tx) committed(h held, r store.Renewal) error {
	t.about = ""
	connection, id := h.key()
	done, err := t.exists(`SELECT 1 FROM credentials WHERE connection_id = $1 AND grant_id = $2 AND attempt = $3 AND attempt <> ''`,
		connection, id, r.AttemptID)
	if err != nil || done {
		return err
	}
	return fmt.Errorf("grant %s: attempt %s of version %d.%d is not open: %w",
		r.GrantID, r.AttemptID, r.Of.Epoch, r.Of.Seq, store.ErrStale)
}

func (t *tx) renew(h held, r store.Renewal) error {
	next := r.Of.Next()
	st := h.Status.Become(grant.OK, t.now, time.Time{})
	connection, id := h.key()
	t.write(`INSERT INTO credentials (connection_id, grant_id, slot, epoch, seq, attempt, sealed)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (connection_id, grant_id, slot) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq,
			attempt = excluded.attempt, sealed = excluded.sealed`,
		connection, id, next.Seq%2, next.Epoch, next.Seq, r.AttemptID, nonNil(r.Sealed))
	t.write(`UPDATE grants SET seq = $3, scope = $4, issued_at = $5, expires_at = $6, deadline_at = $7, due_at = $8,
			state = $9, reason = $10, since = $11, next_try_at = $12, failures = 0, refusals = 0, refused_at = NULL, `+closed+`
		WHERE connection_id = $1 AND id = $2`,
		connection, id, next.Seq, r.Scope, stamp(r.IssuedAt), stamp(r.Times.ExpiresAt), stamp(r.Times.DeadlineAt), stamp(r.Times.DueAt),
		st.State, st.Reason, stamp(st.Since), stamp(st.NextTryAt))
	return t.conclude(h, st, r.Events)
}

// conclude adds the events of an attempt's end and, if the grant's status
// changed, what that makes of its connection.
func (t *tx) conclude(h held, is grant.Status, events []grant.Event) error {
	if err := t.emit(h.about, events...); err != nil || sameStatus(h.Status, is) {
		return err
	}
	return t.derive(h.connection, false)
}
