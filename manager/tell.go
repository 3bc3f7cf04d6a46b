package manager

import (
	"context"
	"errors"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
)

// tellPatience is how long one look at the log waits for news, and tellAgain how
// long it rests after a look that failed.
const (
	tellPatience = time.Minute
	tellAgain    = time.Second
)

// lastEvent is the id of the newest event, "" if there is none.
func (m *Manager) lastEvent(ctx context.Context) (string, error) {
	p, err := m.core.Client.Events(ctx, client.EventFilter{NewestFirst: true, Limit: 1})
	if err != nil || len(p.Data) == 0 {
		return "", err
	}
	return p.Data[0].ID, nil
}

// tellSince tells of the events after the one with id last, until ctx ends.
func (m *Manager) tellSince(ctx context.Context, last string) {
	for ctx.Err() == nil {
		p, err := m.core.Client.Events(ctx, client.EventFilter{After: last, Wait: tellPatience})
		for _, e := range p.Data {
			if ctx.Err() != nil {
				return
			}
			m.tell(ctx, e)
			last = e.ID
		}
		if err != nil && ctx.Err() == nil && !m.closed.Load() {
			m.log.Warn("events cannot be told of; trying again", "err", err)
			rest(ctx, retryAfter(err))
		}
	}
}

// retryAfter is how long to rest after an error.
func retryAfter(err error) time.Duration {
	var e *evergrant.Error
	if errors.As(err, &e) {
		return max(e.RetryAfter, tellAgain)
	}
	return tellAgain
}

// rest waits until d has passed or ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
