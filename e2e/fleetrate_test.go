package e2e_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

// TestFleetRate has more grants due at once than an app's rate allows in several
// seconds, and two replicas that share it.
func TestFleetRate(t *testing.T) {
	t.Parallel()
	const (
		grants, rate, replicas = 400, 40, 2
		// A replica may send a twentieth of its part of a second's rate at once, and
		// one in any case.
		burst = replicas * max(1, rate/replicas/20)
	)
	j := newJudge(t, oracle.Options{Rotation: oracle.RetireOnUse, AccessLife: time.Hour})
	fleet := startFleet(t, app(j.url, oracle.RetireOnUse, "refresh: {rate: 40}"), database(t), replicas)
	// Nothing is sent before all are there.
	if _, err := fleet[0].PauseApp(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "both replicas know", func() bool {
		a, err := fleet[1].App(t.Context(), "app")
		return err == nil && a.Paused
	})
	var adopting sync.WaitGroup
	for first := range 8 {
		adopting.Go(func() {
			for n := first; n < grants; n += 8 {
				access, refresh := j.Issue(business(n))
				_, err := fleet[n%replicas].CreateConnection(t.Context(), client.NewConnection{
					Ref: ref(n), Tokens: &client.Tokens{AccessToken: access, RefreshToken: refresh, ExpiresAt: time.Now().Add(-time.Second)},
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	adopting.Wait()
	stalled := longestStall(t)
	if _, err := fleet[1].ResumeApp(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	every(t, glance, 5*time.Minute, "every grant is renewed", func() bool { return j.Rotations() >= grants })

	r := j.judgeSends(t, oracle.RetireOnUse)
	if r.Sends != grants {
		t.Errorf("%d sends for %d grants", r.Sends, grants)
	}
	by := senders(j.Sends(), replicas)
	for i, n := range by {
		if n == 0 {
			t.Errorf("replica %d has sent nothing", i)
		}
	}
	var sent, arrived []time.Time
	for _, s := range j.Sends() {
		arrived = append(arrived, s.Start)
	}
	for n := range grants {
		sent = append(sent, fleet[0].grant(ref(n)).IssuedAt)
	}
	// A busy machine may keep requests waiting on their way, so that they arrive
	// with those behind them. It is their sending that is judged by the second, and
	// what stands still for a moment then sends what was allowed before.
	stall := stalled()
	if most, limit := mostWithin(sent, time.Second), rate*105/100+burst+int(rate*stall.Seconds()); most > limit {
		t.Errorf("%d requests were sent within a second, want %d at most", most, limit)
	}
	const long = 5
	if most, limit := mostWithin(arrived, long*time.Second), long*rate*105/100+burst; most > limit {
		t.Errorf("%d requests arrived within %d s, want %d at most", most, long, limit)
	}
	t.Logf("rate %d: at most %d requests were sent, and %d arrived, within a second; by replica %v; the longest stall was %v",
		rate, mostWithin(sent, time.Second), mostWithin(arrived, time.Second), by, stall)
}

// longestStall watches how long the machine is too busy to let this process run,
// until the function that it returns is called.
func longestStall(t *testing.T) func() time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	found := make(chan time.Duration, 1)
	go func() {
		const every = 10 * time.Millisecond
		tick := time.NewTicker(every)
		defer tick.Stop()
		longest := time.Duration(0)
		for last := time.Now(); ; {
			select {
			case <-ctx.Done():
				found <- longest
				return
			case <-tick.C:
			}
			now := time.Now()
			longest, last = max(longest, now.Sub(last)-every), now
		}
	}()
	return func() time.Duration { cancel(); return <-found }
}

// mostWithin is how many moments at most lie within a span of time.
func mostWithin(moments []time.Time, span time.Duration) int {
	moments = slices.SortedFunc(slices.Values(moments), time.Time.Compare)
	most, first := 0, 0
	for i, at := range moments {
		for at.Sub(moments[first]) >= span {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
