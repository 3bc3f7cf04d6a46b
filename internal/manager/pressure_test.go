package manager_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
)

// wait asks for a token until there is one and returns how long that took.
func (k *kit) wait(ref grant.Ref) time.Duration {
	k.t.Helper()
	started := time.Now()
	for {
		h, err := k.Handout(k.t.Context(), ref, evergrant.TokenOptions{})
		var e *evergrant.Error
		switch {
		case err == nil:
			if !k.oracle.AccessValid(h.Token.AccessToken) {
				k.t.Errorf("%s: a token was handed out that the API refuses", ref)
			}
			return time.Since(started)
		case errors.As(err, &e) && errors.Is(err, evergrant.ErrTemporary):
			if e.RetryAfter <= 0 {
				k.t.Errorf("%s: %v says nothing about when to come back", ref, err)
			}
			time.Sleep(max(e.RetryAfter, time.Second))
		default:
			k.t.Errorf("%s: %v", ref, err)
			return 0
		}
	}
}

// most is the largest number of sends that began within any d.
func most(sends []oracle.Send, d time.Duration) int {
	n, from := 0, 0
	for to := range sends {
		for sends[to].Start.Sub(sends[from].Start) >= d {
			from++
		}
		n = max(n, to-from+1)
	}
	return n
}

// percentile is the p-th percentile of all, which it sorts.
func percentile(all []time.Duration, p int) time.Duration {
	slices.Sort(all)
	return all[(len(all)-1)*p/100]
}

// size is how many grants end at once: what fits every change, or EVERGRANT_FLEET.
func size(t *testing.T) int {
	t.Helper()
	s := os.Getenv("EVERGRANT_FLEET")
	if s == "" {
		return 3000
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1000 {
		t.Fatalf("EVERGRANT_FLEET is %q, not a number of at least 1000", s)
	}
	return n
}

func TestAFleetThatEndsAtOnceIsDrainedAtTheRateWaitingCallersFirst(t *testing.T) {
	fleet := size(t)
	rate := fleet / 50 // so that the backlog lasts for most of a minute
	o := kitOptions{
		oracle:  oracle.Options{Rotation: oracle.FamilyKill},
		policy:  func(p *grant.Policy) { p.RatePerSecond, p.MaxInFlight = float64(rate), max(8, rate/20) },
		stopped: true,
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		k.fleet(fleet, time.Now().Add(10*time.Second))
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Before: 20 * time.Millisecond} })
		k.sleep(time.Minute)
		began := time.Now()
		if err := k.Start(t.Context()); err != nil {
			t.Fatal(err)
		}

		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			waits []time.Duration
		)
		for i := range 200 { // the last to be due
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				d := k.wait(grant.Ref{Key: fmt.Sprintf("cafe_%d", fleet-1-i), App: "app"})
				mu.Lock()
				waits = append(waits, d)
				mu.Unlock()
			})
		}
		wg.Wait()
		if p99 := percentile(waits, 99); p99 > 2*time.Second {
			t.Errorf("callers waited up to %s beside the backlog", p99)
		}
		if left := fleet - k.oracle.Rotations(); left < fleet/3 {
			t.Errorf("only %d of %d grants were left when the callers had been served", left, fleet)
		}
		for k.oracle.Rotations() < fleet { // what nobody waits for is drained as well
			if time.Since(began) > 2*time.Minute {
				t.Fatalf("%d of %d grants are not renewed after two minutes", fleet-k.oracle.Rotations(), fleet)
			}
			k.sleep(time.Second)
		}
		for i := range 500 {
			k.wait(grant.Ref{Key: fmt.Sprintf("cafe_%d", i*fleet/500), App: "app"})
		}

		sends := k.oracle.Sends()
		slices.SortFunc(sends, func(a, b oracle.Send) int { return a.Start.Compare(b.Start) })
		for _, d := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
			if n, limit := most(sends, d), float64(rate)*d.Seconds()*1.05; float64(n) > limit {
				t.Errorf("%d sends within %s, want at most %.0f", n, d, limit)
			}
		}
		took := sends[len(sends)-1].Start.Sub(began)
		if slowest := time.Duration(fleet) * time.Second / time.Duration(rate) * 11 / 10; took > slowest {
			t.Errorf("%d grants took %s, want at most %s", fleet, took, slowest)
		}
		if r := k.oracle.Report(); r.Sends != fleet || r.Overlaps != 0 {
			t.Errorf("want one send a grant, got %+v", r)
		}
		t.Logf("%d grants that had ended were renewed in %s at up to %d/s, %d in the busiest second; 200 callers waited %s, the slowest hundredth %s",
			fleet, took.Round(time.Millisecond), rate, most(sends, time.Second), percentile(waits, 50), percentile(waits, 99))
	})
}

func TestAProviderThatHangsDelaysNoOtherApp(t *testing.T) {
	const fleet = 100
	// lateness is how long after they were due the grants of the other app were
	// sent, the same grants whatever the fault.
	lateness := func(t *testing.T, fault oracle.Fault) (all []time.Duration) {
		cryptotest.SetGlobalRandom(t, 1)
		o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, also: []string{"hanging"}}
		bubble(t, o, func(t *testing.T, k *kit) {
			due := make(map[string]time.Time)
			for i := range fleet {
				key := fmt.Sprintf("good_%d", i)
				due[key] = k.due(k.adoptAt(grant.Ref{Key: key, App: "app"}, time.Hour))
				k.adoptAt(grant.Ref{Key: fmt.Sprintf("bad_%d", i), App: "hanging"}, time.Hour)
			}
			k.oracle.SetFault(func(s oracle.Send) oracle.Fault {
				if strings.HasPrefix(s.Grant, "bad") {
					return fault
				}
				return oracle.Fault{}
			})
			k.sleep(time.Hour + 2*time.Minute)
			for _, s := range k.oracle.Sends() {
				if strings.HasPrefix(s.Grant, "good") {
					all = append(all, s.Start.Sub(due[s.Grant]))
				}
			}
			if len(all) != fleet {
				t.Errorf("the %d grants of the other app were sent %d times", fleet, len(all))
			}
		})
		return all
	}
	var alone, beside []time.Duration
	t.Run("alone", func(t *testing.T) { alone = lateness(t, oracle.Fault{}) })
	t.Run("beside", func(t *testing.T) { beside = lateness(t, oracle.Fault{Before: time.Hour}) })
	for _, p := range []int{50, 99, 100} {
		a, b := percentile(alone, p), percentile(beside, p)
		if b > a+a/10 {
			t.Errorf("percentile %d of the lateness is %s alone and %s beside a provider that hangs", p, a, b)
		}
		t.Logf("percentile %d of the lateness: %s alone, %s beside a provider that hangs", p, a, b)
	}
}

// due is when a connection's only grant is due.
func (k *kit) due(ref grant.Ref) time.Time {
	k.t.Helper()
	c, err := k.store.Connection(k.t.Context(), ref)
	if err != nil {
		k.t.Fatal(err)
	}
	grants, err := k.store.Grants(k.t.Context(), c.ID)
	if err != nil || len(grants) != 1 {
		k.t.Fatalf("%s: %d grants, %v", ref, len(grants), err)
	}
	return grants[0].DueAt
}

func TestAnAPIThatAlwaysAnswers401CannotBurnRefreshTokens(t *testing.T) {
	for name, test := range map[string]struct {
		interval time.Duration
		sends    int
	}{
		"every half minute unless told otherwise": {0, 120},
		"as often as the recipe says":             {10 * time.Minute, 6},
	} {
		t.Run(name, func(t *testing.T) {
			o := kitOptions{
				oracle: oracle.Options{Rotation: oracle.FamilyKill, AccessLife: 24 * time.Hour},
				policy: func(p *grant.Policy) { p.MinInterval = test.interval },
			}
			bubble(t, o, func(t *testing.T, k *kit) {
				ref := k.adoptAt(grant.Ref{Key: "cafe", App: "app"}, 24*time.Hour)
				end := time.Now().Add(time.Hour)
				var wg sync.WaitGroup
				for range 5 { // each rejects whatever it is given
					wg.Go(func() {
						last := k.token(ref).Token.Fingerprint
						for time.Now().Before(end) {
							h, err := k.RejectHandout(t.Context(), ref, last)
							if err != nil {
								t.Error(err)
								return
							}
							last = h.Token.Fingerprint
							time.Sleep(500 * time.Millisecond)
						}
					})
				}
				wg.Wait()
				sends := k.oracle.Sends()
				if n := len(sends); n == 0 || n > test.sends {
					t.Errorf("%d sends in an hour, want at most %d", n, test.sends)
				}
				if r := k.oracle.Report(); r.Overlaps != 0 {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

func TestAnOutageOfHoursEndsWithoutARush(t *testing.T) {
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill},
		policy: func(p *grant.Policy) { p.RatePerSecond = 5 },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		var refs []grant.Ref
		for i := range 60 {
			refs = append(refs, k.adoptAt(grant.Ref{Key: fmt.Sprintf("cafe_%d", i), App: "app"}, time.Hour+time.Duration(i)*time.Minute))
		}
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Status: 503} })
		k.sleep(3 * time.Hour)
		before := len(k.oracle.Sends())
		if limit := 3 * 60 * 60 / 5; before > limit {
			t.Errorf("%d sends to a provider that was down for three hours, want at most %d", before, limit)
		}
		k.oracle.SetFault(nil)
		k.sleep(time.Minute)
		for _, ref := range refs {
			if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) || h.State != grant.Connected {
				t.Errorf("%s is %s", ref, h.State)
			}
		}
		after := k.oracle.Sends()[before:]
		slices.SortFunc(after, func(a, b oracle.Send) int { return a.Start.Compare(b.Start) })
		if n := most(after, 10*time.Second); n > 53 {
			t.Errorf("%d sends within 10 s of the outage's end, at 5/s", n)
		}
	})
}
