package manager_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
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

func TestAFleetThatEndsAtOnceIsDrainedAtTheRateWaitingCallersFirst(t *testing.T) {
	const (
		fleet = 600
		rate  = 20
	)
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill},
		policy: func(p *grant.Policy) { p.RatePerSecond = rate },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		k.fleet(fleet, time.Now().Add(30*time.Second))
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Before: 20 * time.Millisecond} })
		k.sleep(31 * time.Second) // all of them have ended and most are not renewed

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
		for i := range fleet {
			k.wait(grant.Ref{Key: fmt.Sprintf("cafe_%d", i), App: "app"})
		}

		sends := k.oracle.Sends()
		slices.SortFunc(sends, func(a, b oracle.Send) int { return a.Start.Compare(b.Start) })
		for _, d := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
			if n, limit := most(sends, d), rate*d.Seconds()*1.05; float64(n) > limit {
				t.Errorf("%d sends within %s, want at most %.0f", n, d, limit)
			}
		}
		took := sends[len(sends)-1].Start.Sub(sends[0].Start)
		if slowest := time.Duration(fleet) * time.Second / rate * 11 / 10; took > slowest {
			t.Errorf("%d grants took %s, want at most %s", fleet, took, slowest)
		}
		if r := k.oracle.Report(); r.Sends != fleet || r.Overlaps != 0 {
			t.Errorf("want one send a grant, got %+v", r)
		}
	})
}

func TestAProviderThatHangsDelaysNoOtherApp(t *testing.T) {
	const fleet = 100
	lateness := func(t *testing.T, fault oracle.Fault) time.Duration {
		var worst time.Duration
		o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, also: []string{"hanging"}}
		bubble(t, o, func(t *testing.T, k *kit) {
			began := time.Now()
			for i := range fleet {
				k.adoptAt(grant.Ref{Key: fmt.Sprintf("good_%d", i), App: "app"}, time.Hour)
				k.adoptAt(grant.Ref{Key: fmt.Sprintf("bad_%d", i), App: "hanging"}, time.Hour)
			}
			k.oracle.SetFault(func(s oracle.Send) oracle.Fault {
				if strings.HasPrefix(s.Grant, "bad") {
					return fault
				}
				return oracle.Fault{}
			})
			k.sleep(time.Hour + 2*time.Minute)
			renewed := map[string]bool{}
			for _, s := range k.oracle.Sends() {
				if strings.HasPrefix(s.Grant, "good") {
					renewed[s.Grant] = true
					worst = max(worst, s.Start.Sub(began))
				}
			}
			if len(renewed) != fleet {
				t.Errorf("%d of %d grants of the other app were renewed", len(renewed), fleet)
			}
		})
		return worst
	}
	var alone, beside time.Duration
	t.Run("alone", func(t *testing.T) { alone = lateness(t, oracle.Fault{}) })
	t.Run("beside", func(t *testing.T) { beside = lateness(t, oracle.Fault{Before: time.Hour}) })
	// Grants differ in their jitter between the runs: both renew within the half
	// of the window that it has.
	if alone >= time.Hour-14*time.Second || beside >= time.Hour-14*time.Second {
		t.Errorf("the last renewal began %s after the start alone and %s beside a provider that hangs", alone, beside)
	}
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
