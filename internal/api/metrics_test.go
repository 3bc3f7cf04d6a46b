package api_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/api"
	"github.com/evergrant/evergrant/internal/api/apitest"
)

var update = flag.Bool("update", false, "write testdata/metrics.golden")

// TestMetricNames holds every metric of ours, its help and its type to the list
// that dashboards and alerts are written against.
func TestMetricNames(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_1", "k-series")
	expect(t, k.Do(admin, "POST", "/v1/connections/biz_1@k-series/refresh", ""), 200)
	expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series/token", ""), 200)
	k.Config.Metrics.Link("k-series", "created")
	k.Config.Metrics.Late("k-series", 0)
	k.Config.Metrics.AppAccepted("k-series", true)
	k.Config.Metrics.Delivered("app", "ok")
	expect(t, k.Do(admin, "POST", "/v1/connections", `{"ref":"biz_2@k-series","tokens":{"access_token":"a","refresh_token":"r","expires_in":3600,`+
		`"refresh_expires_at":"`+k.Now().Add(24*time.Hour).UTC().Format(time.RFC3339)+`"}}`), 201)
	var got []string
	for line := range strings.Lines(k.Do("", "GET", "/metrics", "").Body) {
		if strings.HasPrefix(line, "# ") && strings.Contains(line, " evergrant_") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	slices.Sort(got)
	text := strings.Join(got, "\n") + "\n"
	const golden = "testdata/metrics.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text {
		t.Errorf("metrics have changed; if that is meant, run with -update:\n%s", text)
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_1", "k-series")
	k.Adopt("biz_2", "k-series")
	expect(t, k.Do(admin, "POST", "/v1/connections", `{"ref":"new@r-series"}`), 201)
	expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series/token", ""), 200)
	expectProblem(t, k.Do(admin, "GET", "/v1/connections/new@r-series/token", ""), 409, "never_connected")
	expectProblem(t, k.Do(admin, "GET", "/v1/connections/new@made-up/token", ""), 404, "not_found")
	body := k.Do("", "GET", "/metrics", "").Body
	for _, want := range []string{
		`evergrant_connections{app="k-series",reason="ok",state="connected"} 2`,
		`evergrant_connections{app="r-series",reason="never_connected",state="pending"} 1`,
		`evergrant_token_requests_total{app="k-series",result="held"} 1`,
		`evergrant_token_requests_total{app="r-series",result="refused"} 1`,
		`evergrant_build_info{`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("there is no %s", want)
		}
	}
	for _, secret := range []string{"biz_1", "made-up"} {
		if strings.Contains(body, secret) {
			t.Errorf("a metric names %s", secret)
		}
	}
}

func TestTwoHandlersShareOneRegistry(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	h, err := api.New(k.Config)
	if err != nil {
		t.Fatal(err)
	}
	if a := apitest.Serve(h, "", "GET", "/metrics", ""); a.Status != 200 || !strings.Contains(a.Body, "evergrant_build_info") {
		t.Errorf("%d", a.Status)
	}
}
