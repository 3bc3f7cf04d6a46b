package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Claim implements [store.Attempts].
func (s *Store) Claim(ctx context.Context, r store.ClaimRequest) ([]store.Claim, error) {
	o := &claimOp{r: r}
	if err := s.session.do(ctx, o); err != nil {
		return nil, err
	}
	return o.claims, nil
}

// ClaimOne implements [store.Attempts].
func (s *Store) ClaimOne(ctx context.Context, r store.ClaimRequest, grantID string, of grant.Version) (store.Claim, error) {
	o := &claimOp{r: r, grantID: grantID, of: of}
	if err := s.session.do(ctx, o); err != nil {
		return store.Claim{}, err
	}
	return o.claims[0], nil
}

// The statements that open attempts differ in how they pick grants. Either way
// $1 is the clock, $2 the owner, $3 the owners known to be dead, $4 the new
// attempts' ids, and $5 to $7 the barrier; the picked rows have an attempt that
// may be opened, and are locked.
const (
	clockAndPick = `WITH clock AS MATERIALIZED (
		SELECT coalesce($1::timestamptz, clock_timestamp()) AS now
	), due AS MATERIALIZED (`

	pickedColumns = `g.connection_id, g.id, g.due_at, g.attempt, g.attempt_owner, g.attempt_kind, g.attempt_opened_at, g.attempt_unknown`

	openAndRead = `), picked AS MATERIALIZED (
		SELECT *, row_number() OVER (ORDER BY due_at) AS n FROM due
	), opened AS (
		UPDATE grants g SET attempt = ($4::text[])[p.n], attempt_owner = $2,
			attempt_kind = CASE WHEN p.attempt IS NULL THEN '` + string(grant.FirstSend) + `' ELSE '` + string(grant.Resend) + `' END,
			attempt_opened_at = clock.now, attempt_unknown = false,
			due_at = greatest(clock.now + $5::interval, CASE WHEN $6::boolean THEN g.expires_at - $7::interval END)
		FROM picked p, clock
		WHERE g.connection_id = p.connection_id AND g.id = p.id
		RETURNING g.*, p.n, p.due_at AS was_due, p.attempt AS was_attempt, p.attempt_owner AS was_owner, p.attempt_kind AS was_kind,
			p.attempt_opened_at AS was_opened_at, p.attempt_unknown AS was_unknown
	)
	SELECT v.sealed, g.was_due, g.was_attempt, g.was_owner, g.was_kind, g.was_opened_at, g.was_unknown, ` + grantColumns + ` FROM opened g` + current + ` ORDER BY g.n`

	// takeable is an attempt that does not keep another from being opened.
	takeable = `g.attempt_unknown OR g.attempt_owner = ANY ($3::text[])`

	claimQuery = clockAndPick + `
		SELECT ` + pickedColumns + ` FROM grants g
		WHERE g.app = $8 AND g.due_at <= (SELECT now FROM clock) AND ` + isDue + `
			AND (g.attempt IS NULL OR ` + takeable + `)
		ORDER BY g.due_at LIMIT $9 FOR UPDATE SKIP LOCKED
	` + openAndRead

	claimOneQuery = clockAndPick + `
		SELECT ` + pickedColumns + `
		FROM grant_ids i JOIN grants g ON g.connection_id = i.connection_id AND g.id = i.id
		WHERE i.id = $8 AND g.epoch = $9 AND g.seq = $10 AND g.state IN ('connected', 'degraded')
			AND (g.attempt IS NULL OR (g.due_at <= (SELECT now FROM clock) OR g.attempt_opened_at > (SELECT now FROM clock)) AND (` + takeable + `))
		FOR UPDATE OF g
	` + openAndRead

	// strangersQuery finds owners of due attempts that are neither given up nor
	// ours.
	strangersQuery = `SELECT DISTINCT g.attempt_owner FROM grants g
		WHERE g.app = $1 AND g.due_at <= coalesce($2::timestamptz, clock_timestamp()) AND ` + isDue + `
			AND g.attempt IS NOT NULL AND NOT g.attempt_unknown AND g.attempt_owner <> $3`
)

// claimOp is a claim on its way: of due grants, or of one; or something else that
// the owner's session does.
type claimOp struct {
	r       store.ClaimRequest
	grantID string
	of      grant.Version
	other   func(ctx context.Context, n *session) error

	claims []store.Claim
	err    error
	done   chan struct{}
}

// claim makes one claim on the owner's session.
func (n *session) claim(ctx context.Context, o *claimOp) error {
	if o.other != nil {
		return o.other(ctx, n)
	}
	if !o.r.Redo {
		if err := n.whole(ctx); err != nil {
			return err
		}
	}
	if o.grantID != "" {
		return n.claimOne(ctx, o)
	}
	return n.claimDue(ctx, o)
}

// one is the opening of a claim of one grant.
func (o *claimOp) one(dead []string) opening {
	return opening{o, dead, 1, claimOneQuery, []any{text(o.grantID), o.of.Epoch, o.of.Seq}}
}

// due is the opening of a claim of at most limit due grants.
func (o *claimOp) due(dead []string, limit int) opening {
	return opening{o, dead, limit, claimQuery, []any{o.r.App, limit}}
}

// claimDue claims what is free first, and, if that is not enough, what dead
// owners left.
func (n *session) claimDue(ctx context.Context, o *claimOp) error {
	if o.r.Limit <= 0 {
		return nil
	}
	err := n.open(ctx, o.due(nil, o.r.Limit))
	if err != nil || len(o.claims) == o.r.Limit {
		return err
	}
	dead, err := n.deadStrangers(ctx, o)
	if err == nil && len(dead) > 0 {
		err = n.open(ctx, o.due(dead, o.r.Limit-len(o.claims)))
	}
	if len(o.claims) > 0 && err != nil {
		n.drop() // what was claimed before is claimed
		return nil
	}
	return err
}

// deadStrangers returns the dead owners of due attempts.
func (n *session) deadStrangers(ctx context.Context, o *claimOp) ([]string, error) {
	rows, err := n.conn.Query(ctx, strangersQuery, o.r.App, n.s.clock(), o.r.Owner)
	if err != nil {
		return nil, err
	}
	strangers, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(strangers) == 0 {
		return nil, err
	}
	return n.dead(ctx, strangers)
}

// claimOne claims one grant, or says why that cannot be.
func (n *session) claimOne(ctx context.Context, o *claimOp) error {
	var dead []string
	for {
		err := n.open(ctx, o.one(dead))
		if err != nil || len(o.claims) > 0 {
			return err
		}
		why, stranger, err := n.unclaimable(ctx, o)
		if err != nil {
			return err
		}
		if stranger != "" && dead == nil {
			if dead, err = n.dead(ctx, []string{stranger}); err != nil {
				return err
			}
			if len(dead) > 0 {
				continue
			}
		}
		return fmt.Errorf("grant %s %s: %w", o.grantID, why, store.ErrStale)
	}
}

// unclaimable says why a grant could not be claimed, and whose attempt it is if
// it could be had that owner died.
func (n *session) unclaimable(ctx context.Context, o *claimOp) (why, stranger string, err error) {
	var r grantRow
	var now time.Time
	err = n.conn.QueryRow(ctx, `SELECT coalesce($2::timestamptz, clock_timestamp()), `+grantColumns+grantByID+` WHERE i.id = $1`,
		text(o.grantID), n.s.clock()).Scan(append([]any{timeColumn{&now}}, r.dest()...)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return "is gone", "", nil
	}
	if err != nil {
		return "", "", err
	}
	g := r.finish()
	switch {
	case g.Version != o.of:
		return "is at another version", "", nil
	case !g.Status.State.Live():
		return "is not live", "", nil
	case g.Attempt == nil:
		return "was being changed", "", nil
	case (g.DueAt.IsZero() || g.DueAt.After(now)) && !g.Attempt.OpenedAt.After(now):
		// One that was opened in the future was opened before the clock was set back.
		return "has an open attempt that is not due", "", nil
	case g.Attempt.Owner != o.r.Owner:
		stranger = g.Attempt.Owner
	}
	return "has an open attempt whose owner lives", stranger, nil
}

// opening is a statement that opens attempts for a claim.
type opening struct {
	op    *claimOp
	dead  []string
	limit int
	query string
	pick  []any // the arguments by which it picks grants
}

// args are the statement's arguments.
func (p opening) args(clock any) []any {
	ids := make([]string, p.limit)
	for i := range ids {
		ids[i] = grant.NewID(grant.AttemptID, time.Now())
	}
	b := p.op.r.Barrier
	return append([]any{clock, p.op.r.Owner, nonNil(p.dead), ids, b.Settle, b.Guard, b.Lead}, p.pick...)
}

// open opens attempts in one transaction and adds the claims to their ops. Until
// the outcome of the COMMIT is known, the claims are in doubt: if it is lost, the
// session undoes them before it claims anything else, because nobody knows of
// them and their owner lives.
func (n *session) open(ctx context.Context, openings ...opening) error {
	claims := make([][]store.Claim, len(openings))
	var b pgx.Batch
	b.Queue(`BEGIN`)
	for i, p := range openings {
		b.Queue(p.query, p.args(n.s.clock())...).Query(func(rows pgx.Rows) error {
			return eachRow(rows, nil)(func(row scanner) error {
				c, err := scanClaim(row)
				claims[i] = append(claims[i], c)
				return err
			})
		})
	}
	if err := n.conn.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	n.doubt = slices.Concat(claims...)
	if tag, err := n.conn.Exec(ctx, `COMMIT`); err != nil || tag.String() != "COMMIT" {
		return errors.Join(fmt.Errorf("commit became %q", tag), err)
	}
	n.doubt = nil
	for i, p := range openings {
		p.op.claims = append(p.op.claims, claims[i]...)
	}
	return nil
}

// scanClaim reads what openAndRead selects.
func scanClaim(row scanner) (store.Claim, error) {
	var is, was grantRow
	var c store.Claim
	err := row.Scan(append(append([]any{&c.Sealed, timeColumn{&c.DueAt}}, was.attemptDest()...), is.dest()...)...)
	if err != nil {
		return c, err
	}
	c.Grant = is.finish()
	was.Version = c.Grant.Version
	c.Repeats = was.finish().Attempt
	return c, nil
}

// undo takes back the claims that are in doubt: nothing was sent for them.
func (n *session) undo(ctx context.Context) error {
	for _, c := range n.doubt {
		g := c.Grant
		args := []any{g.ConnectionID, g.ID, g.Attempt.ID, stamp(c.DueAt), nil, nil, nil, nil, false}
		if a := c.Repeats; a != nil {
			args = append(args[:4], a.ID, a.Owner, a.Kind, stamp(a.OpenedAt), a.Unknown)
		}
		_, err := n.conn.Exec(ctx, `UPDATE grants SET due_at = $4, attempt = $5, attempt_owner = $6, attempt_kind = $7,
				attempt_opened_at = $8, attempt_unknown = $9
			WHERE connection_id = $1 AND id = $2 AND attempt = $3`, args...)
		if err != nil {
			return err
		}
	}
	n.doubt = nil
	return nil
}
