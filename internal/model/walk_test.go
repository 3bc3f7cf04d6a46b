package model

import (
	"math/rand/v2"
	"testing"
)

// What a walk has before it: too much for a search of every order.
const (
	walks         = 10_000 // of each rotation
	walkRefreshes = 3
	walkFaults    = 4
)

// TestTenThousandWalksLoseNoGrantThatCouldBeKept goes on where the search ends:
// one order of events for each seed, with more refreshes and faults.
func TestTenThousandWalksLoseNoGrantThatCouldBeKept(t *testing.T) {
	t.Parallel()
	for _, r := range rotations {
		t.Run(r.String(), func(t *testing.T) {
			t.Parallel()
			steps, lost := 0, 0
			for seed := range uint64(walks) {
				n, bad := walk(r, mechanisms{}, seed)
				steps += n
				if bad&explained != 0 {
					lost++
				}
				if wrong := bad &^ explained; wrong != 0 {
					t.Fatalf("seed %d found: %s", seed, wrong)
				}
			}
			t.Logf("%d walks of %d steps in all, %d lost their grant to a cut", walks, steps, lost)
			if (lost == 0) != r.recoverable() {
				t.Errorf("%d walks lost their grant to a cut", lost)
			}
		})
	}
}

// TestWalksNoticeABrokenEngine shows that the walks would find what the search
// finds: an engine without its open attempt fails within a few.
func TestWalksNoticeABrokenEngine(t *testing.T) {
	t.Parallel()
	for seed := range uint64(walks) {
		if _, bad := walk(familyKill, mechanisms{intent: true}, seed); bad&(overlap|loss) != 0 {
			return
		}
	}
	t.Error("no walk notices that the open attempt is missing")
}

// walk takes one step after the other at random until nothing is left to do.
func walk(r rotation, without mechanisms, seed uint64) (steps int, bad kinds) {
	m, choices := newModel(r, without), rand.New(rand.NewPCG(seed, uint64(r)))
	w := m.first(walkRefreshes, consents, walkFaults)
	for {
		next, wrong, options := w, kinds(0), 0
		more := m.next(w, func(_ step, n world, bad kinds) {
			if options++; choices.IntN(options) == 0 { // each is as likely as the others
				next, wrong = n, bad
			}
		})
		bad |= wrong
		if !more {
			return steps, bad | m.end(&w)
		}
		w, steps = next, steps+1
	}
}
