package postgres

import (
	"context"
	"fmt"

	"github.com/evergrant/evergrant/internal/store"
)

// incarnationQuery tells a database from one that it was: a server's identity,
// and the timeline, which changes when a standby is promoted or a backup restored.
const incarnationQuery = `SELECT c.system_identifier::text || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system() c`

// register makes the owner known. What a new process has to redo it has redone;
// one that is known already, or was before the database went back, has still to.
func (n *session) register(ctx context.Context) error {
	n.sound = false
	if err := n.conn.QueryRow(ctx, incarnationQuery).Scan(&n.state); err != nil {
		return err
	}
	if n.redone == "" {
		n.redone = n.state
	}
	_, err := n.conn.Exec(ctx, `INSERT INTO owners (id, incarnation) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET lost_at = NULL`, n.owner, n.redone)
	return err
}

// whole returns nil if nobody who lives has anything to redo in this incarnation
// of the database. An owner whose session is lost may come back within its grace.
func (n *session) whole(ctx context.Context) error {
	if n.sound {
		return nil
	}
	if _, err := n.conn.Exec(ctx, watchQuery, n.s.clock(), grace); err != nil {
		return err
	}
	var missing int
	err := n.conn.QueryRow(ctx, `SELECT count(*) FROM owners WHERE incarnation <> $1
		AND (lost_at IS NULL OR lost_at > coalesce($2::timestamptz, clock_timestamp()) - $3::interval)`, n.state, n.s.clock(), grace).Scan(&missing)
	if err != nil {
		return err
	}
	if missing > 0 {
		return fmt.Errorf("%w: %d replicas have not", errBehind, missing)
	}
	n.sound = true
	return nil
}

// errBehind keeps everybody from claiming what another has renewed already.
var errBehind = fmt.Errorf("%w: the database went back to an earlier state, and what it lost has to be redone", store.ErrUnavailable)

// Replicas implements [store.Attempts]. Who has died is found out by whoever
// lives, within [pulse].
func (s *Store) Replicas(ctx context.Context, owner string) (f store.Fleet, err error) {
	err = s.session.do(ctx, &claimOp{r: store.ClaimRequest{Owner: owner}, other: func(ctx context.Context, n *session) error {
		f.Incarnation = n.state
		return n.conn.QueryRow(ctx, `SELECT count(*) FROM owners WHERE lost_at IS NULL`).Scan(&f.Size)
	}})
	return f, err
}

// Redone implements [store.Attempts].
func (s *Store) Redone(ctx context.Context, owner, incarnation string) error {
	return s.session.do(ctx, &claimOp{r: store.ClaimRequest{Owner: owner}, other: func(ctx context.Context, n *session) error {
		_, err := n.conn.Exec(ctx, `UPDATE owners SET incarnation = $2 WHERE id = $1`, owner, incarnation)
		if err == nil {
			n.redone = incarnation
		}
		return err
	}})
}
