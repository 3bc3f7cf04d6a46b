package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/evergrant/evergrant/internal/grant"
)

// What those ask who watch over the server.
const (
	livezPath   = "/livez"
	readyzPath  = "/readyz"
	metricsPath = "/metrics"
)

// meta says what this server is.
type meta struct {
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	API          string   `json:"api"`
	PublicURL    string   `json:"public_url" doc:"where merchants are sent"`
	Deprecations []string `json:"deprecations" nullable:"false" doc:"what will be taken away"`
}

func (s *server) meta(*call, none) (meta, error) {
	return meta{Name: "evergrant", Version: s.c.Version, API: "v1", PublicURL: s.c.PublicURL, Deprecations: []string{}}, nil
}

// livez says that the process answers.
func (s *server) livez(c *call) { writeText(c.w, http.StatusOK, "ok\n") }

// readyz says whether tokens can be handed out and renewed. A provider's outage
// does not count. What a failed check said is in the log, not here.
func (s *server) readyz(c *call) {
	ctx := c.r.Context()
	checks := s.c.Manager.Ready(ctx)
	var lines strings.Builder
	ready := true
	for _, name := range sortedKeys(checks) {
		if err := checks[name]; err != nil {
			ready = false
			lines.WriteString("[-]" + name + " failed\n")
			s.log.LogAttrs(ctx, slog.LevelWarn, "api: not ready", slog.String("check", name), attrRequest(c.id), attrError(err))
			continue
		}
		lines.WriteString("[+]" + name + " ok\n")
	}
	switch {
	case !ready:
		c.w.Header().Set("Retry-After", "2")
		writeText(c.w, http.StatusServiceUnavailable, lines.String()+"not ready\n")
	case c.r.URL.Query().Has("verbose"):
		writeText(c.w, http.StatusOK, lines.String()+"ready\n")
	default:
		writeText(c.w, http.StatusOK, "ok\n")
	}
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	writeBody(w, status, []byte(text))
}

// metrics serves the registry and the number of connections. The latter is
// counted when asked, on a registry of its own, because the handlers of one
// process share the other.
func (s *server) metrics() http.Handler {
	own := prometheus.NewRegistry()
	own.MustRegister(connectionCount{s, prometheus.NewDesc("evergrant_connections",
		"Connections by state and reason.", []string{"app", "state", "reason"}, nil)})
	own.MustRegister(runwaySeconds{s, prometheus.NewDesc("evergrant_runway_seconds",
		"Time until the first grant dies if refreshing stops now.", []string{"app"}, nil)})
	return promhttp.HandlerFor(prometheus.Gatherers{s.c.Metrics.Registry, own},
		promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// countTimeout bounds the count of connections for one scrape.
const countTimeout = 5 * time.Second

// connectionCount collects how many connections are in which state.
type connectionCount struct {
	s    *server
	desc *prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (c connectionCount) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements [prometheus.Collector]. An app's incident shows in its
// connections, as it does everywhere.
func (c connectionCount) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
	defer cancel()
	counts, err := c.s.c.Store.CountConnections(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.desc, err)
		return
	}
	incidents := map[string]grant.Reason{}
	for _, a := range c.s.c.Manager.Apps() {
		if a.Reason != grant.OK && a.Reason != "" {
			incidents[a.App.Name] = a.Reason
		}
	}
	type labels struct {
		app    string
		state  grant.State
		reason grant.Reason
	}
	sums := map[labels]int{}
	for _, n := range counts {
		l := labels{n.App, n.State, n.Reason}
		if r, ok := incidents[n.App]; ok && n.State == grant.Connected {
			l.state, l.reason = r.State(), r
		}
		sums[l] += n.Count
	}
	for l, n := range sums {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), l.app, string(l.state), string(l.reason))
	}
}
