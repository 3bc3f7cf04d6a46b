// Package app is the server: the core with its listeners, started in the right
// order and stopped in the reverse one. The command line is a thin layer over
// it, and end-to-end tests run it in their own process.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/core"
)

// Options is what a server is made from. Config and Logger are required.
type Options struct {
	Config  *config.Config
	Version string
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now
	// Public and Private are listeners to serve on instead of the configured
	// ones; the App closes them. Nil: listen where the configuration says.
	Public, Private net.Listener
}

// App is a server. Its methods may be called from any goroutine.
type App struct {
	o       Options
	core    *core.Core
	servers []*server
	public  net.Listener
	private net.Listener

	failed  chan error // the first server that ended by itself
	undo    core.Undo
	stop    sync.Once
	stopErr error
}

// New opens everything a server needs: listeners first, so that a port that is
// taken costs nothing, then the store, the keys and the spool. Nothing is served
// and nothing renewed before Start. The error is one line for the operator.
func New(ctx context.Context, o Options) (_ *App, err error) {
	a := &App{o: o, failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := a.listen(); err != nil {
		return nil, err
	}
	a.core, err = core.New(ctx, core.Options{
		Config: o.Config, Version: o.Version, Logger: o.Logger, Now: o.Now, DashboardURL: o.Config.DashboardURL(a.PrivateAddr()),
	})
	if err != nil {
		return nil, err
	}
	a.undo.Add("", a.core.Stop)
	if err := a.serve(); err != nil {
		return nil, err
	}
	return a, nil
}

// serve gives every listener its handler.
func (a *App) serve() error {
	admin, err := listenSocket(a.o.Config.Socket(), 0o600)
	if err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}
	a.undo.Add("admin socket", func(context.Context) error { return closeListener(admin) })
	a.servers = []*server{
		newServer("public", a.public, a.core.Public, a.o.Logger),
		newServer("private", a.private, a.core.Private, a.o.Logger),
		newServer("admin", admin, a.core.Trusted, a.o.Logger),
	}
	a.undo.Add("requests", func(ctx context.Context) error {
		a.core.Drain()
		return shutdown(ctx, a.servers)
	})
	return nil
}

// Start begins renewing grants and serving. It returns once requests are taken.
// Call it once, and not after Stop.
func (a *App) Start(ctx context.Context) error {
	if err := a.core.Start(ctx); err != nil {
		return err
	}
	for _, s := range a.servers {
		s.start(a.failed)
	}
	a.o.Logger.Info("evergrant is running", "version", a.o.Version, "public", a.PublicAddr(), "private", a.PrivateAddr(),
		"apps", len(a.o.Config.Apps))
	return nil
}

// Run starts the server, waits until ctx ends or a listener fails, and stops it.
func (a *App) Run(ctx context.Context) error {
	err := a.Start(ctx)
	switch {
	case err == nil:
		err = a.Wait(ctx)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		err = nil // told to stop while it was starting
	}
	return errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
}

// Wait waits until ctx ends, which is no error, or a listener of a started
// server fails.
func (a *App) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		a.o.Logger.Info("evergrant is stopping; requests and refreshes under way are finished first")
		return nil
	case err := <-a.failed:
		return err
	}
}

// stopWithin bounds Stop: longer than a token request may take, shorter than
// service managers wait.
const stopWithin = 30 * time.Second

// Stop takes no more requests, finishes those under way, waits for refreshes
// under way, and closes everything. It may be called at any time and any number
// of times; later calls return what the first one did. It takes at most 30 s.
func (a *App) Stop(ctx context.Context) error {
	a.stop.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, stopWithin)
		defer cancel()
		a.stopErr = a.undo.Run(ctx)
	})
	return a.stopErr
}

// PublicAddr returns where merchants are served, as host:port.
func (a *App) PublicAddr() string { return a.public.Addr().String() }

// PrivateAddr returns where the API is served: host:port, or a socket's path.
func (a *App) PrivateAddr() string { return a.private.Addr().String() }
