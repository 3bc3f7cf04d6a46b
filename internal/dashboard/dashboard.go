package dashboard

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/store"
)

// Reader is what the dashboard asks the store for: each a query that is bounded
// by what it returns.
type Reader interface {
	store.Overview
	CountConnections(ctx context.Context) ([]store.ConnectionCount, error)
	CountDeadlines(ctx context.Context, f store.DeadlineFilter, before []time.Time) ([]int, error)
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
	Grown   func() <-chan struct{}
	Sandbox string // address of the sandbox that apps of a demo use; "" for none
	Version string
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// Dashboard serves the pages. It is safe for concurrent use.
type Dashboard struct {
	c      Config
	mux    *http.ServeMux
	views  views
	assets assets
	counts counts
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
	d.get("/connections/{ref}/disconnect", d.askDisconnect)
	d.post("/connections/{ref}/links", access.Support, d.makeLink)
	d.post("/connections/{ref}/verify", access.Support, d.verify)
	d.post("/connections/{ref}/locations", access.Support, d.readLocations)
	d.post("/connections/{ref}/refresh", access.Operator, d.refresh)
	d.post("/connections/{ref}/disconnect", access.Operator, d.disconnect)
	d.post("/links/{id}/revoke", access.Support, d.revokeLink)
	d.mux.Handle("GET /live", d.follow())
	d.mux.Handle("/", d.page(access.Viewer, d.nowhere))
}

// Paths are the patterns of what the dashboard serves, for a server that has
// other things at other addresses.
func Paths() []string {
	return []string{"/{$}", "/connections", "/connections/", "/deadlines", "/providers", "/providers/", "/links", "/links/",
		"/events", "/settings", "/settings/", "/sandbox", "/sandbox/", "/live", "/assets/"}
}

// ServeHTTP implements [http.Handler].
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.c.Prefix == "" {
		d.mux.ServeHTTP(w, r)
		return
	}
	http.StripPrefix(d.c.Prefix, d.mux).ServeHTTP(w, r)
}
