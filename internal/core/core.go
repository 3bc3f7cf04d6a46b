// Package core is the whole of Evergrant but for listeners and a process of its
// own: the engine, opened from a configuration, and the handlers on it. The server
// (package app) gives them sockets; a program that embeds it (package manager)
// gives them what it likes.
package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/api"
	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/connect"
	"github.com/evergrant/evergrant/internal/dashboard"
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

// Options is what a Core is made from. Config and Logger are required.
type Options struct {
	Config  *config.Config
	Version string
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now
	// DashboardURL is where people reach Private; "": nobody can log in to it.
	DashboardURL string
}

// Core is the engine with its handlers. Its methods and its handlers may be used
// from any goroutine.
type Core struct {
	// Manager hands out tokens.
	Manager *manager.Manager
	// Public serves merchants, API the API to those who have a key, Private the same
	// beside the dashboard, and Trusted the API to whoever reaches it.
	Public, API, Private, Trusted http.Handler
	// Client calls Trusted in this process, without a socket. Whoever has it may do
	// everything.
	Client *client.Client

	calls     *calls
	dashboard dashboard.Config // but for who may see it
	webhooks  *webhook.Service
	news      context.Context // ends when the core drains
	drain     context.CancelFunc
	started   atomic.Bool
	undo      Undo
	stop      sync.Once
	stopErr   error
}

// New opens the store, the keys and the spool, and builds the engine and its
// handlers. Nothing is renewed before Start. The error is one line for the
// operator, and what was opened is closed.
func New(ctx context.Context, o Options) (_ *Core, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Core{}
	c.news, c.drain = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := c.assemble(ctx, o); err != nil {
		return nil, err
	}
	return c, nil
}

// assemble opens the store and builds the engine and the handlers on it.
func (c *Core) assemble(ctx context.Context, o Options) error {
	conf, log, now := o.Config, o.Logger, o.Now
	traces, err := c.openTraces(ctx, o)
	if err != nil {
		return err
	}
	hub := event.NewHub(log)
	st, follow, err := openStore(ctx, o, hub)
	if err != nil {
		return err
	}
	c.undo.Add("store", func(context.Context) error { return st.Close() })
	ring, err := seal.Open(ctx, st, conf.Masters())
	if err != nil {
		return err
	}
	journal, err := spool.Open(spool.Options{Dir: conf.Spool, Ring: ring, Now: now, Logger: log})
	if err != nil {
		return err
	}
	c.undo.Add("spool", func(context.Context) error { return journal.Close() })
	second, err := c.openMirror(ctx, conf.Storage.Mirror, log)
	if err != nil {
		return err
	}
	sender := oauth.NewSender(oauth.SenderConfig{UserAgent: "evergrant/" + o.Version, Now: now})
	c.undo.Add("sender", func(context.Context) error { sender.Close(); return nil })
	c.undo.Add("renewals", c.stopRenewing)
	metrics := telemetry.NewMetrics(o.Version)
	metrics.Trends = telemetry.NewTrends(now)
	metrics.Traces = traces
	metrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "evergrant_spool_entries", Help: "Received token responses that are not committed yet.",
	}, func() float64 { return float64(journal.Stats().Entries) }))

	var links *connect.Service // made from the manager, which asks it to finish spooled exchanges
	c.Manager = manager.New(manager.Config{
		Store: st, Ring: ring, Spool: journal, Mirror: second, Sender: sender, Apps: conf.Providers(),
		Hub: hub, Metrics: metrics, Logger: log, Now: now,
		Exchange: func(ctx context.Context, e spool.Entry) error { return links.Recover(ctx, e) },
	})
	follow(c.Manager)
	links = connect.New(connect.Config{
		Store: st, Ring: ring, Spool: journal, Sender: sender, Apps: conf.Providers(), Issuer: c.Manager.Issuer(),
		PublicURL: conf.Server.PublicURL, LinkTTL: time.Duration(conf.Links.TTL), ReturnURLAllow: conf.Links.ReturnURLAllow,
		Brand: connect.Brand{Name: conf.Brand.Name, SupportEmail: conf.Brand.Support.Email, Colour: conf.Brand.Colour, Logo: conf.Logo()},
		Now:   now, Logger: log, LinkState: metrics.Link,
		AppRejected: func(app string) { metrics.AppAccepted(app, false) },
	})
	c.undo.Add("links", func(context.Context) error { links.Close(); return nil })
	c.webhooks = webhook.New(webhook.Config{
		Store: st, Ring: ring, Client: sender.OutboundClient(webhook.Timeout), Grown: hub.Grown, Encode: api.EncodeEvent,
		File: conf.Webhooks(), Logger: log, Now: now, Counted: metrics.Delivered, Random: rand.Float64,
	})
	c.undo.Add("webhooks", c.webhooks.Stop)
	people, err := c.signIn(o, st, ring)
	if err != nil {
		return err
	}
	audit, err := c.openAudit(conf.Telemetry.Audit, log)
	if err != nil {
		return err
	}
	return c.handlers(o, hub, links, api.Config{
		Manager: c.Manager, Links: links, Store: st, Webhooks: c.webhooks, FileKeys: conf.Keys(), Keys: api.NewKeyring(st, conf.Keys(), now),
		Metrics: metrics, Logger: log, Audit: audit, Now: now, Version: o.Version, PublicURL: conf.Server.PublicURL,
		Proxy:  proxy.New(proxy.Config{Sender: sender, Apps: conf.Providers(), Rules: conf.ProxyRules()}),
		SignIn: people,
	})
}

// openTraces begins to send traces, if a collector is configured.
func (c *Core) openTraces(ctx context.Context, o Options) (*telemetry.Traces, error) {
	collector := o.Config.Telemetry.OTLP.Endpoint
	if collector == "" {
		return nil, nil
	}
	t, err := telemetry.NewTraces(ctx, telemetry.TracesConfig{Endpoint: collector, Version: o.Version, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	c.undo.Add("traces", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, lastTraces)
		defer cancel()
		if err := t.Stop(ctx); err != nil {
			o.Logger.WarnContext(ctx, "the last traces could not be sent", "error", err.Error())
		}
		return nil
	})
	return t, nil
}

// lastTraces bounds how long a collector that does not answer holds up the end.
const lastTraces = 3 * time.Second

// openMirror opens the second copy of the newest tokens, nil if path is "".
func (c *Core) openMirror(ctx context.Context, path string, log *slog.Logger) (store.Mirror, error) {
	if path == "" {
		return nil, nil
	}
	if err := makeFolder(filepath.Dir(path), "storage.mirror"); err != nil {
		return nil, err
	}
	m, err := mirror.Open(ctx, path, log)
	if err != nil {
		return nil, err
	}
	c.undo.Add("mirror", func(context.Context) error { return m.Close() })
	return m, nil
}

// handlers makes a handler for each kind of caller.
func (c *Core) handlers(o Options, hub *event.Hub, links *connect.Service, private api.Config) error {
	log := o.Logger
	asking, err := api.New(private)
	if err != nil {
		return fmt.Errorf("build the API: %w", err)
	}
	private.TrustAll = true
	trusting, err := api.New(private)
	if err != nil {
		return fmt.Errorf("build the API of the admin socket: %w", err)
	}
	c.Public = c.guard("public", links.Handler(), log)
	c.API = c.guard("private", asking, log)
	c.Trusted = c.guard("admin", trusting, log)
	c.calls = &calls{h: c.Trusted}
	c.undo.Add("calls", c.calls.close)
	c.Client, err = client.New(client.Config{URL: "http://in-process", HTTPClient: &http.Client{Transport: c.calls}})
	if err != nil {
		return err
	}
	c.dashboard = c.pages(o, private, links, hub)
	ours := c.dashboard
	ours.Who, ours.Login, ours.Logout = private.SignIn.Person, "/login", "/logout"
	pages, err := dashboard.New(ours)
	if err != nil {
		return err
	}
	c.Private = c.guard("private", beside(asking, pages, private.SignIn.Handler()), log)
	return nil
}

// guard makes what panics or waits for news harmless.
func (c *Core) guard(name string, h http.Handler, log *slog.Logger) http.Handler {
	return recovered(untilDrained(h, c.news), log.With("listener", name))
}

// Start begins renewing grants, after what an earlier process received is
// committed, and sending webhooks. Call it once, and not after Stop.
func (c *Core) Start(ctx context.Context) error {
	c.started.Store(true)
	if err := c.Manager.Start(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	c.webhooks.Start()
	return nil
}

// Halt ends what Start began, after what is under way, which it waits for until
// ctx ends. Tokens that are good go on being handed out.
func (c *Core) Halt(ctx context.Context) error {
	return errors.Join(c.webhooks.Stop(ctx), c.stopRenewing(ctx))
}

// stopRenewing stops the manager if it was started.
func (c *Core) stopRenewing(ctx context.Context) error {
	if !c.started.Load() {
		return nil
	}
	return c.Manager.Stop(ctx)
}

// Drain ends the requests that only wait for news.
func (c *Core) Drain() { c.drain() }

// Stop waits for refreshes under way until ctx ends, and closes everything. It
// may be called at any time and any number of times; later calls return what the
// first one did. Requests are to be over by then.
func (c *Core) Stop(ctx context.Context) error {
	c.stop.Do(func() {
		c.drain()
		c.stopErr = c.undo.Run(ctx)
	})
	return c.stopErr
}
