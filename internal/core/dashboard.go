package core

import (
	"context"
	"net/http"
	"strings"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api"
	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/connect"
	"github.com/evergrant/evergrant/internal/dashboard"
	"github.com/evergrant/evergrant/internal/event"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

// pages is what the dashboard is made of, but for who may see it.
func (c *Core) pages(o Options, a api.Config, links *connect.Service, hub *event.Hub) dashboard.Config {
	return dashboard.Config{
		API: c.Client, Store: a.Store, Grown: hub.Grown,
		Trends: a.Metrics.Trends, Merchants: links, MasterKey: masterKey(a.Store, o.Config),
		Sandbox: sandboxOf(o.Config), Version: o.Version, Logger: o.Logger, Now: o.Now,
	}
}

// sandboxOf is where the sandbox is, "" if no app goes there: nothing real may be
// broken by a button.
func sandboxOf(conf *config.Config) string {
	for _, a := range conf.Apps {
		if a.Environment == string(provider.Sandbox) {
			return conf.SandboxURL
		}
	}
	return ""
}

// Dashboard returns the pages for operators, for those whom who lets in, mounted
// at prefix.
func (c *Core) Dashboard(prefix string, who func(*http.Request) (access.Person, bool)) (http.Handler, error) {
	pages := c.dashboard
	pages.Prefix, pages.Who = prefix, who
	h, err := dashboard.New(pages)
	if err != nil {
		return nil, err
	}
	return c.guard("dashboard", h, pages.Logger), nil
}

// masterKey tells which master key seals the store. Another process may have seen
// to that.
func masterKey(keys store.DataKeys, conf *config.Config) func(context.Context) (dashboard.MasterKey, error) {
	var listed []string
	for _, m := range conf.Masters() {
		listed = append(listed, m.ID)
	}
	return func(ctx context.Context) (dashboard.MasterKey, error) {
		sealing, _, err := keys.DataKey(ctx)
		return dashboard.MasterKey{Sealing: sealing, Listed: listed}, err
	}
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
