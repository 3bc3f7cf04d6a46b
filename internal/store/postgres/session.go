package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/store"
)

const (
	// grace is how long an owner whose lock is free may still come back: longer
	// than it takes to notice the loss and to connect again.
	grace = 5 * time.Second
	// pulse is how often the session is tried while nothing is claimed, and the
	// other owners are looked after.
	pulse = time.Second
	// reconnect is how long claims are refused after the session could not be had.
	reconnect = 250 * time.Millisecond
)

// session is the one on which this process opens attempts. It holds the lock of
// their owner for as long as it lasts. All but do is the loop's.
type session struct {
	s   *Store
	ops chan *claimOp // not buffered: an op that was received will be made

	owner   string        // of the lock that is held or wanted; "" before the first claim
	conn    *pgx.Conn     // nil: the lock is not held
	ended   []string      // owners of ours that are dead and that others do not know to be
	doubt   []store.Claim // made if the last COMMIT was, and known to nobody
	refused time.Time     // when the session could not be had
	state   string        // the incarnation of the database that the session leads to
	redone  string        // the one of which this process has redone what was lost
	sound   bool          // every owner that lives has redone it
	told    bool          // that the lock is lost
}

func newSession(s *Store) *session { return &session{s: s, ops: make(chan *claimOp)} }

// do makes a claim. Before it has begun, the end of ctx ends the wait.
func (n *session) do(ctx context.Context, o *claimOp) error {
	if err := n.s.begins(ctx); err != nil {
		return err
	}
	o.done = make(chan struct{})
	select {
	case n.ops <- o:
	case <-ctx.Done():
		return ctx.Err()
	case <-n.s.life.Done():
		return errClosed
	}
	<-o.done
	return o.err
}

// loop runs until the store closes.
func (n *session) loop() {
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	for {
		select {
		case o := <-n.ops:
			n.together(n.gather(o))
		case <-tick.C:
			n.tend()
		case <-n.s.life.Done():
			return
		}
	}
}

// gather adds what is waiting now.
func (n *session) gather(first *claimOp) []*claimOp {
	group := []*claimOp{first}
	for len(group) < maxGroup {
		select {
		case o := <-n.ops:
			group = append(group, o)
		default:
			return group
		}
	}
	return group
}

// together makes a group of claims: those of single grants in one transaction,
// in the order in which renewals lock them. What that does not claim, and all
// others, are made alone.
func (n *session) together(group []*claimOp) {
	ctx, cancel := n.s.detached()
	defer cancel()
	owner := group[0].r.Owner
	var openings []opening
	grants := make(map[string]bool)
	for _, o := range group {
		if o.grantID != "" && !o.r.Redo && o.r.Owner == owner && !grants[o.grantID] {
			grants[o.grantID] = true
			openings = append(openings, o.one(nil))
		}
	}
	slices.SortFunc(openings, func(a, b opening) int { return strings.Compare(a.op.grantID, b.op.grantID) })
	if len(openings) > 1 && n.hold(ctx, owner) == nil && n.whole(ctx) == nil {
		if err := n.open(ctx, openings...); err != nil {
			n.drop()
		}
	}
	for _, o := range group {
		if len(o.claims) == 0 {
			n.run(o)
		}
		close(o.done)
	}
}

// run makes one claim.
func (n *session) run(o *claimOp) {
	ctx, cancel := n.s.detached()
	defer cancel()
	if o.err = n.hold(ctx, o.r.Owner); o.err != nil {
		return
	}
	o.err = n.claim(ctx, o)
	if o.err != nil && !errors.Is(o.err, store.ErrStale) && !errors.Is(o.err, errBehind) {
		n.drop()
		o.err = dbError(o.err)
	}
}

// tend proves that the session lives, gets another one if not, and looks after
// the owners of other processes, so that the grace of those that are lost runs.
func (n *session) tend() {
	if n.owner == "" {
		return
	}
	ctx, cancel := n.s.detached()
	defer cancel()
	err := n.hold(ctx, n.owner)
	if err != nil {
		if !n.told {
			n.told = true
			n.s.o.Logger.Error("the database session that claims due grants is lost; trying again", "err", err)
		}
		return
	}
	if n.told {
		n.told = false
		n.s.o.Logger.Info("the database session that claims due grants is back")
	}
	if _, err := n.conn.Exec(ctx, watchQuery, n.s.clock(), grace); err != nil {
		n.drop()
	}
}

// hold makes sure that the lock of owner is held by a session that lives.
func (n *session) hold(ctx context.Context, owner string) error {
	if n.conn != nil && n.owner == owner && !n.conn.IsClosed() {
		return nil
	}
	if n.conn == nil && time.Since(n.refused) < reconnect {
		return fmt.Errorf("%w: no session holds the lock of %s", store.ErrUnavailable, owner)
	}
	if n.owner != owner {
		if n.owner != "" {
			n.ended = append(n.ended, n.owner)
		}
		n.owner = owner
	}
	if err := n.take(ctx); err != nil {
		n.refused = time.Now()
		n.drop()
		return dbError(err)
	}
	return nil
}

// take gets a session if there is none, and the lock of the owner. The loss of
// the old one may not be known to the server yet; it is this owner's, so the
// session that has it is ended.
func (n *session) take(ctx context.Context) (err error) {
	if n.conn == nil || n.conn.IsClosed() {
		if n.conn, err = pgx.ConnectConfig(ctx, claimConfig(n.s.config)); err != nil {
			n.conn = nil
			return err
		}
	}
	var held bool
	if err := n.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+ownerLock+`) FROM (SELECT $1::text AS id) AS o`, n.owner).Scan(&held); err != nil {
		return err
	}
	if !held {
		if _, err := n.conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM `+ownerLocks+`, (SELECT $1::text AS id) AS o
			WHERE key = `+ownerLock, n.owner); err != nil {
			return err
		}
		return fmt.Errorf("the lock of %s is still held by its session before", n.owner)
	}
	if err := n.undo(ctx); err != nil {
		return err
	}
	if err := n.register(ctx); err != nil {
		return err
	}
	return n.bury(ctx)
}

// bury says goodbye for the owners before this one: that they are dead is known,
// so nobody has to wait for their grace.
func (n *session) bury(ctx context.Context) error {
	if len(n.ended) == 0 {
		return nil
	}
	_, err := n.conn.Exec(ctx, `DELETE FROM owners WHERE id = ANY ($1)`, n.ended)
	if err == nil {
		_, err = n.conn.Exec(ctx, `SELECT pg_advisory_unlock(`+ownerLock+`) FROM unnest($1::text[]) AS o (id)`, n.ended)
	}
	if err == nil {
		n.ended = nil
	}
	return err
}

// drop ends a session that cannot be relied on. The server frees its lock.
func (n *session) drop() {
	if n.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), reconnect)
	defer cancel()
	_ = n.conn.Close(ctx)
	n.conn = nil
}

// close says goodbye and ends the session. Call it after the loop has ended.
func (n *session) close() error {
	if n.owner == "" {
		return nil
	}
	ctx, cancel := n.s.detached()
	defer cancel()
	err := n.goodbye(ctx)
	if err != nil { // the session was lost and nobody had noticed
		n.drop()
		err = n.goodbye(ctx)
	}
	if err != nil {
		n.s.o.Logger.Warn("the owner of this process's attempts could not say goodbye; others wait for its grace", "err", err)
	}
	n.drop()
	return nil
}

// goodbye forgets the owner, on another session if its own is lost.
func (n *session) goodbye(ctx context.Context) (err error) {
	if n.conn == nil || n.conn.IsClosed() {
		if n.conn, err = pgx.ConnectConfig(ctx, n.s.config); err != nil {
			n.conn = nil
			return err
		}
	}
	if _, err = n.conn.Exec(ctx, `DELETE FROM owners WHERE id = $1`, n.owner); err != nil {
		return err
	}
	// The end of a session is noticed by its server a moment later than here; its
	// locks are to be free now.
	_, err = n.conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`)
	return err
}

const (
	// ownerLock is the advisory lock of an owner o.
	ownerLock = `hashtextextended('evergrant owner ' || o.id, 0)`
	// ownerLocks are the advisory locks of this database that somebody holds.
	ownerLocks = `(SELECT pid, (classid::bigint << 32) | objid::bigint AS key FROM pg_locks
		WHERE locktype = 'advisory' AND granted AND objsubid = 1
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS l`

	// watchQuery begins and ends the grace of owners, and forgets those that are
	// dead for an hour; without a row and a lock they stay dead.
	watchQuery = `WITH clock AS MATERIALIZED (
		SELECT coalesce($1::timestamptz, clock_timestamp()) AS now
	), alive AS MATERIALIZED (
		SELECT o.id, ` + ownerLock + ` IN (SELECT key FROM ` + ownerLocks + `) AS held FROM owners o
	), forgotten AS (
		DELETE FROM owners o USING clock WHERE o.lost_at < clock.now - $2::interval - interval '1 hour'
	)
	UPDATE owners o SET lost_at = CASE WHEN a.held THEN NULL ELSE clock.now END
	FROM alive a, clock WHERE a.id = o.id AND (o.lost_at IS NULL) <> a.held`

	// deadQuery selects those of owners who hold no lock and either said goodbye
	// or have not come back within their grace.
	deadQuery = `SELECT o.id FROM unnest($1::text[]) AS o (id) LEFT JOIN owners w ON w.id = o.id
		WHERE ` + ownerLock + ` NOT IN (SELECT key FROM ` + ownerLocks + `)
			AND (w.id IS NULL OR w.lost_at <= coalesce($2::timestamptz, clock_timestamp()) - $3::interval)`
)

// dead returns which owners are dead. Those whose lock is found free begin their
// grace.
func (n *session) dead(ctx context.Context, owners []string) ([]string, error) {
	if _, err := n.conn.Exec(ctx, watchQuery, n.s.clock(), grace); err != nil {
		return nil, err
	}
	rows, err := n.conn.Query(ctx, deadQuery, owners, n.s.clock(), grace)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
