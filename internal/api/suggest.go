package api

import (
	"maps"
	"slices"
	"strings"
)

// suggest returns "; did you mean x?" for the name nearest to what was written,
// and "" if none is near.
func suggest(written string, names []string) string {
	best, nearest := "", 3 // two slips at most
	if len(written) > 64 {
		return ""
	}
	slices.Sort(names)
	for _, n := range names {
		if d := distance(strings.ToLower(written), n); d < nearest && d < len(n) {
			best, nearest = n, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is the number of characters to insert, delete, replace or swap with
// their neighbour to get from a to b.
func distance(a, b string) int {
	var before, last []int
	next := make([]int, len(b)+1)
	for j := range next {
		next[j] = j
	}
	for i := range len(a) {
		before, last, next = last, next, make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(last[j+1]+1, next[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
	}
	return next[len(b)]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// clip keeps a stranger's text short enough for an error message.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
