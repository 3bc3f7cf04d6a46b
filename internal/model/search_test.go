package model

import (
	"fmt"
	"slices"
	"strings"
)

// kinds is a set of things that went wrong, or nearly so.
type kinds uint8

const (
	overlap   kinds = 1 << iota // two sends of the grant were under way
	older                       // an older version became current
	loss                        // the grant was lost and nothing explains it
	stale                       // a token was presented although a newer one was durable
	parked                      // an answer for the current version did not become current
	stuck                       // the grant is not refreshed although nothing is in the way
	explained                   // the grant was lost with an answer that never arrived
)

var kindNames = []string{"overlapping sends", "older version current", "unexplained loss", "stale token presented",
	"answer parked", "stuck", "explained loss"}

func (k kinds) String() string {
	var s []string
	for i, name := range kindNames {
		if k&(1<<i) != 0 {
			s = append(s, name)
		}
	}
	return strings.Join(s, ", ")
}

// found is what a search came to.
type found struct {
	worlds int
	ends   int // worlds in which nothing is left to do
	kinds  kinds
	steps  map[string]int     // how many worlds each step led to first
	traces map[kinds][]string // the shortest way to each
}

// link is how a world was first reached.
type link struct {
	from int32
	step step
}

// search explores every world that can be reached from the first, breadth
// first, or stops once it has found everything in want, if that is not empty.
func (m *model) search(first world, want kinds) found {
	f := found{traces: make(map[kinds][]string), steps: make(map[string]int)}
	seen := map[world]struct{}{first: {}}
	queue := []world{first}
	links := []link{{from: -1}}
	note := func(bad kinds, at int, last string) {
		f.kinds |= bad
		for k := kinds(1); k <= explained; k <<= 1 {
			if bad&k != 0 && f.traces[k] == nil {
				f.traces[k] = append(trace(links, at), last+"  ◀ "+k.String())
			}
		}
	}
	for at := 0; at < len(queue) && (want == 0 || f.kinds&want != want); at++ {
		w := queue[at]
		more := m.next(w, func(s step, n world, bad kinds) {
			if bad != 0 {
				note(bad, at, s.String())
			}
			if _, known := seen[n]; !known {
				f.steps[s.what]++
				seen[n] = struct{}{}
				queue = append(queue, n)
				links = append(links, link{int32(at), s})
			}
		})
		if !more {
			f.ends++
			note(m.end(&w), at, "nothing is left to do")
		}
	}
	f.worlds = len(queue)
	return f
}

// end judges a world in which nothing is left to do.
func (m *model) end(w *world) kinds {
	switch {
	case !w.row.live():
		return 0 // judged when it died
	case w.left > 0 || w.row.attempt.id != 0:
		return stuck
	case !w.families[w.row.token.family].accepts(m.rotation, w.row.token):
		return m.lost(w, w.row.token.family)
	}
	return 0
}

func trace(links []link, at int) []string {
	var t []string
	for ; links[at].from >= 0; at = int(links[at].from) {
		t = append(t, links[at].step.String())
	}
	slices.Reverse(t)
	return t
}

func (s step) String() string {
	switch {
	case s.what == "time passes":
		return fmt.Sprintf("%.1f s pass", float64(s.who)/2)
	case s.who < 0:
		return s.what
	case strings.HasPrefix(s.what, "is ") && s.what != "is paused" && s.what != "is too late to send",
		strings.HasPrefix(s.what, "meets"), strings.HasPrefix(s.what, "takes"):
		return fmt.Sprintf("request %d %s", s.who, s.what)
	}
	return fmt.Sprintf("process %c %s", 'A'+s.who, s.what)
}
