package simulation

import (
	"fmt"
	"runtime"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
)

// Of small worlds there can be many: a few grants at two providers, which the
// seed draws from every behaviour there is, for as long as four renewals take.
// As many as EVERGRANT_SEEDS says are run, in a process per processor.
func TestSmallWorldsCostNoMoreThanWhatWasCutOff(t *testing.T) {
	const (
		usual = 20  // with every run of the package's tests
		many  = 500 // are worth a process per processor
	)
	first, seeds := number(t, "EVERGRANT_SEED", 0), uint64(usual)
	if first > 0 {
		seeds = 1
	}
	first, seeds = max(first, 1), number(t, "EVERGRANT_SEEDS", seeds)
	var all figures
	if processes := uint64(runtime.GOMAXPROCS(0)); seeds >= many && !sharded() {
		all = inShards(t, first, seeds, processes)
		for _, kind := range everyFault {
			if all.Faults[kind] == 0 {
				t.Errorf("%q happened in none of %d worlds", kind, seeds)
			}
		}
	} else {
		all = smallWorlds(t, first, seeds)
	}
	t.Logf("%d small worlds, nothing went wrong in %d of them: %s", all.Seeds, all.Quiet, all)
}

// smallWorlds runs the worlds of some seeds, one after the other, because what
// is drawn at random in one must not depend on another.
func smallWorlds(t *testing.T, first, seeds uint64) (all figures) {
	const enough = 10 // failures to see what is wrong
	told := newTeller(t)
	for seed, failed := first, 0; seed < first+seeds && failed < enough; seed++ {
		told.tell(line{Seed: seed})
		var got figures
		passed := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { got = smallWorld(t, seed) })
		if !passed {
			failed++
		}
		all.add(got)
		told.tell(line{seed, true, !passed, got})
	}
	return all
}

func smallWorld(t *testing.T, seed uint64) (got figures) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("to repeat this: " + replaySmallWorld(seed))
		}
	})
	cryptotest.SetGlobalRandom(t, seed)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed, tiny, variant{}, newJudge(func(s string) { t.Error(s) }))
		defer w.close()
		w.live()
		if got = w.verdict(); got.Refreshes == 0 {
			t.Error("nothing was refreshed")
		}
	})
	return got
}

// replaySmallWorld is the command that runs one small world again. The processes
// that run many have one processor each.
func replaySmallWorld(seed uint64) string {
	return fmt.Sprintf("GOMAXPROCS=1 EVERGRANT_SEED=%d go test -count=1 -run SmallWorlds -v ./internal/simulation", seed)
}
