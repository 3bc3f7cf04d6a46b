package manager

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evergrant/evergrant/provider"
)

// How what grants reach is read again, of each app by itself, so that one
// provider's trouble delays no other. A process reads at most readBatch grants
// every readPace, which is a million a day; a fleet shares the work, because what
// one process has claimed is not due to another.
const (
	readBatch  = 32
	readAtOnce = 4
	readPace   = 2 * time.Second
	readIdle   = 30 * time.Second // between two looks when nothing was due
	readSick   = 5 * time.Minute  // after a batch that mostly failed
	// readRetry is when a grant is due again that could not be read, or whose reader
	// has died.
	readRetry = time.Hour
)

// reader keeps what is known of grants' reach true.
type reader struct {
	mu      sync.Mutex
	wake    map[string]chan struct{} // by app
	stop    context.CancelFunc
	running sync.WaitGroup
}

// startReading begins to read. Called again it does nothing.
func (m *Manager) startReading() {
	r := &m.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop, r.wake = cancel, make(map[string]chan struct{})
	for name, app := range m.c.Apps {
		r.running.Go(func() { m.watchDeadlines(ctx, name, app) })
		if app.Recipe.Discover == nil {
			continue
		}
		wake := make(chan struct{}, 1)
		r.wake[name] = wake
		r.running.Go(func() { m.readLoop(ctx, name, app, wake) })
	}
}

// stopReading ends the reading and waits for it.
func (m *Manager) stopReading() {
	r := &m.reader
	r.mu.Lock()
	if r.stop != nil {
		r.stop()
	}
	r.mu.Unlock()
	r.running.Wait()
}

// readSoon has what is due to be read of an app looked for at once.
func (m *Manager) readSoon(app string) {
	m.reader.mu.Lock()
	wake := m.reader.wake[app]
	m.reader.mu.Unlock()
	select {
	case wake <- struct{}{}:
	default: // it is awake, or there is nothing to read of this app
	}
}

func (m *Manager) readLoop(ctx context.Context, name string, app *provider.App, wake <-chan struct{}) {
	for {
		wait := m.readDue(ctx, name, app)
		if !sleep(ctx, min(wait, readPace), nil) || !sleep(ctx, wait-readPace, wake) {
			return
		}
	}
}

// readDue reads what is due, a batch at most, and returns how long to wait before
// the next one.
func (m *Manager) readDue(ctx context.Context, name string, app *provider.App) time.Duration {
	ids, err := m.c.Store.ClaimReadings(ctx, name, readBatch, readRetry)
	if err != nil {
		if ctx.Err() == nil {
			m.c.Logger.WarnContext(ctx, "what is due to be read of grants' locations is not known", "app", name, "err", err)
		}
		return readIdle
	}
	var (
		work   errgroup.Group
		mu     sync.Mutex
		failed int
	)
	work.SetLimit(readAtOnce)
	for _, id := range ids {
		work.Go(func() error {
			err := m.readGrant(ctx, app, id, false)
			if err == nil || ctx.Err() != nil || errors.Is(err, provider.ErrNoDiscovery) || errors.Is(err, errNoToken) || errors.Is(err, errOutdated) {
				return nil
			}
			m.c.Logger.WarnContext(ctx, "locations could not be read", "grant", id, "err", err)
			mu.Lock()
			defer mu.Unlock()
			failed++
			return nil
		})
	}
	_ = work.Wait() // nothing returns an error
	switch {
	case failed > len(ids)/2:
		return readSick
	case len(ids) == readBatch:
		return readPace
	}
	return readIdle
}

// sleep waits, for as long as it is not woken, and reports whether to go on.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-wake:
		return true
	case <-ctx.Done():
		return false
	}
}
