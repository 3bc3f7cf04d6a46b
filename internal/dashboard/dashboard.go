package dashboard

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/telemetry"
)

// Reader is what the dashboard asks the store for: each a query that is bounded
// by what it returns.
type Reader interface {
	store.Overview
	CountConnections(ctx context.Context) ([]store.ConnectionCount, error)
	Deadlines(ctx context.Context, f store.DeadlineFilter, p store.Page) ([]grant.Grant, string, error)
	CountDeadlines(ctx context.Context, f store.DeadlineFilter, before []time.Time) ([]int, error)
	ListEvents(ctx context.Context, f store.EventFilter, p store.Page) ([]grant.Event, string, error)
}

// Config is what a Dashboard works with. Fields without a comment are required.
type Config struct {
	API   *client.Client // with the rights of an admin key; it must not leave the process
	Store Reader
	// Who says who is behind a request; false if nobody who may come in.
	Who func(*http.Request) (access.Person, bool)
	// Login is where those are sent who are not let in, with next=PATH; "" answers
	// them with 403.
	Login string
	// Logout takes a POST that ends a session; "" shows no button for it.
	Logout string
	// Prefix is what the addresses of all pages begin with, such as /evergrant, for
	// a program that mounts the dashboard beside its own pages; "" for none.
	Prefix string
	// Grown returns a channel that is closed when the log grows; nil: pages do not
	// follow what happens.
	Grown func() <-chan struct{}
	// Trends is how renewals went lately; nil: that is not shown.
	Trends *telemetry.Trends
	// Merchants are the pages that merchants see, to be previewed; nil: they are not.
	Merchants Previewer
	// MasterKey tells which key seals the store; nil: that is not shown.
	MasterKey func(context.Context) (MasterKey, error)
	Sandbox   string // address of the sandbox that apps of a demo use; "" for none
	Version   string
	Logger    *slog.Logger
	Now       func() time.Time // nil: time.Now
}

// Dashboard serves the pages. It is safe for concurrent use.
type Dashboard struct {
	c      Config
	mux    *http.ServeMux
	views  views
	assets assets

	counts        counts
	endings       endings
	sandboxClient *http.Client
}

// New returns a Dashboard. It starts no goroutines.
func New(c Config) (*Dashboard, error) {
	switch {
	case c.API == nil:
		return nil, errors.New("dashboard: Config.API is required")
	case c.Store == nil:
		return nil, errors.New("dashboard: Config.Store is required")
	case c.Who == nil:
		return nil, errors.New("dashboard: Config.Who is required")
	case c.Logger == nil:
		return nil, errors.New("dashboard: Config.Logger is required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &Dashboard{c: c, mux: http.NewServeMux()}
	// A connection for each call: they are few, and nobody has to close an idle one.
	d.sandboxClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var err error
	if d.assets, err = loadAssets(c.Prefix); err != nil {
		return nil, err
	}
	if d.views, err = parseViews(c.Prefix); err != nil {
		return nil, err
	}
	d.routes()
	return d, nil
}

// routes says what is served where, and who may.
func (d *Dashboard) routes() {
	d.mux.HandleFunc("GET /assets/{name}", d.serveAsset)
	d.get("/{$}", d.home)
	d.get("/connections", d.connections)
	d.get("/connections/{ref}", d.connection)
	d.get("/connections/{ref}/links", d.leaveMessage)
	d.get("/deadlines", d.deadlines)
	d.get("/providers", d.providers)
	d.get("/links", d.links)
	d.get("/events", d.events)
	d.get("/events/webhooks", d.webhooks)
	d.get("/settings", d.settings)
	d.get("/settings/keys", d.leaveKey)
	d.get("/settings/preview", d.previews)
	d.mux.Handle("GET /settings/preview/{page}", d.preview())
	d.ask("/connections/{ref}/disconnect", d.askDisconnect)
	d.ask("/providers/{app}/pause", d.askPause)
	d.ask("/settings/keys/{id}/revoke", d.askRevokeKey)
	d.post("/connections/{ref}/links", access.Support, d.makeLink)
	d.post("/connections/{ref}/verify", access.Support, d.verify)
	d.post("/connections/{ref}/locations", access.Support, d.readLocations)
	d.post("/connections/{ref}/refresh", access.Operator, d.refresh)
	d.post("/connections/{ref}/disconnect", access.Operator, d.disconnect)
	d.post("/links/{id}/revoke", access.Support, d.revokeLink)
	d.post("/providers/{app}/pause", access.Operator, d.pause)
	d.post("/providers/{app}/resume", access.Operator, d.resume)
	d.post("/events/webhooks/{id}/test", access.Operator, d.testWebhook)
	d.post("/events/webhooks/{id}/enable", access.Operator, d.enableWebhook)
	d.post("/settings/keys", access.Operator, d.makeKey)
	d.post("/settings/keys/{id}/revoke", access.Operator, d.revokeKey)
	if d.c.Sandbox != "" {
		d.get("/sandbox", d.sandbox)
		d.post("/sandbox/clock", access.Operator, d.advance)
		d.post("/sandbox/break", access.Operator, d.breakIt)
		d.post("/sandbox/heal", access.Operator, d.heal)
		d.post("/sandbox/users", access.Operator, d.changeUser)
	}
	d.mux.Handle("GET /live", d.follow())
	d.mux.Handle("/", d.page(access.Viewer, d.nowhere))
}

// Paths are the patterns of what the dashboard serves, for a server that has
// other things at other addresses.
func Paths() []string {
	return []string{"/{$}", "/connections", "/connections/", "/deadlines", "/providers", "/providers/", "/links", "/links/",
		"/events", "/events/", "/settings", "/settings/", "/sandbox", "/sandbox/", "/live", "/assets/"}
}

// ServeHTTP implements [http.Handler].
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.c.Prefix == "" {
		d.mux.ServeHTTP(w, r)
		return
	}
	http.StripPrefix(d.c.Prefix, d.mux).ServeHTTP(w, r)
}
