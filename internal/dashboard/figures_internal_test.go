package dashboard

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func TestAnOutageIsReadInDays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": 3, "0": 0, "0d": 0, "3d": 3, "14": 14, "14d": 14} {
		if got, err := outage(text); err != nil || got != want {
			t.Errorf("outage(%q) = %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"15", "-1", "d", "3h", "3dd", " 3", "1e1", "99999999999999999999"} {
		if got, err := outage(text); err == nil {
			t.Errorf("outage(%q) = %d", text, got)
		}
	}
}

// TestHistogramsShowEveryGrantOnce draws any counts.
func TestHistogramsShowEveryGrantOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.IntRange(0, mostOutage).Draw(t, "days")
		var before []int
		sum := 0
		for range chartDays + 1 {
			sum += rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 3), rapid.IntRange(0, 100_000)).Draw(t, "more")
			before = append(before, sum)
		}
		h := draw("k", before, days)
		shown, lost, right := 0, 0, -1
		for i, c := range h.Bars {
			shown += c.Count
			if c.Lost {
				lost += c.Count
			}
			if (c.H == 0) != (c.Count == 0) || c.H+c.Y > chartHeight || c.Y < 0 || c.H < 0 || c.X <= right || c.Lost != (i < days) {
				t.Fatalf("column %d is %+v", i, c)
			}
			if right = c.X + c.W; right > h.Width {
				t.Fatalf("column %d ends at %d of %d", i, right, h.Width)
			}
		}
		before = append([]int{0}, before...)
		if shown != sum || h.Total != sum || h.Lost != lost || lost != before[days] {
			t.Fatalf("%d shown, %d lost of %d", shown, h.Lost, sum)
		}
	})
}

func TestAnOutageIsToldInASentence(t *testing.T) {
	t.Parallel()
	sunday := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for want, got := range map[string]string{
		"No approval has a known end.":                                                            outageSentence(3, 0, 0, sunday),
		"Without an outage nothing is lost. Drag to imagine one.":                                 outageSentence(0, 5, 0, sunday),
		"If we could not renew for 3 days: 23 approvals would be lost by Wednesday, 25 November.": outageSentence(3, 90, 23, sunday),
		"If we could not renew for 1 day: 1 approval would be lost by Monday, 23 November.":       outageSentence(1, 90, 1, sunday),
		"If we could not renew for 14 days: nothing would be lost by Sunday, 6 December.":         outageSentence(14, 90, 0, sunday),
	} {
		if got != want {
			t.Errorf("says %q, want %q", got, want)
		}
	}
}

func TestOnlyAllOfThemIsAHundredPercent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		part, whole int
		want        string
	}{{1, 1, "100\u00a0%"}, {0, 3, "0.0\u00a0%"}, {2, 3, "66.7\u00a0%"}, {999_999, 1_000_000, "99.99\u00a0%"}, {9_995, 10_000, "99.95\u00a0%"}} {
		if got := share(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d is %q, want %q", c.part, c.whole, got, c.want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0.0 ms", 2_340 * time.Microsecond: "2.3 ms", 41 * time.Millisecond: "41 ms", 1_250 * time.Millisecond: "1.2 s"} {
		if got := latency(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

func TestTheFunnelNarrows(t *testing.T) {
	t.Parallel()
	var p links
	p.funnel([]store.LinkCount{
		{Locale: "nl", State: grant.LinkStateCreated, Count: 1},
		{Locale: "nl", State: grant.LinkStateOpened, Expired: true, Count: 2},
		{Locale: "", State: grant.LinkStateAtProvider, Count: 4},
		{Locale: "nl", State: grant.LinkStateFailed, Problem: grant.ProblemDeclined, Count: 8},
		{Locale: "nl", State: grant.LinkStateRevoked, Count: 16},
		{Locale: "", State: grant.LinkStateRevoked, Problem: grant.ProblemLostSession, Count: 32},
		{Locale: "xx", State: grant.LinkStateCompleted, Problem: grant.ProblemDeclined, Count: 64},
	})
	var counts []int
	for _, s := range p.Funnel {
		counts = append(counts, s.Count)
	}
	if want := []int{127, 110, 108, 64}; !slices.Equal(counts, want) || p.TakenBack != 48 {
		t.Errorf("%v, want %v; %d taken back", counts, want, p.TakenBack)
	}
	var problems []string
	for _, l := range p.Problems {
		problems = append(problems, l.Problem)
	}
	if d := cmp.Diff([]string{"lost_session", "declined"}, problems); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
	want := []languageLine{{"xx", 64, 64, 64, 64}, {"the browser’s", 36, 36, 36, 0}, {"Nederlands", 27, 10, 8, 0}}
	if d := cmp.Diff(want, p.Languages); d != "" {
		t.Errorf("languages (-want +got):\n%s", d)
	}
}

func TestDaysAreShownByTheirWorstState(t *testing.T) {
	t.Parallel()
	today := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	ago := func(days, hours int) time.Time {
		return today.AddDate(0, 0, -days).Add(time.Duration(hours) * time.Hour)
	}
	states := func(cs []cell) string {
		var b strings.Builder
		for _, c := range cs {
			b.WriteByte(c.State[0])
		}
		return b.String()
	}
	none := func(n int) string { return strings.Repeat("n", n) }
	for name, test := range map[string]struct {
		events []grant.Event
		state  string
		since  time.Time
		want   string
	}{
		"without events it was always as it is": {nil, "connected", ago(90, 0), strings.Repeat("c", 30)},
		"made today":                            {[]grant.Event{{Type: grant.ConnectionConnected, Time: ago(0, 1)}}, "connected", ago(0, 1), none(29) + "c"},
		"degraded for an hour, five days ago": {[]grant.Event{{Type: grant.ConnectionConnected, Time: ago(7, 1)}, {Type: grant.ConnectionDegraded, Time: ago(5, 1)},
			{Type: grant.ConnectionRecovered, Time: ago(5, 2)}}, "connected", ago(5, 2), none(22) + "ccdccccc"},
		"an event that tells of no state": {[]grant.Event{{Type: grant.LinkCreated, Time: ago(1, 1)}}, "connected", ago(40, 1), strings.Repeat("c", 30)},
	} {
		if got := states(cells(test.events, test.state, test.since, today)); got != test.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, test.want)
		}
	}
}

func TestEventIDs(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{"evt_01M8189862FMK00Z3SCESWHHQ5": true, "evt_": false, "": false, "evt_01m8189862fmk00z3sceswhhq5": false,
		"conn_01M8189862FMK00Z3SCESWHHQ5": false, "evt_01M8189862FMK00Z3SCESWHHQU": false} {
		if isEventID(id) != want {
			t.Errorf("isEventID(%q) is not %t", id, want)
		}
	}
}

func TestWebhookAddressesAreShownWithoutSecrets(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{"https://a.example/hook": "https://a.example/hook", "https://u:p@a.example/h?token=x#y": "https://a.example/h?…", "%": "–"} {
		if got := address(raw); got != want {
			t.Errorf("%q is shown as %q, want %q", raw, got, want)
		}
	}
}
