package dashboard

import (
	"net/url"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"time"
)

// view is a saved selection of connections.
type view struct {
	name, label string
	filter      store.LatestFilter
	recent      time.Duration // only what changed within this; 0 for all
	counts      bool          // how many there are is known without looking
}

// views that the page has tabs for, in their order.
func savedViews() []view {
	return []view{
		{name: "all", label: "All"},
		{name: "needs-login", label: "Need merchant", filter: store.LatestFilter{State: grant.NeedsReauthorization}, counts: true},
		{name: "degraded", label: "Degraded", filter: store.LatestFilter{State: grant.Degraded}, counts: true},
		{name: "missing", label: "Something missing", filter: store.LatestFilter{Flagged: true}},
		{name: "deadline", label: "Deadline in 7 days"},
		{name: "pending", label: "Never connected", filter: store.LatestFilter{State: grant.Pending}, counts: true},
		{name: "back", label: "Back or new", filter: store.LatestFilter{State: grant.Connected}, recent: 7 * 24 * time.Hour},
		{name: "disconnected", label: "Disconnected", filter: store.LatestFilter{State: grant.Disconnected}, counts: true},
	}
}

// list is the page of connections.
type list struct {
	Tabs    []tab
	Apps    []string
	App     string
	View    string
	Query   string
	Rows    []row
	Ending  bool   // by the ends of approvals
	Next    string // path of the next page, "" after the last
	Nothing string // said instead of rows
}

// pageSize is how many connections a page has.
const pageSize = 50

func (d *Dashboard) connections(v *visit) answer {
	ctx, q := v.Context(), v.URL.Query()
	l := list{Query: q.Get("q"), App: q.Get("app"), View: q.Get("view")}
	counted, err := d.counts.read(ctx, d.c.Store, d.c.Now)
	if err != nil {
		return failed(err)
	}
	apps, err := d.c.API.Apps(ctx)
	if err != nil {
		return failed(err)
	}
	for _, a := range apps {
		l.Apps = append(l.Apps, a.Name)
	}
	chosen := view{name: "all"}
	for _, s := range savedViews() {
		if s.name == l.View {
			chosen = s
		}
	}
	l.View = chosen.name
	l.Tabs = tabs(chosen.name, l.App, counted)

	var found []grant.Connection
	next := ""
	switch {
	case l.Query != "":
		found, err = d.c.Store.Find(ctx, l.Query, pageSize)
		l.Nothing = "Nothing is called so. A name, a key, an id and the code on a merchant’s page are looked for."
	case chosen.name == "all":
		return d.plainList(v, l, q.Get("cursor"))
	case chosen.name == "deadline":
		of := l.Apps
		if l.App != "" {
			of = []string{l.App}
		}
		if l.Rows, next, err = d.endingSoon(ctx, of, q.Get("cursor")); err != nil {
			return unread(v, err)
		}
		l.Nothing, l.Ending = "No approval ends within seven days.", true
		return d.listed(v, l, next)
	default:
		f := chosen.filter
		if f.App = l.App; chosen.recent > 0 {
			f.Since = d.c.Now().Add(-chosen.recent)
		}
		found, next, err = d.c.Store.Latest(ctx, f, store.Page{Limit: pageSize, Cursor: q.Get("cursor")})
		l.Nothing = "There is none."
	}
	if err != nil {
		return unread(v, err)
	}
	for _, c := range found {
		l.Rows = append(l.Rows, d.row(c))
	}
	return d.listed(v, l, next)
}

// plainList is a list in the order in which connections were made, as the API
// gives it.
func (d *Dashboard) plainList(v *visit, l list, cursor string) answer {
	l.Nothing = "There is no business yet. Make a link for one: evergrant link create biz_42@APP"
	page, err := d.c.API.Connections(v.Context(), client.ConnectionFilter{App: l.App, Limit: pageSize, Cursor: cursor})
	if err != nil {
		return failed(err)
	}
	for _, c := range page.Data {
		l.Rows = append(l.Rows, d.rowOf(c))
	}
	return d.listed(v, l, page.NextCursor)
}

// listed finishes a list.
func (d *Dashboard) listed(v *visit, l list, next string) answer {
	if err := d.cellsInto(v.Context(), l.Rows); err != nil {
		return failed(err)
	}
	l.Next = nextPage(v, next)
	return show("connections", "Connections", l)
}

// tabs are the saved views, with how many are in them where that is known.
func tabs(current, app string, counted []store.ConnectionCount) []tab {
	var all []tab
	for _, s := range savedViews() {
		t := tab{Label: s.label, Current: s.name == current, Count: -1}
		q := url.Values{}
		if s.name != "all" {
			q.Set("view", s.name)
		}
		if app != "" {
			q.Set("app", app)
		}
		if t.Path = "/connections"; len(q) > 0 {
			t.Path += "?" + q.Encode()
		}
		if s.counts || s.name == "all" {
			t.Count = 0
			for _, c := range counted {
				if (s.name == "all" || c.State == s.filter.State) && (app == "" || c.App == app) {
					t.Count += c.Count
				}
			}
		}
		all = append(all, t)
	}
	return all
}
