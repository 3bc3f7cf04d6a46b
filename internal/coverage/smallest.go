package coverage

import (
	"maps"
	"slices"
)

// exactGrants is up to how many grants that could replace each other the
// smallest choice among them is searched for exhaustively: sixteen are 65,536
// choices at most, which takes milliseconds.
const exactGrants = 16

// smallest returns the fewest grants of which every location is reached by at
// least one; each of reached is the grants that reach one location, not empty.
//
// A grant that alone reaches a location is in every answer, whatever their
// number. Among those that are left, after what they reach is taken care of, the
// answer is exact for up to [exactGrants] grants: the smallest, and of several
// smallest ones the first in the order of ids. A business has a login for each
// of a few people, so this is every business we can think of. Beyond that the
// choice is greedy, each time the grant that reaches most of what is still
// missing: finding the fewest is NP-hard (it is set cover), and greedy is within
// a factor of ln(locations)+1 of it.
func smallest(reached [][]string) []string {
	chosen := make(map[string]bool)
	for _, grants := range reached {
		if len(grants) == 1 {
			chosen[grants[0]] = true
		}
	}
	var open [][]string // locations that are still to be reached
	candidates := make(map[string]bool)
	for _, grants := range reached {
		if slices.ContainsFunc(grants, func(g string) bool { return chosen[g] }) {
			continue
		}
		open = append(open, grants)
		for _, g := range grants {
			candidates[g] = true
		}
	}
	if len(open) > 0 {
		choose := greedy
		if len(candidates) <= exactGrants {
			choose = exact
		}
		for _, g := range choose(slices.Sorted(maps.Keys(candidates)), open) {
			chosen[g] = true
		}
	}
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(chosen))))
}

// exact tries every choice, smaller ones first. The grants are sorted, and so are
// the choices of one size.
func exact(grants []string, open [][]string) []string {
	sets := make(map[uint]bool, len(open)) // of grants, one bit each; many locations have the same
	for _, reachedBy := range open {
		set := uint(0)
		for _, g := range reachedBy {
			at, _ := slices.BinarySearch(grants, g)
			set |= 1 << at
		}
		sets[set] = true
	}
	for size := 1; ; size++ { // all of them together reach everything
		for choice := range choices(len(grants), size) {
			if meetsAll(choice, sets) {
				var chosen []string
				for i, g := range grants {
					if choice&(1<<i) != 0 {
						chosen = append(chosen, g)
					}
				}
				return chosen
			}
		}
	}
}

// choices yields every choice of size out of n, one bit each, those with the
// lowest bits first, as words are in a dictionary.
func choices(n, size int) func(yield func(uint) bool) {
	return func(yield func(uint) bool) { extend(0, 0, n, size, yield) }
}

// extend yields every choice that adds size more bits, none below from, to one.
func extend(choice uint, from, n, size int, yield func(uint) bool) bool {
	if size == 0 {
		return yield(choice)
	}
	for i := from; i <= n-size; i++ {
		if !extend(choice|1<<i, i+1, n, size-1, yield) {
			return false
		}
	}
	return true
}

// meetsAll reports whether a set of grants has one in common with each of sets.
func meetsAll(set uint, sets map[uint]bool) bool {
	for s := range sets {
		if s&set == 0 {
			return false
		}
	}
	return true
}

// greedy takes, again and again, the grant that reaches most of what is missing,
// and of several the first.
func greedy(grants []string, open [][]string) []string {
	var chosen []string
	for len(open) > 0 {
		gain := make(map[string]int, len(grants))
		for _, reachedBy := range open {
			for _, g := range reachedBy {
				gain[g]++
			}
		}
		best := grants[0]
		for _, g := range grants {
			if gain[g] > gain[best] {
				best = g
			}
		}
		chosen = append(chosen, best)
		open = slices.DeleteFunc(slices.Clone(open), func(reachedBy []string) bool { return slices.Contains(reachedBy, best) })
	}
	return chosen
}
