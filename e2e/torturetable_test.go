//go:build torture

package e2e_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

// rest waits until every grant was renewed after a moment, and gives a token
// that works, or is lost.
func (x *torture) rest(after time.Time) {
	rested := make(map[int]bool)
	eventually(x.t, 2*time.Minute, "every grant is renewed or given up after the last fault", func() bool {
		for n := range int(x.grants.Load()) {
			if rested[n] || x.isLost(n) {
				continue
			}
			g := x.server.grant(ref(n))
			switch {
			case g.State == "needs_reauthorization":
				x.lose(n)
			case g.State == "connected" && g.IssuedAt.After(after):
				if _, ok := x.fetch(x.t.Context(), n); !ok {
					x.t.Errorf("%s is connected and its token does not work", ref(n))
				}
				rested[n] = true
			default:
				return false
			}
		}
		return true
	})
}

// judge compares what happened with what the oracle saw.
func (x *torture) judge() {
	t, n := x.t, &x.tally
	n.report, n.back = x.oracle.Report(), wentBack(x.oracle.Sends())
	costs := map[int]int{} // by process
	for grant := range x.lost {
		name := business(grant)
		cut, ok := x.oracle.Cut(name)
		end, seen := x.oracle.ending(cut)
		by := slices.IndexFunc(x.blows, func(b blow) bool { return seen && b.took(cut, end) })
		switch {
		case !ok || x.resendable() || by < 0 && cut.Outcome != "rotated, answer lost":
			n.unexplained = append(n.unexplained, name)
			t.Errorf("%s is lost and nothing explains it; its last rotation that was cut off: %v, %+v; its sender: %s; it let go of the connection %v after the answer (%v, reset %v); the machine stalled for at most %v around it",
				name, ok, cut, around(x.blows, cut), end.at.Sub(cut.End), seen, end.reset, x.stalls.near(cut.End))
		case by >= 0:
			costs[x.blows[by].process]++
			n.worst = max(n.worst, costs[x.blows[by].process])
		}
	}
	if n.worst > inFlightStrict {
		t.Errorf("one process took %d grants along, want %d at most", n.worst, inFlightStrict)
	}
	if r := n.report; r.Overlaps != 0 || r.Unknown != 0 || n.back != 0 {
		t.Errorf("%d sends overlapped, %d tokens were never issued, %d were presented after a successor", r.Overlaps, r.Unknown, n.back)
	}
	// Where every repetition brings a new pair, a token whose answers were cut off
	// twice is two generations late through nobody's fault.
	if n.report.TwoLate != 0 && !x.resendable() {
		t.Errorf("%d refresh tokens were presented two generations late", n.report.TwoLate)
	}
	if e, u := n.expired.Load(), n.unusable.Load(); e != 0 || u != 0 {
		t.Errorf("of %d tokens handed out %d had ended and %d did not work", n.used.Load(), e, u)
	}
}

// took is cut, judged by how the connection of the send ended, however long a busy
// machine took for any of it. A process that has read an answer lets go of the
// connection at once: one that lasted until the death had not been read, and one
// that was let go of shortly before had been, and had to be journaled.
func (b blow) took(s oracle.Send, end ending) bool {
	process, _, _ := strings.Cut(s.Client, ".")
	switch {
	case process != strconv.Itoa(b.process):
		return false
	case !b.to.IsZero(): // it stood still with the answer before it, until its patience was over
		return !end.at.Before(b.from) && s.Start.Before(b.to)
	default:
		// A process that dies lets go of its connections some milliseconds before
		// Linux shows it as dead.
		return b.from.Sub(end.at) < slack
	}
}

// inFlightStrict is max_in_flight_strict as it is by default.
const inFlightStrict = 8

// resendable reports whether the policy never costs a grant.
func (x *torture) resendable() bool {
	return x.policy == oracle.Grace || x.policy == oracle.RetireOnUse
}

// tortureTable is what a campaign came to, in one table.
func tortureTable(runs []*torture) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	row := func(name string, value func(*torture) string) {
		fmt.Fprintf(w, "| %s\t|", name)
		for _, x := range runs {
			fmt.Fprintf(w, " %s\t|", value(x))
		}
		fmt.Fprintln(w)
	}
	number := func(name string, value func(*torture) int64) {
		row(name, func(x *torture) string { return fmt.Sprint(value(x)) })
	}
	row("", func(x *torture) string { return x.policy })
	row("---", func(*torture) string { return "---:" })
	number("faults", (*torture).faults)
	number("of them: processes killed", func(x *torture) int64 { return int64(x.tally.kills) })
	number("processes stopped for a while", func(x *torture) int64 { return int64(x.tally.pauses) })
	number("processes with a failing step", func(x *torture) int64 { return int64(x.tally.errors) })
	number("of them: ended at their start by it", func(x *torture) int64 { return int64(x.tally.starts) })
	number("processes ended by SIGTERM", func(x *torture) int64 { return int64(x.tally.terms) })
	number("requests the provider failed", func(x *torture) int64 { return x.tally.troubles.Load() })
	number("refreshes", func(x *torture) int64 { return int64(x.tally.report.Rotations) })
	row("sends per refresh", func(x *torture) string {
		return fmt.Sprintf("%.3f", float64(x.tally.report.Sends)/float64(max(1, x.tally.report.Rotations)))
	})
	number("sends that overlapped", func(x *torture) int64 { return int64(x.tally.report.Overlaps) })
	number("refresh tokens used after a successor", func(x *torture) int64 { return int64(x.tally.back) })
	number("grants lost", func(x *torture) int64 { return int64(len(x.lost)) })
	number("of them unexplained", func(x *torture) int64 { return int64(len(x.tally.unexplained)) })
	number("most lost with one process", func(x *torture) int64 { return int64(x.tally.worst) })
	number("tokens handed out", func(x *torture) int64 { return x.tally.used.Load() })
	number("of them ended", func(x *torture) int64 { return x.tally.expired.Load() })
	number("of them refused though not ended", func(x *torture) int64 { return x.tally.unusable.Load() })
	number("recoveries measured", func(x *torture) int64 { return int64(len(x.tally.recovery)) })
	number("recoveries that never came: grant lost", func(x *torture) int64 { return int64(x.tally.outlived) })
	row("from a kill to a token, p50", func(x *torture) string { return percentile(x.tally.recovery, 0.50) })
	row("from a kill to a token, p99", func(x *torture) string { return percentile(x.tally.recovery, 0.99) })
	_ = w.Flush()
	return b.String()
}

func percentile(all []time.Duration, p float64) string {
	if len(all) == 0 {
		return "-"
	}
	sorted := slices.SortedFunc(slices.Values(all), cmp.Compare)
	return sorted[int(p*float64(len(sorted)-1))].Round(time.Millisecond).String()
}
