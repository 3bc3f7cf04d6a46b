package api_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/telemetry"
)

// TestTracesTellOfRequestsAndOfNoSecret looks at the bytes that go to a collector.
func TestTracesTellOfRequestsAndOfNoSecret(t *testing.T) {
	var sent bytes.Buffer // written to by one request at a time, and read after the last
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(&sent, r.Body) }))
	defer srv.Close()
	traces, err := telemetry.NewTraces(t.Context(), telemetry.TracesConfig{Endpoint: srv.URL, Version: "test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	k := apitest.New(t, apitest.Options{})
	k.Config.Metrics.Traces = traces
	k.Adopt("biz_1", "k-series")
	const one = "/v1/connections/biz_1@k-series"
	const caller = "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	token := expect(t, k.Do(admin, "GET", one+"/token?min_valid=77s", "", caller), 200)
	next := expect(t, k.Do(admin, "POST", one+"/token/reject", `{"fingerprint":"`+token["fingerprint"].(string)+`"}`, caller), 200)
	k.Do("evg_wrong", "GET", "/proxy/biz_1@k-series/a-path", "")
	k.Do("", "GET", "/readyz", "")
	if err := traces.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	var told collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(sent.Bytes(), &told); err != nil {
		t.Fatal(err)
	}
	in := map[string]string{} // names of spans, each with its trace
	for _, of := range told.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				in[s.Name] = string(s.TraceId)
			}
		}
	}
	const read, rejected, carried = "GET /v1/connections/{ref}/token", "POST /v1/connections/{ref}/token/reject", "GET /proxy/{ref}/{path...}"
	if len(in) != 4 || in["refresh"] == "" || in[carried] == "" || in[read] == "" || in[read] != in[rejected] || in[read] == in[carried] {
		t.Errorf("%d spans: %q", len(in), in)
	}
	for _, secret := range []string{admin, "evg_wrong", token["access_token"].(string), next["access_token"].(string), "biz_1", "77s", "a-path", token["fingerprint"].(string)} {
		if bytes.Contains(sent.Bytes(), []byte(secret)) {
			t.Errorf("they tell %q", secret)
		}
	}
}
