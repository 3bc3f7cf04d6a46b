// Package manager is Evergrant inside your own program: the engine that evergrant
// serve runs, without a server. It renews grants while [Manager.Run] runs, hands
// out tokens without leaving the process, and serves the pages on which merchants
// connect from a handler that you mount.
//
//	m, err := manager.New(ctx, manager.Config{ … })
//	if err != nil { … }
//	defer m.Close()
//	go m.Run(ctx)
//	api := evergrant.NewHTTPClient(m, "biz_42@k-series")
//
// A [Manager] is an [evergrant.Source]. Everything else that can be done with
// connections, links, events and so on is what package client does with a server:
// [Manager.Client] returns one that calls this process.
//
// If your program should hold no database and no secrets, run a server and use
// package client alone.
package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/core"
)

// closeWithin bounds how long the end waits for what is under way, as service
// managers do.
const closeWithin = 30 * time.Second

// Manager renews grants and hands out their tokens. Its methods may be called
// from any goroutine.
type Manager struct {
	core *core.Core
	log  *slog.Logger
	tell func(context.Context, client.Event) // nil: nobody

	closed atomic.Bool
	begun  chan struct{} // closed when Run renews
	over   chan struct{} // closed when Run has returned
	mu     sync.Mutex
	stop   context.CancelFunc // ends Run; nil if it was not called
	close  func() error
}

var _ evergrant.Source = (*Manager)(nil)

// New opens the storage and what is in it. It listens nowhere and starts nothing:
// grants are renewed while [Manager.Run] runs. The error names the field that is
// wrong and what to do; ctx is for opening only.
func New(ctx context.Context, c Config) (*Manager, error) {
	conf, err := c.load()
	if err != nil {
		return nil, err
	}
	log := c.Logger
	if log == nil {
		log = slog.Default()
	}
	k, err := core.New(ctx, core.Options{Config: conf, Version: version(), Logger: log, Now: c.Now})
	if err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	m := &Manager{core: k, log: log, tell: c.OnEvent, begun: make(chan struct{}), over: make(chan struct{})}
	m.close = sync.OnceValue(m.end)
	return m, nil
}

// errRun is what a second Run comes to.
var errRun = errors.New("manager: Run was called before, or after Close; make another Manager")

// Run renews grants, sends webhooks and tells of events until ctx ends. Then it
// begins nothing more, waits for what is under way, at most 30 s, and returns;
// tokens that are good are handed out still. Call it once. The error is nil
// unless it could not begin or not end.
func (m *Manager) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.mu.Lock()
	if m.stop != nil || m.closed.Load() {
		m.mu.Unlock()
		return errRun
	}
	m.stop = cancel
	defer close(m.over)
	m.mu.Unlock()

	var telling sync.WaitGroup
	defer telling.Wait()
	if m.tell != nil {
		last, err := m.lastEvent(ctx)
		if err != nil {
			return ignore(ctx, err)
		}
		telling.Go(func() { m.tellSince(ctx, last) })
	}
	err := m.core.Start(ctx)
	if err == nil {
		close(m.begun)
		<-ctx.Done()
	} else {
		err = ignore(ctx, err)
		cancel()
	}
	last, done := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer done()
	return errors.Join(err, m.core.Halt(last))
}

// ignore makes an error of something that was told to stop none.
func ignore(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Close ends Run if it runs, as the end of its context does, and closes
// everything. Shut down what serves the handlers first. It takes at most a minute
// and may be called any number of times.
func (m *Manager) Close() error { return m.close() }

func (m *Manager) end() error {
	m.mu.Lock()
	m.closed.Store(true)
	stop := m.stop
	m.mu.Unlock()
	if stop != nil {
		stop()
		<-m.over
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	return m.core.Stop(ctx)
}

// Token implements [evergrant.Source]: from memory, or after a refresh if one is
// needed, which any number of callers share. A call that needs a refresh before
// Run has begun waits for that, at most 25 s. The token is shared too: read it, do
// not change it.
func (m *Manager) Token(ctx context.Context, ref evergrant.Ref, opts *evergrant.TokenOptions) (*evergrant.Token, error) {
	if m.closed.Load() {
		return nil, errClosed("token", ref)
	}
	t, err := m.core.Manager.Token(ctx, ref, opts)
	if err != nil && m.await(ctx, err) {
		return m.core.Manager.Token(ctx, ref, opts)
	}
	return t, err
}

// Reject implements [evergrant.Source].
func (m *Manager) Reject(ctx context.Context, ref evergrant.Ref, fingerprint string) (*evergrant.Token, error) {
	if m.closed.Load() {
		return nil, errClosed("reject", ref)
	}
	t, err := m.core.Manager.Reject(ctx, ref, fingerprint)
	if err != nil && m.await(ctx, err) {
		return m.core.Manager.Reject(ctx, ref, fingerprint)
	}
	return t, err
}

// runPatience is how long a caller waits for Run to begin.
const runPatience = 25 * time.Second

// await waits for Run to begin, if err may come of its not having done so, and
// reports whether it has begun meanwhile.
func (m *Manager) await(ctx context.Context, err error) bool {
	select {
	case <-m.begun:
		return false // err is not for want of Run
	default:
	}
	if !errors.Is(err, evergrant.ErrTemporary) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, runPatience)
	defer cancel()
	return m.running(ctx) == nil
}

// running waits until Run renews. The error says why it does not.
func (m *Manager) running(ctx context.Context) error {
	select {
	case <-m.begun:
		return nil
	case <-m.over:
	case <-ctx.Done():
	}
	return errors.New("manager: Run does not run")
}

func errClosed(op string, ref evergrant.Ref) error {
	return &evergrant.Error{Op: op, Ref: ref, Code: "temporarily_unavailable", Message: "the manager in this process is closed",
		ActBy: evergrant.ActOperator, RetryAfter: time.Second, Err: evergrant.ErrTemporary}
}

// Client returns a client of this Manager: connections, coverage, links, events,
// adoption and all else that the API has, with the rights of an admin key. Its
// calls stay in the process. For tokens use the Manager itself, which is quicker.
func (m *Manager) Client() *client.Client { return m.core.Client }

// ConnectHandler serves merchants: landing pages, the way to the provider and
// back, and what came of it. Mount it where Config.PublicURL leads, at the root or
// at /connect/ and /oauth/callback/; it needs no API key and gives nothing away.
func (m *Manager) ConnectHandler() http.Handler { return m.core.Public }

// APIHandler serves the HTTP API of evergrant serve to those who have an API key,
// made with Client().CreateKey, for your programs in other languages. Do not mount
// it where merchants come. It expects to be at the root of its listener.
func (m *Manager) APIHandler() http.Handler { return m.core.API }

// RenewDue renews every grant that is due and returns when each has been tried,
// with the time at which the next one is due, zero if there is none. Run does so
// by itself: RenewDue is for those whose Config.Now is moved by hand, in tests,
// while Run runs.
func (m *Manager) RenewDue(ctx context.Context) (next time.Time, err error) {
	if err := m.running(ctx); err != nil {
		return time.Time{}, err
	}
	return m.core.Manager.RenewDue(ctx)
}

// version is the version of this module in the program, for the User-Agent.
func version() string {
	const module = "github.com/evergrant/evergrant"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "embedded"
	}
	for _, d := range info.Deps {
		if d.Path == module && d.Version != "" {
			return d.Version
		}
	}
	return "embedded"
}
