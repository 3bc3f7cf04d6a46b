package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// isDue is what makes grants_due the index to answer from.
const isDue = `g.due_at IS NOT NULL AND g.state IN ('connected', 'degraded')`

const nextDueQuery = `SELECT g.due_at FROM grants g WHERE g.app = ? AND ` + isDue + ` ORDER BY g.due_at LIMIT 1`

// NextDue implements [store.Attempts].
func (s *Store) NextDue(ctx context.Context, app string) (time.Time, bool, error) {
	var due time.Time
	err := s.get(ctx, nextDueQuery, []any{app}, timeColumn{&due})
	if errors.Is(err, store.ErrNotFound) {
		return time.Time{}, false, nil
	}
	return due, err == nil, err
}

const (
	claimColumns = `g.n, g.due_at, v.sealed, ` + grantColumns
	claimTables  = grantTables + ` LEFT JOIN credentials v ON v.n = g.credential_n`
	claimQuery   = `SELECT ` + claimColumns + claimTables + ` WHERE g.app = ? AND g.due_at <= ? AND ` + isDue + `
		AND (g.attempt IS NULL OR g.attempt_unknown OR g.attempt_owner <> ?)
		ORDER BY g.due_at, g.n LIMIT ?`
)

// claimRow is a grant that is about to be claimed.
type claimRow struct {
	grantRow
	n      int64
	due    time.Time
	sealed []byte
}

func (r *claimRow) dest() []any {
	return append([]any{&r.n, timeColumn{&r.due}, &r.sealed}, r.grantRow.dest()...)
}

// Claim implements [store.Attempts].
func (s *Store) Claim(ctx context.Context, r store.ClaimRequest) ([]store.Claim, error) {
	var claims []store.Claim
	err := s.w.do(ctx, func(t *tx) error {
		claims = nil
		var rows []claimRow
		err := t.each(claimQuery, []any{r.App, micros(t.now), r.Owner, max(r.Limit, 0)},
			func(row scanner) error {
				var c claimRow
				err := row.Scan(c.dest()...)
				rows = append(rows, c)
				return err
			})
		if err != nil {
			return err
		}
		for _, row := range rows {
			c, err := t.claim(r, row)
			if err != nil {
				return err
			}
			claims = append(claims, c)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claims, nil
}

// ClaimOne implements [store.Attempts].
func (s *Store) ClaimOne(ctx context.Context, r store.ClaimRequest, grantID string, of grant.Version) (store.Claim, error) {
	var c store.Claim
	err := s.w.do(ctx, func(t *tx) error {
		var row claimRow
		err := t.get(`SELECT `+claimColumns+claimTables+` WHERE g.id = ?`, []any{grantID}, row.dest()...)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("grant %s is gone: %w", grantID, store.ErrStale)
		}
		if err != nil {
			return err
		}
		if why := unclaimable(row, r.Owner, of, t.now); why != "" {
			return fmt.Errorf("grant %s %s: %w", grantID, why, store.ErrStale)
		}
		c, err = t.claim(r, row)
		return err
	})
	if err != nil {
		return store.Claim{}, err
	}
	return c, nil
}

// unclaimable says why a grant cannot be claimed at a version, and "" if it can.
func unclaimable(row claimRow, owner string, of grant.Version, now time.Time) string {
	switch {
	case row.Version != of:
		return "is at another version"
	case !row.Status.State.Live():
		return "is not live"
	case !row.attempt.Valid:
		return ""
	case (row.due.IsZero() || row.due.After(now)) && !row.opened.OpenedAt.After(now):
		// One that was opened in the future was opened before the clock was set back.
		// When it is due is not known any more, and somebody waits for it.
		return "has an open attempt that is not due"
	case !row.unknown.Bool && row.owner.String == owner:
		return "has an open attempt whose owner lives"
	}
	return ""
}

// claim opens an attempt on a grant. One that is open already is replaced.
func (t *tx) claim(r store.ClaimRequest, row claimRow) (store.Claim, error) {
	a := &grant.Attempt{ID: grant.NewID(grant.AttemptID, t.now), Owner: r.Owner, Kind: grant.FirstSend,
		Of: row.Version, OpenedAt: t.now}
	if row.attempt.Valid {
		a.Kind = grant.Resend
	}
	g := row.finish()
	repeats := g.Attempt
	g.Attempt, g.DueAt = a, truncate(r.Barrier.At(t.now, g.ExpiresAt))
	_, err := t.exec(`UPDATE grants SET due_at = ?, attempt = ?, attempt_owner = ?, attempt_kind = ?, attempt_opened_at = ?,
			attempt_unknown = 0 WHERE n = ?`,
		orNull(g.DueAt), a.ID, a.Owner, string(a.Kind), micros(a.OpenedAt), row.n)
	if err != nil {
		return store.Claim{}, err
	}
	return store.Claim{Grant: g, Sealed: row.sealed, DueAt: row.due, Repeats: repeats}, nil
}

// Commit implements [store.Attempts].
func (s *Store) Commit(ctx context.Context, r store.Renewal) error {
	return s.w.do(ctx, func(t *tx) error {
		h, err := t.hold(r.GrantID)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("grant %s is gone: %w", r.GrantID, store.ErrStale)
		}
		if err != nil {
			return err
		}
		if h.version != r.Of || h.attempt.String != r.AttemptID || !h.attempt.Valid {
			return t.committed(h, r)
		}
		return t.commit(h, r)
	})
}

// committed returns nil if the renewal is current, or was until the one after
// it, and ErrStale otherwise.
func (t *tx) committed(h held, r store.Renewal) error {
	done, err := t.exists(`SELECT 1 FROM credentials WHERE n IN (?, ?) AND attempt = ? AND attempt <> ''`,
		h.credential, h.previous, r.AttemptID)
	if err != nil || done {
		return err
	}
	return fmt.Errorf("grant %s: attempt %s of version %d.%d is not open: %w",
		r.GrantID, r.AttemptID, r.Of.Epoch, r.Of.Seq, store.ErrStale)
}

func (t *tx) commit(h held, r store.Renewal) error {
	next := r.Of.Next()
	n, err := t.keep(h, next, r.AttemptID, r.Sealed)
	if err != nil {
		return err
	}
	st := h.status.Become(grant.OK, t.now, time.Time{})
	_, err = t.exec(`UPDATE grants SET seq = ?, issued_at = ?, expires_at = ?, deadline_at = ?, due_at = ?,
			state = ?, reason = ?, since = ?, next_try_at = ?, failures = 0, refusals = 0, refused_at = 0,
			credential_n = ?, previous_n = credential_n,
			attempt = NULL, attempt_owner = NULL, attempt_kind = NULL, attempt_opened_at = NULL, attempt_unknown = NULL
		WHERE n = ?`,
		next.Seq, micros(r.IssuedAt), micros(r.Times.ExpiresAt), micros(r.Times.DeadlineAt), orNull(r.Times.DueAt),
		string(st.State), string(st.Reason), micros(st.Since), micros(st.NextTryAt), n, h.n)
	if err != nil {
		return err
	}
	if h.scope != r.Scope {
		if _, err := t.exec(`UPDATE consents SET scope = ? WHERE grant_n = ?`, r.Scope, h.n); err != nil {
			return err
		}
	}
	return t.conclude(h, st, r.Events)
}

// keep writes a version's credentials and returns the number of their row: that
// of the version before the current one, which nobody needs any more, or a new
// one. The current version is never overwritten.
func (t *tx) keep(h held, v grant.Version, attempt string, sealed []byte) (int64, error) {
	if !h.previous.Valid {
		return t.insert(`INSERT INTO credentials (grant_n, epoch, seq, attempt, sealed) VALUES (?, ?, ?, ?, ?)`,
			h.n, v.Epoch, v.Seq, attempt, nonNil(sealed))
	}
	r, err := t.exec(`UPDATE credentials SET epoch = ?, seq = ?, attempt = ?, sealed = ? WHERE n = ? AND grant_n = ?`,
		v.Epoch, v.Seq, attempt, nonNil(sealed), h.previous, h.n)
	if err != nil {
		return 0, err
	}
	rows, err := r.RowsAffected()
	if err == nil && rows != 1 {
		err = fmt.Errorf("grant %s: its previous credentials are not where it says they are", h.about.grant)
	}
	return h.previous.Int64, err
}

// conclude writes the events of an attempt's end and, if the grant's status
// changed, what that makes of its connection.
func (t *tx) conclude(h held, is grant.Status, events []grant.Event) error {
	if err := t.emit(h.about, events...); err != nil || sameStatus(h.status, is) {
		return err
	}
	return t.derive(h.connectionN, false)
}

// Settle implements [store.Attempts].
func (s *Store) Settle(ctx context.Context, r store.Settlement) error {
	return s.w.do(ctx, func(t *tx) error {
		h, err := t.holdAt(r.GrantID, r.Of)
		if err != nil {
			return err
		}
		if !h.attempt.Valid || h.attempt.String != r.AttemptID {
			return fmt.Errorf("grant %s: attempt %s is not open: %w", r.GrantID, r.AttemptID, store.ErrStale)
		}
		end := `, attempt = NULL, attempt_owner = NULL, attempt_kind = NULL, attempt_opened_at = NULL, attempt_unknown = NULL`
		if r.Hold {
			end = `, attempt_unknown = 1`
		}
		_, err = t.exec(`UPDATE grants SET due_at = ?, state = ?, reason = ?, since = ?, next_try_at = ?,
				failures = ?, refusals = ?, refused_at = ?`+end+` WHERE n = ?`,
			orNull(r.DueAt), string(r.Status.State), string(r.Status.Reason), micros(r.Status.Since), micros(r.Status.NextTryAt),
			r.Failures, r.Refusals, micros(r.RefusedAt), h.n)
		if err != nil {
			return err
		}
		return t.conclude(h, r.Status, r.Events)
	})
}
