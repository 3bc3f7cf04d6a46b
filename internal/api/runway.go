package api

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// runwayParams select what runway is told of.
var runwayParams = []param{{name: "app", doc: "only this app"}}

// runway is how long businesses last if refreshing stops now.
type runway struct {
	AsOf    time.Time   `json:"as_of"`
	Seconds *int64      `json:"runway_seconds" doc:"until the first grant dies; null if no deadline is known"`
	First   *firstLost  `json:"first,omitempty" doc:"which grant that is"`
	Apps    []appRunway `json:"apps" nullable:"false"`
}

// appRunway is the runway of one app.
type appRunway struct {
	App     string       `json:"app"`
	Seconds *int64       `json:"runway_seconds" doc:"until the first grant dies; null if no deadline is known"`
	First   *firstLost   `json:"first,omitempty" doc:"which grant that is"`
	Lost    []lostWithin `json:"lost" nullable:"false" doc:"how many grants would be lost by when"`
}

// firstLost is the grant that dies first.
type firstLost struct {
	Deadline   time.Time `json:"deadline"`
	Connection string    `json:"connection"`
	Ref        string    `json:"ref"`
	Grant      string    `json:"grant"`
}

// lostWithin is how many grants die within a while.
type lostWithin struct {
	Within string `json:"within" doc:"such as 7d"`
	Grants int    `json:"grants"`
}

// horizons are what losses are counted for.
func horizons() []struct {
	name string
	d    time.Duration
} {
	const day = 24 * time.Hour
	return []struct {
		name string
		d    time.Duration
	}{{"1h", time.Hour}, {"1d", day}, {"3d", 3 * day}, {"7d", 7 * day}, {"14d", 14 * day}, {"30d", 30 * day}, {"90d", 90 * day}}
}

func (s *server) runway(c *call, _ none) (runway, error) {
	ctx := c.r.Context()
	only := c.r.URL.Query().Get("app")
	out := runway{AsOf: s.now().UTC(), Apps: []appRunway{}}
	for _, a := range s.c.Manager.Apps() {
		name := a.App.Name
		if only != "" && only != name || !sees(c.key, name) {
			continue
		}
		app, err := s.runwayOf(ctx, store.DeadlineFilter{App: name, Keys: c.key.Businesses}, out.AsOf)
		if err != nil {
			return runway{}, err
		}
		out.Apps = append(out.Apps, app)
		if app.First != nil && (out.First == nil || app.First.Deadline.Before(out.First.Deadline)) {
			out.First, out.Seconds = app.First, app.Seconds
		}
	}
	if only != "" && len(out.Apps) == 0 {
		return runway{}, errNoSuch("app")
	}
	return out, nil
}

// sees reports whether a key reaches an app at all.
func sees(key *access.Key, app string) bool { return key.Apps == nil || slices.Contains(key.Apps, app) }

func (s *server) runwayOf(ctx context.Context, f store.DeadlineFilter, now time.Time) (appRunway, error) {
	out := appRunway{App: f.App, Lost: []lostWithin{}}
	first, _, err := s.c.Store.Deadlines(ctx, f, store.Page{Limit: 1})
	if err != nil {
		return out, err
	}
	if len(first) == 1 {
		g := first[0]
		c, err := s.c.Store.Connection(ctx, grant.Ref{ID: g.ConnectionID})
		if err != nil {
			return out, err
		}
		out.First = &firstLost{Deadline: g.DeadlineAt, Connection: c.ID, Ref: c.Ref().String(), Grant: g.ID}
		left := int64(max(g.DeadlineAt.Sub(now), 0) / time.Second)
		out.Seconds = &left
	}
	var ends []time.Time
	for _, h := range horizons() {
		ends = append(ends, now.Add(h.d))
	}
	counts, err := s.c.Store.CountDeadlines(ctx, f, ends)
	if err != nil {
		return out, err
	}
	for i, h := range horizons() {
		out.Lost = append(out.Lost, lostWithin{Within: h.name, Grants: counts[i]})
	}
	return out, nil
}

// runwaySeconds collects how long each app's businesses last.
type runwaySeconds struct {
	s    *server
	desc *prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (r runwaySeconds) Describe(ch chan<- *prometheus.Desc) { ch <- r.desc }

// Collect implements [prometheus.Collector]. An app of which no deadline is known
// has no runway.
func (r runwaySeconds) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
	defer cancel()
	for _, a := range r.s.c.Manager.Apps() {
		first, _, err := r.s.c.Store.Deadlines(ctx, store.DeadlineFilter{App: a.App.Name}, store.Page{Limit: 1})
		if err != nil {
			ch <- prometheus.NewInvalidMetric(r.desc, err)
			return
		}
		for _, g := range first {
			left := max(g.DeadlineAt.Sub(r.s.now()), 0).Seconds()
			ch <- prometheus.MustNewConstMetric(r.desc, prometheus.GaugeValue, left, a.App.Name)
		}
	}
}
