// Package telemetry holds what Evergrant tells about itself: metrics and logs.
// Labels are closed sets; no metric has a label per business.
package telemetry

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the counters the engine and the API keep. Names and labels are the
// contract's.
type Metrics struct {
	Registry *prometheus.Registry
	// Trends keeps how refreshes went, for people; nil: nobody does. Set it before
	// anything is counted.
	Trends *Trends
	// Traces is told of refreshes, and of requests by who answers them; nil: nobody
	// is. Set it before anything is counted.
	Traces *Traces

	refreshes  *prometheus.CounterVec
	sends      *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	lateness   *prometheus.HistogramVec
	requests   *prometheus.CounterVec
	requestDur *prometheus.HistogramVec
	appOK      *prometheus.GaugeVec
	links      *prometheus.CounterVec
	deliveries *prometheus.CounterVec
}

// NewMetrics returns metrics on a registry of their own.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "evergrant_refresh_total", Help: "Token refreshes by what they came to.",
		}, []string{"app", "outcome", "reason"}),
		sends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "evergrant_refresh_sends_total", Help: "Refresh tokens presented; divided by the refreshes that came to ok, the sends per rotation.",
		}, []string{"app"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "evergrant_refresh_duration_seconds", Help: "From opening a refresh attempt to its durable end.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2.5, 10),
		}, []string{"app"}),
		lateness: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "evergrant_refresh_lateness_seconds", Help: "How long after its due time a scheduled refresh began.",
			Buckets: prometheus.ExponentialBuckets(0.01, 3, 10),
		}, []string{"app"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "evergrant_token_requests_total", Help: "Token requests by result.",
		}, []string{"app", "result"}),
		requestDur: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "evergrant_token_request_duration_seconds", Help: "How long token requests took.",
			Buckets: prometheus.ExponentialBuckets(0.00001, 4, 10),
		}, []string{"app"}),
		appOK: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "evergrant_app_credentials_ok", Help: "Whether the provider accepts the app's client id and secret.",
		}, []string{"app"}),
		links: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "evergrant_links_total", Help: "Links by the state they came to.",
		}, []string{"app", "state"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "evergrant_webhook_deliveries_total", Help: "Events sent to webhooks by what came of it.",
		}, []string{"webhook", "outcome"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "evergrant_build_info", Help: "The running version.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	})
	build.Set(1)
	m.Registry.MustRegister(m.refreshes, m.sends, m.duration, m.lateness, m.requests, m.requestDur, m.appOK, m.links, m.deliveries, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Refreshed counts one refresh. Outcome is ok, temporary, permanent or answer_lost.
func (m *Metrics) Refreshed(app, outcome, reason string, took time.Duration) {
	m.refreshes.WithLabelValues(app, outcome, reason).Inc()
	m.duration.WithLabelValues(app).Observe(took.Seconds())
	m.Traces.refresh(app, outcome, reason, took)
	if m.Trends != nil {
		why := ""
		if outcome != "ok" {
			why = reason
		}
		m.Trends.refreshed(app, why, took)
	}
}

// Answered takes in what a provider answered instead of tokens.
func (m *Metrics) Answered(app string, a Answer) {
	if m.Trends != nil {
		m.Trends.answered(app, a)
	}
}

// Sent counts a refresh token that is about to be presented.
func (m *Metrics) Sent(app string) { m.sends.WithLabelValues(app).Inc() }

// Late observes how long after its due time a scheduled refresh began.
func (m *Metrics) Late(app string, by time.Duration) {
	m.lateness.WithLabelValues(app).Observe(max(by, 0).Seconds())
}

// TokenRequest counts one token request. Result is held, refreshed or refused.
func (m *Metrics) TokenRequest(app, result string, took time.Duration) {
	m.requests.WithLabelValues(app, result).Inc()
	m.requestDur.WithLabelValues(app).Observe(took.Seconds())
}

// AppAccepted says whether the provider accepts the app's credentials.
func (m *Metrics) AppAccepted(app string, ok bool) {
	v := 0.0
	if ok {
		v = 1
	}
	m.appOK.WithLabelValues(app).Set(v)
}

// Link counts a link that came to a state.
func (m *Metrics) Link(app, state string) { m.links.WithLabelValues(app, state).Inc() }

// Delivered counts an event that was sent to a webhook. Outcome is ok, failed or
// disabled.
func (m *Metrics) Delivered(webhook, outcome string) {
	m.deliveries.WithLabelValues(webhook, outcome).Inc()
}
