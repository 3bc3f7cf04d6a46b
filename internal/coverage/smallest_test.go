package coverage

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawReach draws which of n grants reach each of some locations.
func drawReach(t *rapid.T, n int) (grants []string, reached [][]string) {
	for i := range n {
		grants = append(grants, fmt.Sprintf("grant_%02d", i))
	}
	if n == 0 {
		return nil, nil
	}
	for range rapid.IntRange(0, 12).Draw(t, "locations") {
		by := rapid.SliceOfNDistinct(rapid.SampledFrom(grants), 1, n, rapid.ID).Draw(t, "by")
		slices.Sort(by)
		reached = append(reached, by)
	}
	return grants, reached
}

// reaches reports whether a choice of grants reaches every location.
func reaches(chosen []string, reached [][]string) bool {
	for _, by := range reached {
		if !slices.ContainsFunc(by, func(g string) bool { return slices.Contains(chosen, g) }) {
			return false
		}
	}
	return true
}

// bruteForce tries every set of grants: the smallest, of several the first in the
// order of ids.
func bruteForce(grants []string, reached [][]string) []string {
	best := append([]string{}, grants...)
	for set := range uint(1) << len(grants) {
		chosen := []string{}
		for i, g := range grants {
			if set&(1<<i) != 0 {
				chosen = append(chosen, g)
			}
		}
		if !reaches(chosen, reached) {
			continue
		}
		if n := bits.OnesCount(set); n < len(best) || n == len(best) && slices.Compare(chosen, best) < 0 {
			best = chosen
		}
	}
	return best
}

func TestTheSmallestChoiceIsTheSmallest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		grants, reached := drawReach(t, rapid.IntRange(0, 8).Draw(t, "grants"))
		want := bruteForce(grants, reached)
		if d := cmp.Diff(want, smallest(reached)); d != "" {
			t.Fatalf("%v: %s", reached, d)
		}
	})
}

func TestAGreedyChoiceReachesEverythingWithoutWaste(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, reached := drawReach(t, rapid.IntRange(exactGrants+1, 3*exactGrants).Draw(t, "grants"))
		got := smallest(reached)
		if !reaches(got, reached) || len(got) > len(reached) || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Fatalf("%v: %v", reached, got)
		}
	})
}

func TestManyGrants(t *testing.T) {
	var apart, together [][]string
	var everybody []string
	for i := range 40 {
		g := fmt.Sprintf("grant_%02d", i)
		everybody = append(everybody, g)
		apart = append(apart, []string{g})
		together = append(together, []string{"big", g})
	}
	for name, c := range map[string]struct {
		reached [][]string
		want    []string
	}{
		"each with a location of its own are all needed":       {apart, everybody},
		"one that reaches everything does":                     {together, []string{"big"}},
		"what only one reaches decides what the others add":    {[][]string{{"a"}, {"a", "b"}, {"b", "c"}, {"c", "d"}}, []string{"a", "c"}},
		"nothing is reached":                                   {nil, []string{}},
		"of two that reach the same it is the first":           {[][]string{{"a", "b"}, {"a", "b"}}, []string{"a"}},
		"greedy would take the largest, and two do without it": {[][]string{{"a", "m"}, {"a", "m"}, {"a"}, {"b", "m"}, {"b", "m"}, {"b"}}, []string{"a", "b"}},
	} {
		if d := cmp.Diff(c.want, smallest(c.reached)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestTheWorstExactCase is one that no smaller choice settles: every two grants
// share a location that nobody else reaches, so all but one are needed.
func TestTheWorstExactCase(t *testing.T) {
	var reached [][]string
	for i := range exactGrants {
		for j := range i {
			reached = append(reached, []string{fmt.Sprintf("grant_%02d", j), fmt.Sprintf("grant_%02d", i)})
		}
	}
	if got := smallest(reached); len(got) != exactGrants-1 {
		t.Errorf("%v", got)
	}
}
