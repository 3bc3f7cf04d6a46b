package manager

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// duePage is how many grants RenewDue looks at in one query.
const duePage = 500

// RenewDue renews every grant that is due, and returns when each has been tried,
// with the time at which the next one is due, zero if there is none. The engine
// does so by itself; this is for those who move the clock and want to know that
// it has. It looks at every live grant, so it is not for large fleets.
func (m *Manager) RenewDue(ctx context.Context) (next time.Time, err error) {
	const op = "renew due"
	now := m.c.Now()
	due, _, err := m.due(ctx, now)
	if err != nil {
		return time.Time{}, m.internal(op, "", err)
	}
	var tries sync.WaitGroup
	for _, g := range due {
		// What comes of it shows in the grant.
		tries.Go(func() { _, _ = m.engine.Refresh(ctx, g.App, g.ID, g.Version) })
	}
	tries.Wait()
	if err := ctx.Err(); err != nil {
		return time.Time{}, m.internal(op, "", err)
	}
	_, next, err = m.due(ctx, now)
	return next, m.internal(op, "", err)
}

// due returns the grants that are due at now, and when the next one is.
func (m *Manager) due(ctx context.Context, now time.Time) (due []grant.Grant, next time.Time, err error) {
	for app := range m.c.Apps {
		for p := (store.Page{Limit: duePage}); ; {
			ids, cursor, err := m.c.Store.LiveGrants(ctx, app, p)
			if err != nil {
				return nil, time.Time{}, err
			}
			for _, id := range ids {
				g, err := m.c.Store.Grant(ctx, id)
				switch {
				case errors.Is(err, store.ErrNotFound):
				case err != nil:
					return nil, time.Time{}, err
				case g.DueAt.IsZero():
				case !g.DueAt.After(now):
					due = append(due, g)
				case next.IsZero() || g.DueAt.Before(next):
					next = g.DueAt
				}
			}
			if cursor == "" {
				break
			}
			p.Cursor = cursor
		}
	}
	return due, next, nil
}
