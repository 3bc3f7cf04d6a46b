package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// Traces sends a span for each request to the API and each refresh to a collector,
// by OTLP over HTTP. Spans are told of when they have ended, in groups; what a
// collector does not take in time is dropped and never waited for. No attribute
// has a token, a body, a path or the name of a business.
//
// A nil *Traces traces nothing. It is safe for concurrent use.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	context  propagation.TraceContext
}

// TracesConfig is what Traces are made from.
type TracesConfig struct {
	// Endpoint is the collector's address; /v1/traces below it takes the spans. What
	// else there is to say, such as headers, comes from OTEL_EXPORTER_OTLP_HEADERS
	// and its like, whose names are OpenTelemetry's.
	Endpoint string
	Version  string
	Logger   *slog.Logger
}

// tracesTold is the least between two log lines about a collector.
const tracesTold = time.Minute

// NewTraces returns Traces, which need a Stop. Whether the collector is there is
// seen when there are spans to send.
func NewTraces(ctx context.Context, c TracesConfig) (*Traces, error) {
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(c.Endpoint+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	ours := resource.NewSchemaless(attribute.String("service.name", "evergrant"), attribute.String("service.version", c.Version))
	about, err := resource.Merge(ours, resource.Environment())
	if err != nil {
		return nil, fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(about),
		sdktrace.WithBatcher(&toldExporter{SpanExporter: exporter, log: c.Logger, told: rate.Sometimes{Interval: tracesTold}}))
	return &Traces{provider: provider, tracer: provider.Tracer("github.com/evergrant/evergrant")}, nil
}

// Stop sends what there is and ends, until ctx does.
func (t *Traces) Stop(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// RequestSpan is a request that was answered.
type RequestSpan struct {
	Method, Route string // Route is the pattern that matched, never the path
	ID            string // req_…
	Key           string // id of the API key, "" if there is none
	Status        int
	Began, Ended  time.Time
}

// Request tells of a request, as part of its caller's trace if its header names
// one (W3C Trace Context).
func (t *Traces) Request(header http.Header, r RequestSpan) {
	if t == nil {
		return
	}
	method := knownMethod(r.Method)
	ctx := t.context.Extract(context.Background(), propagation.HeaderCarrier(header))
	_, span := t.tracer.Start(ctx, method+" "+r.Route, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(r.Began),
		trace.WithAttributes(attribute.String("http.request.method", method), attribute.String("http.route", r.Route),
			attribute.Int("http.response.status_code", r.Status),
			attribute.String("evergrant.request_id", r.ID), attribute.String("evergrant.key", r.Key)))
	if r.Status >= http.StatusInternalServerError {
		span.SetAttributes(attribute.String("error.type", strconv.Itoa(r.Status)))
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(r.Ended))
}

// refresh tells of a refresh that has just ended. It is a trace of its own: many
// requests may have waited for it, or none.
func (t *Traces) refresh(app, outcome, reason string, took time.Duration) {
	if t == nil {
		return
	}
	now := time.Now()
	_, span := t.tracer.Start(context.Background(), "refresh", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(now.Add(-took)),
		trace.WithAttributes(attribute.String("evergrant.app", app), attribute.String("evergrant.outcome", outcome),
			attribute.String("evergrant.reason", reason)))
	if outcome != "ok" {
		span.SetAttributes(attribute.String("error.type", reason))
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(now))
}

// knownMethod is a method as the conventions of OpenTelemetry have it: what
// callers may make up is one of them.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
		http.MethodConnect, http.MethodTrace:
		return m
	}
	return "_OTHER"
}

// toldExporter logs what fails, which the library would print.
type toldExporter struct {
	sdktrace.SpanExporter
	log  *slog.Logger
	told rate.Sometimes
}

// ExportSpans implements [sdktrace.SpanExporter].
func (e *toldExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.told.Do(func() {
			e.log.LogAttrs(ctx, slog.LevelWarn, "traces could not be sent", slog.Int("spans", len(spans)), slog.String("error", err.Error()))
		})
	}
	return nil
}
