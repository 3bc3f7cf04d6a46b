package core

import (
	"net/http"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/dashboard"
	"github.com/evergrant/evergrant/internal/event"
	"github.com/evergrant/evergrant/internal/store"
)

// dashboard makes the pages for operators, for those whom who lets in.
func (c *Core) dashboard(o Options, st store.Store, hub *event.Hub, who func(*http.Request) (access.Person, bool)) (http.Handler, error) {
	return dashboard.New(dashboard.Config{
		API: c.Client, Store: st, Who: who, Login: "/login", Logout: "/logout", Grown: hub.Grown,
		Sandbox: o.Config.SandboxURL, Version: o.Version, Logger: o.Logger, Now: o.Now,
	})
}

// beside serves the dashboard's pages at their addresses and the API at all
// others.
func beside(api, pages http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", api)
	for _, path := range dashboard.Paths() {
		mux.Handle(path, pages)
	}
	return mux
}
