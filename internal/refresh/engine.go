package refresh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/telemetry"
	"github.com/evergrant/evergrant/provider"
)

// Store is what the engine needs of the store.
type Store interface {
	store.Attempts
	AppendEvents(ctx context.Context, events ...grant.Event) error
	Grant(ctx context.Context, id string) (grant.Grant, error)
	Credentials(ctx context.Context, grantID string) (grant.Grant, []byte, error)
	LiveGrants(ctx context.Context, app string, p store.Page) ([]string, string, error)
	CountConnections(ctx context.Context) ([]store.ConnectionCount, error)
	Install(ctx context.Context, in store.Installation) error
	Disconnect(ctx context.Context, grantID string, from grant.Version, reason grant.Reason, events ...grant.Event) error
	UpdateConnection(ctx context.Context, id string, change func(*grant.Connection) error, events ...grant.Event) (grant.Connection, error)
	store.Apps
	store.Runs
}

// Config is what an Engine works with. Fields without a comment are required.
type Config struct {
	Store   Store
	Ring    *seal.Ring
	Spool   *spool.Spool
	Mirror  store.Mirror // nil: there is none
	Sender  *oauth.Sender
	Apps    provider.Apps
	Metrics *telemetry.Metrics
	Logger  *slog.Logger
	Now     func() time.Time
	// Renewed is told of new credentials as soon as they may be handed out: after
	// their commit, or, with degraded set, after they are safe in the spool while
	// the store cannot be written.
	Renewed func(g grant.Grant, c grant.Credential, degraded bool)
	// Changed is told of a grant whose status changed without new credentials.
	Changed func(g grant.Grant)
	// Incident is told when an app comes under an incident or out of it.
	Incident func(app string)
	// Redone is told when the store lost commits and was brought up to date again.
	Redone func()
	// Exchange finishes a spooled code exchange.
	Exchange func(ctx context.Context, e spool.Entry) error
}

// The errors a demanded refresh can end with, besides the context's.
var (
	// ErrStopped: the engine is draining or not started.
	ErrStopped = errors.New("refreshing is stopped")
	// ErrBlocked: the app is under an incident, throttled, or its provider is down.
	ErrBlocked = errors.New("refreshing is held back")
	// ErrBusy: an attempt of unknown outcome has to be settled first.
	ErrBusy = errors.New("an earlier refresh is not settled yet")
	// ErrNotBegun: none was under way, and none may begin yet.
	ErrNotBegun = errors.New("no refresh is under way")
	// ErrNoRoom: the journal has no room for an answer, so nothing may be sent.
	ErrNoRoom = errors.New("the journal has no room for an answer")
	// ErrFailed: the refresh was tried and brought nothing.
	ErrFailed = errors.New("refresh failed")
)

// Engine renews grants. It is safe for concurrent use.
type Engine struct {
	c     Config
	owner string
	lanes map[string]*lane

	fleet   fleet
	pausing sync.Mutex // while store and gates are made to agree on what is paused

	mu      sync.Mutex
	flights map[string]*flight // by grant id
	running bool
	work    sync.WaitGroup // loops and attempts under way
	stop    context.CancelFunc
	life    context.Context
}

// New returns an Engine; it does nothing before Start.
func New(c Config) *Engine {
	e := &Engine{
		c: c, owner: grant.NewID("own_", c.Now()),
		lanes: make(map[string]*lane, len(c.Apps)), flights: make(map[string]*flight),
	}
	for name, app := range c.Apps {
		e.lanes[name] = newLane(e, app)
		c.Metrics.AppAccepted(name, true)
	}
	return e
}

// Start commits what an earlier process had received and begins renewing. It
// fails if the store cannot be written.
func (e *Engine) Start(ctx context.Context) error {
	if err := e.continues(ctx); err != nil {
		return fmt.Errorf("compare the store with the spool: %w", err)
	}
	if err := e.replay(ctx); err != nil {
		return fmt.Errorf("replay spool: %w", err)
	}
	if err := e.join(ctx); err != nil {
		return fmt.Errorf("find the other replicas: %w", err)
	}
	if !e.begin() {
		return nil
	}
	// From here on Follow hears of pauses; what was paused before is read now.
	if err := e.obey(ctx); err != nil {
		return errors.Join(err, e.Stop(ctx))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running {
		for _, l := range e.lanes {
			e.work.Go(func() { l.run(e.life) })
		}
	}
	return nil
}

// begin has the engine admit work, and reports whether it did not yet.
func (e *Engine) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running {
		return false
	}
	e.running = true
	e.life, e.stop = context.WithCancel(context.Background())
	return true
}

// Stop admits nothing more and waits, until ctx ends, for the attempts under way.
// An attempt that is cut off all the same is settled at the next start.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	if !e.running {
		e.mu.Unlock()
		return nil
	}
	e.running = false
	e.stop()
	e.mu.Unlock()

	done := make(chan struct{})
	go func() { e.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("stop refreshing: %w", ctx.Err())
	}
	if e.c.Spool.Stats().Entries > 0 {
		return nil // the next process needs this spool
	}
	if err := e.c.Store.EndRun(ctx, e.owner); err != nil {
		e.c.Logger.Warn("the end of this run could not be recorded", "err", err)
	}
	return nil
}

// admit reports whether new work may begin and, if so, counts it.
func (e *Engine) admit(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.running {
		return false
	}
	e.work.Go(f)
	return true
}

// Wake makes the lane of an app look for due grants now.
func (e *Engine) Wake(app string) {
	if l := e.lanes[app]; l != nil {
		l.poke()
	}
}

// Incident returns the incident an app is under.
func (e *Engine) Incident(app string) Incident {
	if l := e.lanes[app]; l != nil {
		return l.gate.incident()
	}
	return Incident{Reason: grant.OK}
}

// policy is an app's, or the careful one if the app left the configuration: its
// grants are brought up to date too, because it may come back.
func (e *Engine) policy(app string) grant.Policy {
	if a := e.c.Apps[app]; a != nil {
		return a.Policy
	}
	return grant.Policy{}
}

// spread is the random share of a backoff.
func (e *Engine) spread() float64 { return rand.Float64() }
