package telemetry_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/telemetry"
)

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// watched returns metrics with trends on a clock of their own.
func watched() (*telemetry.Metrics, *clock) {
	c := &clock{time.Date(2026, 11, 22, 9, 0, 30, 0, time.UTC)}
	m := telemetry.NewMetrics("test")
	m.Trends = telemetry.NewTrends(c.now)
	return m, c
}

func TestTrendsCountForAnHourADayAndAMonth(t *testing.T) {
	t.Parallel()
	m, c := watched()
	begun := c.at
	m.Refreshed("k", "ok", "ok", 100*time.Millisecond)
	m.Refreshed("k", "temporary", "provider_unavailable", 2*time.Second)
	m.Refreshed("other", "permanent", "revoked_by_merchant", time.Second)
	counts := func() (all [3][2]int) {
		for i, tr := range m.Trends.Of("k") {
			all[i] = [2]int{tr.OK, tr.Failed}
		}
		return all
	}
	for _, step := range []struct {
		name string
		by   time.Duration
		want [3][2]int
	}{
		{"at once", 0, [3][2]int{{1, 1}, {1, 1}, {1, 1}}},
		{"within the hour", 59 * time.Minute, [3][2]int{{1, 1}, {1, 1}, {1, 1}}},
		{"after it", 2 * time.Minute, [3][2]int{{0, 0}, {1, 1}, {1, 1}}},
		{"after a day", 24 * time.Hour, [3][2]int{{0, 0}, {0, 0}, {1, 1}}},
		{"after a month", 30 * 24 * time.Hour, [3][2]int{}},
		{"after years", 3000 * 24 * time.Hour, [3][2]int{}},
	} {
		c.at = c.at.Add(step.by)
		if d := cmp.Diff(step.want, counts()); d != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, d)
		}
	}
	if !m.Trends.Since().Equal(begun) {
		t.Errorf("counts since %s", m.Trends.Since())
	}
	if got := m.Trends.Of("never seen"); !cmp.Equal(got, [3]telemetry.Trend{}) {
		t.Errorf("an app without refreshes has %+v", got)
	}
}

func TestTrendsSayWhyMostFrequentFirst(t *testing.T) {
	t.Parallel()
	m, _ := watched()
	for range 3 {
		m.Refreshed("k", "answer_lost", "answer_lost", time.Second)
	}
	m.Refreshed("k", "temporary", "throttled", time.Second)
	m.Refreshed("k", "temporary", "provider_unavailable", time.Second)
	want := []telemetry.ReasonCount{{"answer_lost", 3}, {"provider_unavailable", 1}, {"throttled", 1}}
	if d := cmp.Diff(want, m.Trends.Of("k")[0].Reasons); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for i := range 100 { // more reasons than there are lose their names and no count
		m.Refreshed("many", "temporary", fmt.Sprint("reason ", i), time.Second)
	}
	if tr := m.Trends.Of("many")[0]; tr.Failed != 100 || len(tr.Reasons) > 24 {
		t.Errorf("%d failures for %d reasons", tr.Failed, len(tr.Reasons))
	}
}

// TestQuantilesAreWithinAThird compares with what sorting tells.
func TestQuantilesAreWithinAThird(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m, _ := watched()
		took := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(2001, 50_000_000).Draw(rt, "microseconds")) * time.Microsecond
		}), 1, 200).Draw(rt, "took")
		for _, d := range took {
			m.Refreshed("k", "ok", "ok", d)
		}
		slices.Sort(took)
		tr := m.Trends.Of("k")[0]
		for _, q := range []struct {
			share float64
			got   time.Duration
		}{{0.5, tr.P50}, {0.95, tr.P95}} {
			exact := took[max(int(float64(len(took))*q.share+0.9999999)-1, 0)]
			if ratio := float64(q.got) / float64(exact); ratio < 1/1.31 || ratio > 1.31 {
				rt.Fatalf("%g of %d: %s, exactly %s", q.share, len(took), q.got, exact)
			}
		}
	})
}

func TestLatenciesOfAnyLengthAreCounted(t *testing.T) {
	t.Parallel()
	m, _ := watched()
	for _, d := range []time.Duration{-time.Hour, 0, 1, time.Millisecond, time.Hour, 300 * 24 * time.Hour} {
		m.Refreshed("k", "ok", "ok", d)
	}
	if tr := m.Trends.Of("k")[0]; tr.OK != 6 || tr.P95 < 50*time.Second || tr.P50 > 3*time.Millisecond {
		t.Errorf("%+v", tr)
	}
}

func TestAnswersAreKeptOnceEachTheLastSeenFirst(t *testing.T) {
	t.Parallel()
	m, c := watched()
	begun := c.at
	busy := telemetry.Answer{Status: 503, Description: "busy"}
	no := telemetry.Answer{Status: 400, Code: "invalid_grant"}
	m.Answered("k", busy)
	c.at = c.at.Add(time.Minute)
	m.Answered("k", no)
	c.at = c.at.Add(time.Minute)
	m.Answered("k", busy)
	want := []telemetry.Seen{
		{Answer: busy, Count: 2, First: begun, Last: begun.Add(2 * time.Minute)},
		{Answer: no, Count: 1, First: begun.Add(time.Minute), Last: begun.Add(time.Minute)},
	}
	if d := cmp.Diff(want, m.Trends.Answers("k")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for i := range 100 {
		c.at = c.at.Add(time.Second)
		m.Answered("k", telemetry.Answer{Description: fmt.Sprint("answer ", i)})
	}
	all := m.Trends.Answers("k")
	if len(all) != 40 || all[0].Description != "answer 99" || all[39].Description != "answer 60" {
		t.Errorf("%d answers, from %q to %q", len(all), all[0].Description, all[len(all)-1].Description)
	}
	if m.Trends.Answers("none") != nil {
		t.Error("an app that was never refused has answers")
	}
}

func TestMetricsWithoutTrendsCountAll(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("test")
	m.Refreshed("k", "ok", "ok", time.Second)
	m.Answered("k", telemetry.Answer{Status: 500})
}

func TestTrendsAreSafeForManyAtOnce(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("test")
	m.Trends = telemetry.NewTrends(time.Now)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				app := fmt.Sprint("app ", rand.IntN(3))
				m.Refreshed(app, "ok", "ok", time.Second)
				m.Answered(app, telemetry.Answer{Status: rand.IntN(100)})
				_, _ = m.Trends.Of(app), m.Trends.Answers(app)
			}
		})
	}
	all.Wait()
	n := 0
	for i := range 3 {
		n += m.Trends.Of(fmt.Sprint("app ", i))[2].OK
	}
	if n != 8*500 {
		t.Errorf("%d were counted", n)
	}
}

// BenchmarkRefreshed is what counting a refresh costs.
func BenchmarkRefreshed(b *testing.B) {
	m := telemetry.NewMetrics("test")
	m.Trends = telemetry.NewTrends(time.Now)
	b.ReportAllocs()
	for b.Loop() {
		m.Refreshed("k", "temporary", "provider_unavailable", time.Second)
	}
}
