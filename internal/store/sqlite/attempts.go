package sqlite

import (
	"context"
	"database/sql"
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
	claimColumns = `g.n, g.connection_n, c.key, g.credential_n, g.previous_n, g.refreshed_n, v.sealed, ` + grantColumns
	claimTables  = grantTables + ` LEFT JOIN credentials v ON v.n = g.credential_n`
	// Without the plus SQLite would plan anew for each limit it is given.
	claimQuery = `SELECT ` + claimColumns + claimTables + ` WHERE g.app = ? AND g.due_at <= ? AND ` + isDue + `
		AND (g.attempt IS NULL OR g.attempt_unknown OR g.attempt_owner <> ?)
		ORDER BY g.due_at, g.n LIMIT +?`
	claimOneQuery = `SELECT ` + claimColumns + claimTables + ` WHERE g.id = ?`
)

// claimRow is a grant that is about to be claimed.
type claimRow struct {
	grantRow
	n, connectionN       int64
	key                  string
	credential, previous sql.NullInt64
	refreshed            int64
	sealed               []byte
}

func (r *claimRow) dest() []any {
	return append([]any{&r.n, &r.connectionN, &r.key, &r.credential, &r.previous, &r.refreshed, &r.sealed}, r.grantRow.dest()...)
}

// Claim implements [store.Attempts].
func (s *Store) Claim(ctx context.Context, r store.ClaimRequest) ([]store.Claim, error) {
	var claims []store.Claim
	err := s.w.do(ctx, func(t *tx) error {
		var due []claimRow
		err := t.each(claimQuery, []any{r.App, micros(t.now), r.Owner, max(r.Limit, 0)}, func(row scanner) error {
			var c claimRow
			err := row.Scan(c.dest()...)
			due = append(due, c)
			return err
		})
		if err != nil {
			return err
		}
		claims = make([]store.Claim, len(due))
		for i := range due {
			if claims[i], err = t.claim(r, due[i]); err != nil {
				return err
			}
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
		if err := t.get(claimOneQuery, []any{grantID}, row.dest()...); err != nil {
			return goneIsStale(grantID, err)
		}
		if err := unclaimable(row, r.Owner, of, t.now); err != nil {
			return err
		}
		var err error
		c, err = t.claim(r, row)
		return err
	})
	if err != nil {
		return store.Claim{}, err
	}
	return c, nil
}

// goneIsStale is what a method that names a version returns for a grant that is
// gone.
func goneIsStale(id string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("grant %s is gone: %w", id, store.ErrStale)
	}
	return err
}

// unclaimable says why a grant cannot be claimed at a version, and nil if it can.
func unclaimable(row claimRow, owner string, of grant.Version, now time.Time) error {
	why := ""
	switch due := row.DueAt; {
	case row.Version != of:
		why = "is at another version"
	case !row.Status.State.Live():
		why = "is not live"
	case !row.attempt.Valid:
		return nil
	case (due.IsZero() || due.After(now)) && !row.opened.OpenedAt.After(now):
		// One that was opened in the future was opened before the clock was set back.
		// When it is due is not known any more, and somebody waits for it.
		why = "has an open attempt that is not due"
	case !row.unknown.Bool && row.owner.String == owner:
		why = "has an open attempt whose owner lives"
	default:
		return nil
	}
	return fmt.Errorf("grant %s %s: %w", row.ID, why, store.ErrStale)
}

// claim opens an attempt on a grant. The row must have been read in this
// transaction, which nobody else can write in. An attempt that is open already is
// replaced.
func (t *tx) claim(r store.ClaimRequest, row claimRow) (store.Claim, error) {
	a := &grant.Attempt{ID: grant.NewID(grant.AttemptID, t.now), Owner: r.Owner, Kind: grant.FirstSend,
		Of: row.Version, OpenedAt: t.now}
	if row.attempt.Valid {
		a.Kind = grant.Resend
	}
	g := row.finish()
	c := store.Claim{Grant: g, Sealed: row.sealed, DueAt: g.DueAt, Repeats: g.Attempt}
	c.Grant.Attempt, c.Grant.DueAt = a, truncate(r.Barrier.At(t.now, g.ExpiresAt))
	_, err := t.exec(`UPDATE grants SET due_at = ?, attempt = ?, attempt_owner = ?, attempt_kind = ?, attempt_opened_at = ?,
			attempt_unknown = 0 WHERE n = ?`,
		orNull(c.Grant.DueAt), a.ID, a.Owner, string(a.Kind), micros(a.OpenedAt), row.n)
	if err == nil {
		t.w.opened.remember(a.ID, row)
	}
	return c, err
}

// Commit implements [store.Attempts].
func (s *Store) Commit(ctx context.Context, r store.Renewal) error {
	return s.w.do(ctx, func(t *tx) error {
		if h, ok := t.w.opened.take(r.AttemptID); ok && h.about.grant == r.GrantID && h.version == r.Of {
			if done, err := t.commit(h, r); done || err != nil {
				return err
			}
		}
		h, err := t.hold(r.GrantID)
		if err != nil {
			return goneIsStale(r.GrantID, err)
		}
		if h.version == r.Of {
			if done, err := t.commit(h, r); done || err != nil {
				return err
			}
		}
		return t.committed(h, r)
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

// commit makes a renewal current if its attempt is open.
func (t *tx) commit(h held, r store.Renewal) (bool, error) {
	n := h.previous.Int64
	if !h.previous.Valid {
		n = t.w.nextCredential()
	}
	refreshed := h.refreshed
	chained := len(r.Events) > 0 && h.ofRefresh(r.Events[0])
	if chained {
		refreshed = t.nextEvent()
	}
	next := r.Of.Next()
	st := h.status.Become(grant.OK, t.now, time.Time{})
	done, err := t.change(`UPDATE grants SET seq = ?, issued_at = ?, expires_at = ?, deadline_at = ?, due_at = ?,
			state = ?, reason = ?, since = ?, next_try_at = ?, failures = 0, refusals = 0, refused_at = 0,
			credential_n = ?, previous_n = credential_n, refreshed_n = ?,
			attempt = NULL, attempt_owner = NULL, attempt_kind = NULL, attempt_opened_at = NULL, attempt_unknown = NULL
		WHERE n = ? AND attempt = ?`,
		next.Seq, micros(r.IssuedAt), micros(r.Times.ExpiresAt), micros(r.Times.DeadlineAt), orNull(r.Times.DueAt),
		string(st.State), string(st.Reason), micros(st.Since), micros(st.NextTryAt), n, refreshed, h.n, r.AttemptID)
	if !done || err != nil {
		return false, err
	}
	if err := t.keep(h, n, next, r); err != nil {
		return false, err
	}
	if h.scope != r.Scope {
		if _, err := t.exec(`UPDATE consents SET scope = ? WHERE grant_n = ?`, r.Scope, h.n); err != nil {
			return false, err
		}
	}
	events := r.Events
	if chained {
		if err := t.append(h.about, events[0], h.refreshed); err != nil {
			return false, err
		}
		events = events[1:]
	}
	return true, t.conclude(h, st, events)
}

// keep writes a version's credentials: over those of the version before the
// current one, which nobody needs any more, if there is one. The current
// version is never overwritten.
func (t *tx) keep(h held, n int64, v grant.Version, r store.Renewal) error {
	if !h.previous.Valid {
		return t.addCredentials(n, h.n, v, r.AttemptID, r.Sealed)
	}
	done, err := t.change(`UPDATE credentials SET epoch = ?, seq = ?, attempt = ?, sealed = ? WHERE n = ? AND grant_n = ?`,
		v.Epoch, v.Seq, r.AttemptID, nonNil(r.Sealed), n, h.n)
	if err == nil && !done {
		err = fmt.Errorf("grant %s: its previous credentials are not where it says they are", h.about.grant)
	}
	return err
}

// addCredentials writes a version's credentials where there were none.
func (t *tx) addCredentials(n, grantN int64, v grant.Version, attempt string, sealed []byte) error {
	_, err := t.exec(`INSERT INTO credentials (n, grant_n, epoch, seq, attempt, sealed) VALUES (?, ?, ?, ?, ?, ?)`,
		n, grantN, v.Epoch, v.Seq, attempt, nonNil(sealed))
	return err
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
		t.w.opened.take(r.AttemptID) // its grant's status is not what it was
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
