package core

import (
	"net/http"
	"strings"

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

// beside serves the dashboard's pages and its login at their addresses and the API
// at all others. It goes by the first segment: the API reads paths as they came,
// and a ServeMux before it would clean them.
func beside(api, pages, login http.Handler) http.Handler {
	by := map[string]http.Handler{"login": login, "logout": login}
	for _, path := range dashboard.Paths() {
		by[segment(strings.TrimSuffix(path, "{$}"))] = pages
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		h := by[segment(path)]
		if h == nil || strings.HasPrefix(path, "//") {
			h = api
		}
		h.ServeHTTP(w, r)
	})
}

// segment returns the first segment of a path.
func segment(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first
}
