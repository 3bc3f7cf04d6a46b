package telemetry_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/evergrant/evergrant/internal/telemetry"
)

// spans is a collector that keeps what it is sent.
type spans struct {
	t   *testing.T
	mu  sync.Mutex
	all []*traces.Span
	of  map[string]string // of the process that sent them
}

// ServeHTTP implements [http.Handler].
func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &sent)
	}
	if err != nil || r.URL.Path != "/prefix/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		s.t.Errorf("%s %s: %v", r.URL, r.Header.Get("Content-Type"), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range sent.ResourceSpans {
		s.of = attributes(of.Resource.Attributes)
		for _, scope := range of.ScopeSpans {
			s.all = append(s.all, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func attributes(all []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range all {
		switch v := kv.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			m[kv.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			m[kv.Key] = http.StatusText(int(v.IntValue))
		}
	}
	return m
}

func TestRequestsAndRefreshesAreTraced(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
	got := &spans{t: t}
	srv := httptest.NewServer(got)
	defer srv.Close()
	tr, err := telemetry.NewTraces(t.Context(), telemetry.TracesConfig{Endpoint: srv.URL + "/prefix", Version: "1.2.3", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m := telemetry.NewMetrics("1.2.3")
	m.Traces = tr
	m.Refreshed("k-series", "ok", "ok", 250*time.Millisecond)
	m.Refreshed("k-series", "temporary", "network", time.Second)
	caller := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Authorization": {"Bearer evg_secret"}}
	began := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	tr.Request(caller, telemetry.RequestSpan{Method: "GET", Route: "/v1/connections/{ref}/token", ID: "req_1", Key: "key_1", Status: 200,
		Began: began, Ended: began.Add(time.Millisecond)})
	tr.Request(http.Header{}, telemetry.RequestSpan{Method: "SPY\n", Route: "/proxy/{ref}/{path...}", ID: "req_2", Status: 502, Began: began, Ended: began})
	if err := tr.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	type span struct {
		Name, Kind, Status string
		Attributes         map[string]string
	}
	var seen []span
	for _, s := range got.all {
		seen = append(seen, span{s.Name, s.Kind.String(), s.Status.GetCode().String(), attributes(s.Attributes)})
	}
	const ok, bad = "STATUS_CODE_UNSET", "STATUS_CODE_ERROR"
	want := []span{
		{"refresh", "SPAN_KIND_CLIENT", ok, map[string]string{"evergrant.app": "k-series", "evergrant.outcome": "ok", "evergrant.reason": "ok"}},
		{"refresh", "SPAN_KIND_CLIENT", bad, map[string]string{"evergrant.app": "k-series", "evergrant.outcome": "temporary", "evergrant.reason": "network", "error.type": "network"}},
		{"GET /v1/connections/{ref}/token", "SPAN_KIND_SERVER", ok, map[string]string{"http.request.method": "GET", "http.route": "/v1/connections/{ref}/token",
			"http.response.status_code": "OK", "evergrant.request_id": "req_1", "evergrant.key": "key_1"}},
		{"_OTHER /proxy/{ref}/{path...}", "SPAN_KIND_SERVER", bad, map[string]string{"http.request.method": "_OTHER", "http.route": "/proxy/{ref}/{path...}",
			"http.response.status_code": "Bad Gateway", "evergrant.request_id": "req_2", "evergrant.key": "", "error.type": "502"}},
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Fatal(diff)
	}
	if took := got.all[0].EndTimeUnixNano - got.all[0].StartTimeUnixNano; took != uint64(250*time.Millisecond) {
		t.Errorf("a refresh of 250ms took %v", time.Duration(took))
	}
	asked := got.all[2]
	if trace, parent := []byte("\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c"), []byte("\xb7\xad\x6b\x71\x69\x20\x33\x31"); !bytes.Equal(asked.TraceId, trace) ||
		!bytes.Equal(asked.ParentSpanId, parent) || asked.StartTimeUnixNano != uint64(began.UnixNano()) {
		t.Errorf("trace %x, parent %x, began %d", asked.TraceId, asked.ParentSpanId, asked.StartTimeUnixNano)
	}
	if got.of["service.name"] != "evergrant" || got.of["service.version"] != "1.2.3" || got.of["deployment.environment"] != "test" {
		t.Errorf("they are of %v", got.of)
	}
}

func TestNothingIsTracedWithoutACollector(t *testing.T) {
	var none *telemetry.Traces
	m := telemetry.NewMetrics("test")
	if n := testing.AllocsPerRun(10, func() {
		none.Request(nil, telemetry.RequestSpan{})
		m.Traces.Request(nil, telemetry.RequestSpan{})
	}); n != 0 {
		t.Errorf("that takes %v allocations", n)
	}
	if err := none.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestACollectorThatRefusesIsToldOfOnce(t *testing.T) {
	var log bytes.Buffer
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer srv.Close()
	tr, err := telemetry.NewTraces(t.Context(), telemetry.TracesConfig{Endpoint: srv.URL, Version: "test", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 { // several groups
		tr.Request(nil, telemetry.RequestSpan{Method: "GET", Route: "/v1/meta", Status: 200})
	}
	if err := tr.Stop(t.Context()); err != nil {
		t.Errorf("the end is held up: %v", err)
	}
	if n := strings.Count(log.String(), "traces could not be sent"); n != 1 || !strings.Contains(log.String(), "403") {
		t.Errorf("told %d times: %s", n, log.String())
	}
}
