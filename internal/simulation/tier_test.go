package simulation

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if raceDetector {
		// Two goroutines of a bubble that find at once that their timers have run out
		// crash the race detector of Go 1.26 (go.dev/issue/78156). With one processor
		// they never do.
		runtime.GOMAXPROCS(1)
	}
	goleak.VerifyTestMain(m)
}

// tier is how much of everything there is in a run.
type tier struct {
	fleet   int           // connections, over all providers
	vendors int           // providers, drawn by the seed; 0: every behaviour there is
	span    time.Duration // how long things go wrong
	life    time.Duration // of an access token
	readers int
	gap     time.Duration // the most between two things that go wrong
	calm    time.Duration // how long nothing goes wrong in the end, beside the life of an access token
}

var (
	// short is for every change, long for campaigns; tiny is a small world, of which
	// there can be many.
	short = tier{fleet: 210, span: 3 * time.Hour, life: time.Hour, calm: 30 * time.Minute, readers: 3, gap: 4 * time.Minute}
	long  = tier{fleet: 2100, span: 48 * time.Hour, life: 3 * time.Hour, calm: 30 * time.Minute, readers: 8, gap: 10 * time.Minute}
	tiny  = tier{fleet: 4, vendors: 2, span: 15 * time.Minute, life: 5 * time.Minute, calm: 5 * time.Minute, readers: 1, gap: 90 * time.Second}
)

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s is %q, not a number", name, s)
	}
	return n
}

// choice is which runs to make: a few short ones, or what the environment asks
// for. See the package comment.
func choice(t *testing.T) (size tier, first, runs uint64, replay string) {
	size, runs = short, number(t, "EVERGRANT_SEEDS", 2)
	first = number(t, "EVERGRANT_SEED", 0)
	if first > 0 {
		runs = number(t, "EVERGRANT_SEEDS", 1)
	}
	if n := number(t, "EVERGRANT_SIM", 0); n > 0 {
		size, runs, replay = long, n, "EVERGRANT_SIM=1 "
	}
	return size, max(first, 1), runs, replay
}

// Runs come one after the other, because what is drawn at random in one of them
// must not depend on another.
func TestDaysOfFaultsCostNoMoreThanWhatWasCutOff(t *testing.T) {
	size, first, runs, replay := choice(t)
	var all figures
	for seed := first; seed < first+runs; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("to repeat this: %sEVERGRANT_SEED=%d go test -count=1 -run DaysOfFaults -v ./internal/simulation", replay, seed)
				}
			})
			cryptotest.SetGlobalRandom(t, seed) // ids decide when a grant is due
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, seed, size, variant{}, newJudge(func(s string) { t.Error(s) }))
				defer w.close()
				w.live()
				got := w.verdict()
				t.Log(got)
				if got.Refreshes < size.fleet*int(size.span/size.life)/2 || got.Kills == 0 {
					t.Error("too little happened to prove anything")
				}
				all.add(got)
			})
		})
	}
	t.Logf("%d seeds: %s", runs, all)
}
