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
	span    time.Duration // how long things go wrong
	life    time.Duration // of an access token
	readers int
	gap     time.Duration // the most between two things that go wrong
}

var (
	// short is for every change, long for campaigns, tiny to break things in.
	short = tier{fleet: 210, span: 3 * time.Hour, life: time.Hour, readers: 3, gap: 4 * time.Minute}
	long  = tier{fleet: 2100, span: 48 * time.Hour, life: 3 * time.Hour, readers: 8, gap: 10 * time.Minute}
	tiny  = tier{fleet: 14, span: 40 * time.Minute, life: 10 * time.Minute, readers: 2, gap: time.Minute}
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
				if got.refreshes < size.fleet*int(size.span/size.life)/2 || got.kills == 0 {
					t.Error("too little happened to prove anything")
				}
				all.add(got)
			})
		})
	}
	t.Logf("%d seeds: %s", runs, all)
}

// figures is what came of a run.
type figures struct {
	grantTime                          time.Duration
	refreshes, sends, judged           int
	faults, kills, restarts, consents  int
	connected, lost, revoked, overlaps int
}

func (f *figures) add(o figures) {
	f.grantTime += o.grantTime
	f.refreshes, f.sends, f.judged = f.refreshes+o.refreshes, f.sends+o.sends, f.judged+o.judged
	f.faults, f.kills, f.restarts, f.consents = f.faults+o.faults, f.kills+o.kills, f.restarts+o.restarts, f.consents+o.consents
	f.connected, f.lost, f.revoked, f.overlaps = f.connected+o.connected, f.lost+o.lost, f.revoked+o.revoked, f.overlaps+o.overlaps
}

func (f figures) String() string {
	return fmt.Sprintf("%d refreshes with %d sends (%d overlapping) in %.2f grant-years; %d faults, %d of them kills, and %d restarts and %d consents; "+
		"%d connected in the end, %d grants lost to cuts, %d revoked; %d tokens judged",
		f.refreshes, f.sends, f.overlaps, f.grantTime.Hours()/(24*365), f.faults, f.kills, f.restarts, f.consents, f.connected, f.lost, f.revoked, f.judged)
}
