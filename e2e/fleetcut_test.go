package e2e_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

// TestFleetCut cuts one of two replicas off the database for longer than its
// tokens are good, while the other goes on.
func TestFleetCut(t *testing.T) {
	t.Parallel()
	var all []*cutting
	for _, policy := range rotating {
		for _, how := range []cut{silent, noticed, refused, silent} {
			all = append(all, &cutting{policy: policy, how: how})
		}
	}
	together(t, all, 10, func(t *testing.T, c *cutting) {
		c.t = t
		c.begin()
		c.cut()
		c.heal()
	})
}

// cutting is one case.
type cutting struct {
	policy string
	how    cut

	t       *testing.T
	oracle  *judge
	cable   *cable
	cutOff  *server // reaches the database over the cable
	other   *server
	readers readers // of cutOff, and of other
	stop    func()
	blow    blow
}

const (
	cutGrants = 12
	// cutLife leaves tokens good for a while when the cable is cut, and lets them
	// end before a test is too long.
	cutLife = 30 * time.Second
)

func (c *cutting) String() string { return fmt.Sprintf("%s, %s", c.policy, c.how) }

// begin has two replicas hand out tokens that have been renewed.
func (c *cutting) begin() {
	c.oracle = newJudge(c.t, oracle.Options{Rotation: c.policy, AccessLife: cutLife})
	url, apps := database(c.t), app(c.oracle.url, c.policy, "refresh: {min_interval: 1s}")
	c.cable = newCable(c.t, url)
	c.other = startFleet(c.t, apps, url, 1)[0]
	c.cutOff = newCabledReplica(c.t, c.cable, c.other)
	c.cutOff.lives = processes
	c.cutOff.configure(apps, "")
	c.cutOff.start()
	for n := range cutGrants {
		c.other.adopt(c.oracle, n, 14)
	}
	begun := time.Now()
	c.readers, c.stop = readAll(c.t, c.oracle, []*server{c.cutOff, c.other}, cutGrants, false)
	every(c.t, glance, time.Minute, "every grant is renewed and known to both", func() bool {
		return len(c.oracle.newest()) == cutGrants && c.readers.agree(begun)
	})
}

// cut cuts one replica off until it has nothing to hand out any more.
func (c *cutting) cut() {
	t, before := c.t, c.oracle.newest()
	c.blow = blow{process: c.cutOff.lives, from: time.Now()}
	c.cable.cut(c.how)
	every(t, glance, 2*time.Minute, "every token has ended at the replica that is cut off", func() bool {
		return c.readers[0].refusedSince(c.blow.from)
	})
	if status, after := c.cutOff.refusal(0); status != http.StatusServiceUnavailable || after == "" {
		t.Errorf("the replica that is cut off answers %d, Retry-After %q", status, after)
	}
	every(t, glance, 2*time.Minute, "the other replica renews what is not under way at the one that is cut off", func() bool {
		newest := c.oracle.newest()
		for n := range cutGrants {
			if newest[business(n)] > before[business(n)] {
				continue
			}
			if a := c.other.grant(ref(n)).OpenAttempt; a == nil || a.OpenedAt.After(c.blow.from.Add(time.Second)) {
				return false
			}
		}
		return true
	})
}

// heal lets the replica come back.
func (c *cutting) heal() {
	t := c.t
	c.blow.to = time.Now()
	c.cable.heal()
	every(t, glance, 2*time.Minute, "both hand out what is current", func() bool {
		return c.readers.agree(c.blow.to)
	})
	took := time.Since(c.blow.to)
	c.stop()
	r := c.oracle.judgeSends(t, c.policy)
	c.readers.judge(t)
	lost := c.readers.lost()
	c.oracle.judgeLosses(t, c.policy, lost, []blow{c.blow})
	t.Logf("cut off for %v, current again after %v; %d sends, %d of them repeated; %d tokens used; lost %v",
		c.blow.to.Sub(c.blow.from).Round(time.Second), took.Round(time.Millisecond), r.Sends, repeated(c.oracle.Sends()), c.readers.used(), lost)
}

// TestFleetCutOffWithAnswers cuts a replica off while it awaits answers, which
// then come. The others are right to take it for dead and to ask again, so what
// it has may not be used before it is in the database: a provider that retires
// the old token when the new one is used would refuse them.
func TestFleetCutOffWithAnswers(t *testing.T) {
	t.Parallel()
	const awaited = 4
	o := oracle.New(oracle.Options{Rotation: oracle.RetireOnUse, AccessLife: time.Hour})
	j, arrived, answer := held(t, o)
	url, apps := database(t), app(j.url, oracle.RetireOnUse, "refresh: {min_interval: 1s}")
	cable := newCable(t, url)
	other := startFleet(t, apps, url, 1)[0]
	cutOff := newCabledReplica(t, cable, other)
	cutOff.lives = processes
	cutOff.configure(apps, "")
	cutOff.start()
	for n := range awaited {
		cutOff.adopt(j, n, 3600)
	}
	begun := time.Now()
	readers, stop := readAll(t, j, []*server{cutOff, other}, awaited, false)
	every(t, glance, time.Minute, "both have handed out every token", func() bool { return readers.agree(begun) })
	var callers sync.WaitGroup
	for n := range awaited {
		callers.Go(func() { _, _ = cutOff.Refresh(t.Context(), ref(n)) })
	}
	eventually(t, time.Minute, "the requests are under way", func() bool { return arrived.Load() == awaited })
	cable.cut(refused)
	answer()
	every(t, glance, 2*time.Minute, "the other replica has asked again", func() bool {
		return o.Report().Sends >= 2*awaited
	})
	every(t, glance, 2*time.Minute, "the other replica has settled every grant", func() bool {
		for n := range awaited {
			if g := other.grant(ref(n)); g.OpenAttempt != nil {
				return false
			}
		}
		return true
	})
	healed := time.Now()
	cable.heal()
	callers.Wait()
	every(t, glance, 2*time.Minute, "both hand out what is current", func() bool { return readers.agree(healed) })
	stop()
	r := j.judgeSends(t, oracle.RetireOnUse)
	readers.judge(t)
	j.judgeLosses(t, oracle.RetireOnUse, readers.lost(), nil)
	if r.Sends != 2*awaited {
		t.Errorf("the provider saw %d sends, want %d, each token twice", r.Sends, 2*awaited)
	}
}
