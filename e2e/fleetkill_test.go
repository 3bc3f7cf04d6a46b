package e2e_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

const (
	fleetKills  = 40 // of each run
	fleetGrants = 50
)

// TestFleetKill kills replicas of three at random moments, sometimes one that has
// hardly begun, sometimes for long enough that the others take over what it left.
// It costs no grant where the provider lets a refresh be repeated, and where a
// refresh token works once only those whose answer was cut off on its way.
func TestFleetKill(t *testing.T) {
	t.Parallel()
	s := seed(t)
	var all []*fleetKilling
	for i, policy := range []string{oracle.RetireOnUse, oracle.FamilyKill} {
		all = append(all, &fleetKilling{policy: policy, choices: rand.New(rand.NewPCG(s, uint64(i)))})
	}
	together(t, all, atOnce, func(t *testing.T, k *fleetKilling) {
		k.t = t
		k.run()
		k.judge()
	})
}

// fleetKilling is one policy's run.
type fleetKilling struct {
	policy  string
	choices *rand.Rand

	t       *testing.T
	oracle  *witness
	fleet   []*server
	back    map[*server]time.Time // when a replica that is down is started again
	deaths  map[int]time.Time     // by process
	readers readers
	lost    []string
}

func (k *fleetKilling) String() string { return k.policy }

func (k *fleetKilling) run() {
	life := lives{full: 20 * time.Second, least: 2 * time.Second}
	k.oracle = newWitness(k.t, oracle.Options{Rotation: k.policy, AccessLife: life.full})
	delays := rand.New(rand.NewPCG(k.choices.Uint64(), 0))
	k.oracle.SetFault(func(oracle.Send) oracle.Fault { // under the oracle's lock
		all := time.Duration(delays.Int64N(int64(150 * time.Millisecond)))
		before := time.Duration(delays.Int64N(int64(all) + 1))
		return oracle.Fault{Before: before, After: all - before}
	})
	k.fleet, k.back = newFleet(k.t, k.oracle.judge, k.policy, 3), map[*server]time.Time{}
	k.deaths = map[int]time.Time{}
	for n := range fleetGrants {
		k.fleet[n%len(k.fleet)].adopt(k.oracle.judge, n, life.adopted(n))
	}
	var stop func()
	k.readers, stop = readAll(k.t, k.oracle.judge, k.fleet, fleetGrants, true)
	for len(k.deaths) < fleetKills {
		k.strike()
	}
	for _, s := range k.fleet {
		if _, down := k.back[s]; down {
			s.launch()
		}
		k.await(s)
	}
	k.settle(time.Now())
	stop()
}

// strike kills one replica and leaves the two others, who may be starting.
func (k *fleetKilling) strike() {
	pause := time.NewTimer(50*time.Millisecond + time.Duration(k.choices.Int64N(int64(850*time.Millisecond))))
	defer pause.Stop()
	<-pause.C
	for s, at := range k.back {
		if time.Now().After(at) {
			delete(k.back, s)
			s.launch()
		}
	}
	victim := k.fleet[k.choices.IntN(len(k.fleet))]
	if _, down := k.back[victim]; down {
		return
	}
	if k.choices.IntN(4) > 0 && !victim.answers("/readyz") {
		return // the next one may be
	}
	k.deaths[victim.lives] = time.Now()
	victim.kill()
	// What a dead process has in its journal is the only copy of a token. Where it
	// can be asked for again, the others may have to.
	if k.policy == oracle.RetireOnUse && len(k.back) == 0 && k.choices.IntN(8) == 0 {
		k.back[victim] = time.Now().Add(20 * time.Second)
		return
	}
	victim.launch()
}

// await waits until a replica that was launched is ready.
func (k *fleetKilling) await(s *server) {
	k.t.Helper()
	eventually(k.t, time.Minute, "the replica is ready", func() bool {
		select {
		case err := <-s.exited:
			s.process = nil
			k.t.Fatalf("the replica ended by itself: %v", err)
		default:
		}
		return s.answers("/readyz")
	})
}

// settle waits until every grant is renewed or given up after a moment.
func (k *fleetKilling) settle(after time.Time) {
	k.t.Helper()
	settled := map[int]bool{}
	every(k.t, glance, 2*time.Minute, "every grant is renewed or given up after the last kill", func() bool {
		for n := range fleetGrants {
			if settled[n] {
				continue
			}
			g := k.fleet[n%len(k.fleet)].grant(ref(n))
			switch {
			case g.State == "needs_reauthorization":
				k.lost = append(k.lost, business(n))
			case g.State != "connected" || g.IssuedAt.Before(after):
				return false
			}
			settled[n] = true
		}
		return true
	})
}

func (k *fleetKilling) judge() {
	t := k.t
	r := k.oracle.judgeSends(t, k.policy)
	k.readers.judge(t)
	explained := map[string]int{}
	for _, name := range k.lost {
		cut, proven := k.oracle.Cut(name)
		death, died := k.deaths[k.oracle.process(cut)]
		how, ok := k.oracle.explain(cut, death)
		if !proven || !died || !ok {
			t.Errorf("%s is lost and no kill explains it: a rotation was cut off is %v, its sender was killed is %v, %s", name, proven, died, how)
		}
		explained[how]++
	}
	if k.policy == oracle.RetireOnUse && len(k.lost) > 0 {
		t.Errorf("lost %v", k.lost)
	}
	by := senders(k.oracle.Sends(), len(k.fleet))
	for i, n := range by {
		if n == 0 {
			t.Errorf("replica %d has renewed nothing", i)
		}
	}
	if r.Rotations < 2*fleetGrants {
		t.Errorf("only %d rotations: the test proves little", r.Rotations)
	}
	t.Logf("%s: %d kills, %d rotations, sends by replica %v, %d repeated a token whose answer was cut off, %d tokens used; %d of %d grants lost, their answers %v",
		k.policy, len(k.deaths), r.Rotations, by, repeated(k.oracle.Sends()), k.readers.used(), len(k.lost), fleetGrants, explained)
}
