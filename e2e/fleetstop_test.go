package e2e_test

import (
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

// TestFleetStopped stops one replica of three, which awaits answers, for longer
// than any timeout, and lets it go on. While its session lives, nobody takes its
// attempts over; once the database has ended that, as it does when a machine is
// frozen, the others do, and the answers that came to the one that stood still
// change nothing.
func TestFleetStopped(t *testing.T) {
	t.Parallel()
	all := []*stopping{
		{policy: oracle.FamilyKill, sends: 1},
		{policy: oracle.RetireOnUse, sends: 1},
		// What may be spent, and would end the grant, is not sent again before the
		// access token has nearly ended, which is in an hour.
		{policy: oracle.FamilyKill, frozen: true, sends: 1},
		{policy: oracle.RetireOnUse, frozen: true, sends: 2},
		{policy: oracle.Strict, frozen: true, sends: 2, lost: true},
	}
	together(t, all, atOnce, func(t *testing.T, c *stopping) {
		c.t = t
		c.begin()
		c.stop()
		c.resume()
	})
}

// stopping is one case.
type stopping struct {
	policy string
	frozen bool // the database ends the session of the replica that stands still
	sends  int  // of each token whose answer came to it
	lost   bool

	t       *testing.T
	oracle  *judge
	arrived func() int
	answer  func()
	cable   *cable
	fleet   []*server // the first of them is stopped
	callers sync.WaitGroup
	readers readers // of the others
	rest    func()
	blow    blow
}

const (
	stopAwaited = 6 // grants whose answers are awaited by the replica that is stopped
	stopDue     = 6 // grants that come due while it stands still
	stopGrants  = stopAwaited + stopDue
)

func (c *stopping) String() string {
	if c.frozen {
		return c.policy + ", its session is ended"
	}
	return c.policy
}

// begin has one replica await answers.
func (c *stopping) begin() {
	t := c.t
	o := oracle.New(oracle.Options{Rotation: c.policy, AccessLife: time.Hour})
	j, arrived, answer := held(t, o)
	c.oracle, c.answer, c.arrived = j, answer, func() int { return int(arrived.Load()) }
	url, apps := database(t), app(j.url, c.policy, "refresh: {min_interval: 1s, max_in_flight_strict: 24}")
	c.cable = newCable(t, url)
	others := startFleet(t, apps, url, 2)
	first := newCabledReplica(t, c.cable, others[0])
	first.lives = 2 * processes
	first.configure(apps, "")
	first.start()
	c.fleet = append([]*server{first}, others...)
	for n := range stopAwaited {
		first.adopt(j, n, 3600)
	}
	for n := range stopAwaited {
		c.callers.Go(func() { _, _ = first.Refresh(t.Context(), ref(n)) })
	}
	eventually(t, time.Minute, "the requests are under way", func() bool { return c.arrived() == stopAwaited })
	for n := range stopDue {
		others[0].adopt(j, stopAwaited+n, 20)
	}
	c.readers, c.rest = readAll(t, j, others, stopGrants, false)
}

// stop has the replica stand still while the answers come.
func (c *stopping) stop() {
	// A caller waits for 25 s, a strict probe for 20 s, a drain for 30 s.
	const longest = 31 * time.Second
	t, first := c.t, c.fleet[0]
	c.blow = blow{process: first.lives, from: time.Now()}
	first.signal(syscall.SIGSTOP)
	eventually(t, time.Minute, "the process stands still", func() bool { return first.state() == "T" })
	still := time.NewTimer(longest)
	defer still.Stop()
	if c.frozen {
		c.cable.cut(noticed)
	}
	c.answer()
	eventually(t, time.Minute, "the provider has answered", func() bool { return c.oracle.Rotations() >= stopAwaited })
	every(t, glance, 2*time.Minute, "the others renew what is due, and take over what they may", func() bool {
		return c.oracle.Report().Sends >= c.sends*stopAwaited+stopDue
	})
	<-still.C
}

// resume lets the replica go on.
func (c *stopping) resume() {
	t, first := c.t, c.fleet[0]
	c.cable.heal()
	c.blow.to = time.Now()
	first.signal(syscall.SIGCONT)
	c.callers.Wait()
	r, rest := read(t, c.oracle, first, stopGrants, false)
	all := append(readers{r}, c.readers...)
	every(t, glance, 2*time.Minute, "all hand out what is current", func() bool { return all.agree(c.blow.to) })
	every(t, glance, 2*time.Minute, "no attempt is open", func() bool {
		for n := range stopGrants {
			if first.grant(ref(n)).OpenAttempt != nil {
				return false
			}
		}
		return true
	})
	rest()
	c.rest()
	all.judge(t)
	c.oracle.judgeSends(t, c.policy)
	lost := all.lost()
	c.oracle.judgeLosses(t, c.policy, lost, []blow{c.blow})
	want := 0
	if c.lost {
		want = stopAwaited
	}
	if len(lost) != want {
		t.Errorf("lost %v, want %d of them", lost, want)
	}
	c.judgeTurns()
	t.Logf("stood still for %v; %d sends, %d of them repeated; %d tokens used; lost %v", c.blow.to.Sub(c.blow.from).Round(time.Second),
		len(c.oracle.Sends()), repeated(c.oracle.Sends()), all.used(), lost)
}

// judgeTurns compares who has sent what: the replica that stood still the tokens
// whose answers it awaited, and the others everything else.
func (c *stopping) judgeTurns() {
	counts := map[string]int{}
	for _, s := range c.oracle.Sends() {
		whose := "due"
		for n := range stopAwaited {
			if s.Grant == business(n) {
				whose = "awaited"
			}
		}
		by := "others"
		if s.Client == strconv.Itoa(c.blow.process) {
			by = "first"
		}
		counts[by+" "+whose]++
	}
	want := map[string]int{"first awaited": stopAwaited, "others due": stopDue}
	if c.sends > 1 {
		want["others awaited"] = (c.sends - 1) * stopAwaited
	}
	if fmt.Sprint(counts) != fmt.Sprint(want) {
		c.t.Errorf("requests: %v, want %v", counts, want)
	}
}
