// Package app is the server: everything wired together, started in the right
// order and stopped in the reverse one. The command line is a thin layer over
// it, and end-to-end tests run it in their own process.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/evergrant/evergrant/internal/api"
	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/connect"
	"github.com/evergrant/evergrant/internal/event"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/proxy"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/mirror"
	"github.com/evergrant/evergrant/internal/telemetry"
	"github.com/evergrant/evergrant/internal/webhook"
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
	o        Options
	manager  *manager.Manager
	servers  []*server
	webhooks *webhook.Service
	public   net.Listener
	private  net.Listener

	failed   chan error // the first server that ended by itself
	started  atomic.Bool
	cleanups []cleanup
	stop     sync.Once
	stopErr  error
}

// cleanup undoes one step of New or Start.
type cleanup struct {
	what string
	f    func(context.Context) error
}

// New opens everything a server needs: listeners first, so that a port that is
// taken costs nothing, then the store, the keys and the spool. Nothing is served
// and nothing renewed before Start. The error is one line for the operator.
func New(ctx context.Context, o Options) (_ *App, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &App{o: o, failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := a.listen(); err != nil {
		return nil, err
	}
	if err := a.assemble(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// assemble opens the store and builds the engine and the handlers on it.
func (a *App) assemble(ctx context.Context) error {
	c, log, now := a.o.Config, a.o.Logger, a.o.Now
	hub := event.NewHub(log)
	st, follow, err := openStore(ctx, a.o, hub)
	if err != nil {
		return err
	}
	a.onStop("store", func(context.Context) error { return st.Close() })
	ring, err := seal.Open(ctx, st, c.Masters())
	if err != nil {
		return err
	}
	journal, err := spool.Open(spool.Options{Dir: c.Spool, Ring: ring, Now: now, Logger: log})
	if err != nil {
		return err
	}
	a.onStop("spool", func(context.Context) error { return journal.Close() })
	var second store.Mirror
	if path := c.Storage.Mirror; path != "" {
		if err := makeFolder(filepath.Dir(path), "storage.mirror"); err != nil {
			return err
		}
		m, err := mirror.Open(ctx, path, log)
		if err != nil {
			return err
		}
		a.onStop("mirror", func(context.Context) error { return m.Close() })
		second = m
	}
	sender := oauth.NewSender(oauth.SenderConfig{UserAgent: "evergrant/" + a.o.Version, Now: now})
	a.onStop("sender", func(context.Context) error { sender.Close(); return nil })
	a.onStop("renewals", a.stopRenewing)
	metrics := telemetry.NewMetrics(a.o.Version)
	metrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "evergrant_spool_entries", Help: "Received token responses that are not committed yet.",
	}, func() float64 { return float64(journal.Stats().Entries) }))

	var links *connect.Service // made from the manager, which asks it to finish spooled exchanges
	a.manager = manager.New(manager.Config{
		Store: st, Ring: ring, Spool: journal, Mirror: second, Sender: sender, Apps: c.Providers(),
		Hub: hub, Metrics: metrics, Logger: log, Now: now,
		Exchange: func(ctx context.Context, e spool.Entry) error { return links.Recover(ctx, e) },
	})
	follow(a.manager)
	links = connect.New(connect.Config{
		Store: st, Ring: ring, Spool: journal, Sender: sender, Apps: c.Providers(), Issuer: a.manager.Issuer(),
		PublicURL: c.Server.PublicURL, LinkTTL: time.Duration(c.Links.TTL), ReturnURLAllow: c.Links.ReturnURLAllow,
		Brand: connect.Brand{Name: c.Brand.Name, SupportEmail: c.Brand.Support.Email, Colour: c.Brand.Colour},
		Now:   now, Logger: log, LinkState: metrics.Link,
		AppRejected: func(app string) { metrics.AppAccepted(app, false) },
	})
	a.onStop("links", func(context.Context) error { links.Close(); return nil })
	a.webhooks = webhook.New(webhook.Config{
		Store: st, Ring: ring, Client: sender.OutboundClient(webhook.Timeout), Grown: hub.Grown, Encode: api.EncodeEvent,
		File: c.Webhooks(), Logger: log, Now: now, Counted: metrics.Delivered, Random: rand.Float64,
	})
	a.onStop("webhooks", a.webhooks.Stop)
	serving := api.Config{
		Manager: a.manager, Links: links, Store: st, Webhooks: a.webhooks, FileKeys: c.Keys(), Keys: api.NewKeyring(st, c.Keys(), now),
		Metrics: metrics, Logger: log, Now: now, Version: a.o.Version, PublicURL: c.Server.PublicURL,
		Proxy: proxy.New(proxy.Config{Sender: sender, Apps: c.Providers(), Rules: c.ProxyRules()}),
	}
	return a.serveOn(links.Handler(), serving)
}

// serveOn gives every listener its handler.
func (a *App) serveOn(public http.Handler, private api.Config) error {
	handler, err := api.New(private)
	if err != nil {
		return fmt.Errorf("build the API: %w", err)
	}
	private.TrustAll = true
	trusted, err := api.New(private)
	if err != nil {
		return fmt.Errorf("build the API of the admin socket: %w", err)
	}
	admin, err := listenSocket(a.o.Config.Socket(), 0o600)
	if err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}
	a.onStop("admin socket", func(context.Context) error { return closeListener(admin) })
	news, drain := context.WithCancel(context.Background())
	a.servers = []*server{
		newServer("public", a.public, public, news, a.o.Logger),
		newServer("private", a.private, handler, news, a.o.Logger),
		newServer("admin", admin, trusted, news, a.o.Logger),
	}
	a.onStop("requests", func(ctx context.Context) error {
		drain()
		return shutdown(ctx, a.servers)
	})
	return nil
}

// stopRenewing stops the manager if it was started.
func (a *App) stopRenewing(ctx context.Context) error {
	if !a.started.Load() {
		return nil
	}
	return a.manager.Stop(ctx)
}

// Start begins renewing grants and serving. It returns once requests are taken.
// Call it once, and not after Stop.
func (a *App) Start(ctx context.Context) error {
	a.started.Store(true)
	if err := a.manager.Start(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	a.webhooks.Start()
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
		var errs []error
		for i := len(a.cleanups) - 1; i >= 0; i-- {
			if err := a.cleanups[i].f(ctx); err != nil {
				errs = append(errs, fmt.Errorf("stop %s: %w", a.cleanups[i].what, err))
			}
		}
		a.stopErr = errors.Join(errs...)
	})
	return a.stopErr
}

// onStop registers a step of Stop. Steps run in the reverse order.
func (a *App) onStop(what string, f func(context.Context) error) {
	a.cleanups = append(a.cleanups, cleanup{what, f})
}

// PublicAddr returns where merchants are served, as host:port.
func (a *App) PublicAddr() string { return a.public.Addr().String() }

// PrivateAddr returns where the API is served: host:port, or a socket's path.
func (a *App) PrivateAddr() string { return a.private.Addr().String() }
