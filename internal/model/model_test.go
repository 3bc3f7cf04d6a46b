package model

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// The searches cover one grant, two processes, two refreshes and one
// re-authorization, and every order of what they, the provider, the network and
// the faults may do.
const (
	refreshes = 2
	consents  = 1
)

// faults is how many faults a search may spend; EVERGRANT_MODEL_FAULTS asks for
// more than two, at about ten times the work each.
func faults(t *testing.T) int8 {
	t.Helper()
	s := os.Getenv("EVERGRANT_MODEL_FAULTS")
	if s == "" {
		return 2
	}
	n, err := strconv.ParseInt(s, 10, 8)
	if err != nil || n < 0 {
		t.Fatalf("EVERGRANT_MODEL_FAULTS is %q, not a number of faults", s)
	}
	return int8(n)
}

func (f found) report(t *testing.T, k kinds) {
	t.Helper()
	if trace := f.traces[k]; trace != nil {
		t.Logf("%s:\n\t%s", k, strings.Join(trace, "\n\t"))
	}
}

func TestNoOrderOfEventsLosesAGrantThatCouldBeKept(t *testing.T) {
	t.Parallel()
	for _, r := range rotations {
		t.Run(r.String(), func(t *testing.T) {
			t.Parallel()
			m := newModel(r, mechanisms{})
			f := m.search(m.first(refreshes, consents, faults(t)), 0)
			t.Logf("%d worlds, %d ends", f.worlds, f.ends)
			if wrong := f.kinds &^ explained; wrong != 0 {
				t.Errorf("found: %s", wrong)
				for k := kinds(1); k < explained; k <<= 1 {
					f.report(t, k)
				}
			}
			// A rotation that forgives nothing does lose what was cut off; a model that
			// never sees that would prove nothing.
			if lossy := f.kinds&explained != 0; lossy == r.recoverable() {
				t.Errorf("a grant is lost to a cut: %t", lossy)
			}
		})
	}
}

func TestEveryMechanismIsNeeded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		without mechanisms
		faults  int8
		breaks  map[rotation]kinds
	}{
		{"the open attempt", mechanisms{intent: true}, 1,
			map[rotation]kinds{static: overlap, lenient: overlap, graceSame: overlap | loss, graceNew: overlap | loss,
				retireOnUse: overlap | loss, strict: overlap | loss, familyKill: overlap | loss}},
		{"an end of the attempt by its outcome: with a lease", mechanisms{lease: true}, 1,
			map[rotation]kinds{static: overlap | parked, lenient: overlap | parked, graceSame: overlap | loss, graceNew: overlap | loss,
				retireOnUse: overlap | loss, strict: overlap | loss, familyKill: overlap | loss}},
		{"the owner's lock: a paused owner is taken over", mechanisms{lock: true}, 1,
			map[rotation]kinds{static: overlap, lenient: overlap, graceSame: overlap, graceNew: overlap,
				retireOnUse: overlap | loss, strict: overlap | loss, familyKill: overlap | loss}},
		{"the replay of the journal before a resend", mechanisms{replay: true}, 1,
			map[rotation]kinds{lenient: stale, graceSame: stale, graceNew: stale, retireOnUse: stale, strict: loss, familyKill: loss}},
		{"the settle wait", mechanisms{settle: true}, 1,
			map[rotation]kinds{static: overlap, lenient: overlap, graceSame: overlap | loss, graceNew: overlap | loss,
				retireOnUse: overlap, strict: overlap, familyKill: overlap | loss}},
		{"the time of flight in the settle wait", mechanisms{flight: true}, 1,
			map[rotation]kinds{static: overlap, lenient: overlap, graceSame: overlap | loss, graceNew: overlap | loss, retireOnUse: overlap}},
		{"the send gate", mechanisms{gate: true}, 2,
			map[rotation]kinds{static: overlap, graceNew: overlap, strict: overlap, familyKill: overlap}},
		{"commit before use", mechanisms{before: true}, 1,
			map[rotation]kinds{retireOnUse: loss}},
		{"the compare-and-set", mechanisms{cas: true}, 1,
			map[rotation]kinds{static: older, lenient: older, graceSame: older | loss, graceNew: older | loss,
				retireOnUse: older | loss, strict: older | loss, familyKill: older | loss}},
	} {
		for r, want := range tt.breaks {
			t.Run("without "+tt.name+", "+r.String(), func(t *testing.T) {
				t.Parallel()
				m := newModel(r, tt.without)
				f := m.search(m.first(refreshes, consents, tt.faults), want)
				t.Logf("%d worlds", f.worlds)
				if missing := want &^ f.kinds; missing != 0 {
					t.Errorf("nothing goes wrong: found no %s", missing)
				}
				for k := kinds(1); k <= explained; k <<= 1 {
					if want&k != 0 {
						f.report(t, k)
					}
				}
			})
		}
	}
}

// A model in which something cannot happen proves nothing about it.
func TestEveryStepOfTheModelHappens(t *testing.T) {
	t.Parallel()
	m := newModel(strict, mechanisms{})
	f := m.search(m.first(refreshes, consents, 2), 0)
	for _, step := range []string{
		"claims", "sends", "is too late to send", "gives up waiting", "settles", "commits", "hands out from the journal",
		"marks its journal", "starts", "replays the other's journal", "goes on", "time passes", "the merchant approves again",
		"the store comes back", "is processed", "is answered", "dies", "is paused", "the store goes down", "is lost",
		"meets a server error", "is processed and its answer lost", "is processed and answered with a server error",
		"takes longer than its sender waits",
	} {
		if f.steps[step] == 0 {
			t.Errorf("no process or request ever %q", step)
		}
		delete(f.steps, step)
	}
	for step := range f.steps {
		t.Errorf("step %q is not in the list", step)
	}
}
