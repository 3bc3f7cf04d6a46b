package e2e_test

import (
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

// TestFleetFailoverWithAnswersAwaited fails over while one replica awaits answers
// to what only the old database knows it has sent, and another is asked to renew
// the same grants. A request is given up after 10 s, so a machine that needs longer
// for that gets another chance.
func TestFleetFailoverWithAnswersAwaited(t *testing.T) {
	t.Parallel()
	for range 3 {
		if failOverAwaiting(t) {
			return
		}
	}
	t.Error("never did the answers come in time")
}

// failOverAwaiting reports whether the answers came in time.
func failOverAwaiting(t *testing.T) bool {
	const (
		awaited = 4
		hold    = 4 * time.Second // for the other replica to take part again, which cannot be seen from outside
		given   = 9 * time.Second
	)
	o := oracle.New(oracle.Options{Rotation: oracle.FamilyKill, AccessLife: time.Hour})
	j, arrived, answer := held(t, o)
	f := &failover{t: t, policy: oracle.FamilyKill, oracle: j}
	f.start(2)
	for n := range awaited {
		f.fleet[0].adopt(j, n, 3600)
	}
	f.standby.CaughtUp(t, f.primary)
	f.standby.CutStream(t)
	var callers sync.WaitGroup
	begun := time.Now()
	for n := range awaited {
		callers.Go(func() { _, _ = f.fleet[0].Refresh(t.Context(), ref(n)) })
	}
	eventually(t, time.Minute, "the requests are under way", func() bool { return arrived.Load() == awaited })
	if err := f.primary.Kill(); err != nil {
		t.Fatal(err)
	}
	f.standby.Promote(t)
	promoted := time.Now()
	every(t, glance, time.Minute, "the other replica was asked for a while", func() bool {
		for n := range awaited {
			callers.Go(func() { _, _ = f.fleet[1].Refresh(t.Context(), ref(n)) })
		}
		return time.Since(promoted) > hold && f.fleet[1].answers("/readyz")
	})
	before := arrived.Load()
	answer()
	inTime := time.Since(begun) < given
	callers.Wait()
	if !inTime {
		t.Logf("the answers came after %v", time.Since(begun))
		return false
	}
	if before != awaited {
		t.Errorf("%d requests were under way, want %d", before, awaited)
	}
	readers, stop := readAll(t, j, f.fleet, awaited, false)
	from := time.Now()
	every(t, glance, time.Minute, "all hand out what is current", func() bool { return readers.agree(from) })
	for n := range awaited {
		f.renew(n, n%2)
	}
	stop()
	r := j.judgeSends(t, oracle.FamilyKill)
	readers.judge(t)
	if lost := readers.lost(); len(lost) > 0 || len(r.Dead) > 0 {
		t.Errorf("lost %v, dead at the provider %v", lost, r.Dead)
	}
	if n := repeated(j.Sends()); n > 0 {
		t.Errorf("%d spent tokens were sent again", n)
	}
	return true
}
