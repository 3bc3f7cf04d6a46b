package manager_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
)

// wallClock is a clock whose wall time can be set while its monotonic time goes
// on, as a real one's when NTP steps it or the machine was suspended.
type wallClock struct{ ahead atomic.Int64 }

func (c *wallClock) step(d time.Duration) { c.ahead.Add(int64(d)) }

// now has both readings. A bubble's time has no monotonic one, and no function
// makes a time from two, so this lays it out as package time does.
func (c *wallClock) now() time.Time {
	mono := time.Now().UnixNano()
	wall := time.Now().Add(time.Duration(c.ahead.Load()))
	const (
		hasMonotonic = 1 << 63
		since1885    = 2_682_288_000 // seconds from 1885 to 1970
	)
	t := struct {
		wall uint64
		ext  int64
		loc  *time.Location
	}{hasMonotonic | uint64(wall.Unix()+since1885)<<30 | uint64(wall.Nanosecond()), mono, nil}
	return *(*time.Time)(unsafe.Pointer(&t))
}

func TestWallClockMovesAlone(t *testing.T) {
	var c wallClock
	if d := time.Until(c.now().Round(0)); d < -time.Minute || d > time.Minute {
		t.Fatalf("it is off by %s", d)
	}
	before := c.now()
	c.step(24 * time.Hour)
	after := c.now()
	if d := after.Sub(before); d < 0 || d > time.Minute {
		t.Errorf("the monotonic clock moved by %s", d)
	}
	if d := after.Round(0).Sub(before.Round(0)); d < 24*time.Hour {
		t.Errorf("the wall clock moved by %s", d)
	}
}

// inWindow reads tokens every few seconds for d, the API refusing none of them.
func (k *kit) inWindow(ref grant.Ref, d, every time.Duration) {
	k.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); k.sleep(every) {
		h, err := k.Handout(k.t.Context(), ref, evergrant.TokenOptions{})
		switch {
		case err == nil && !k.oracle.AccessValid(h.Token.AccessToken):
			k.t.Fatalf("a token was handed out that the API refuses")
		case err != nil && !errors.Is(err, evergrant.ErrTemporary):
			k.t.Fatal(err)
		}
	}
}

func TestNoStepOfTheClockServesAnEndedTokenOrBurnsTokens(t *testing.T) {
	const day = 24 * time.Hour
	for _, step := range []time.Duration{-day, -time.Hour, -time.Minute, time.Minute, time.Hour, day} {
		for name, reopen := range map[string]bool{"running": false, "and a restart": true} {
			if reopen && step.Abs() == time.Minute {
				continue // nothing in the store tells of a step shorter than the token's age
			}
			t.Run(fmt.Sprintf("%s, %s", step, name), func(t *testing.T) {
				var clock wallClock
				o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, now: clock.now}
				bubble(t, o, func(t *testing.T, k *kit) {
					ref := k.adopt("cafe")
					k.inWindow(ref, 90*time.Minute, time.Minute)
					for _, d := range []time.Duration{step, -step} { // and it is set right again
						clock.step(d)
						if reopen {
							k.closeStack()
							k.open(o)
						}
						k.inWindow(ref, 3*time.Hour, 10*time.Second)
					}
					if got := k.status(ref); got.State != grant.Connected {
						t.Errorf("it is %s/%s", got.State, got.Reason)
					}
					r := k.oracle.Report()
					if r.Sends > 7+4 || r.Overlaps != 0 || r.TwoLate != 0 {
						t.Errorf("7.5 hours and two steps took %+v", r)
					}
				})
			})
		}
	}
}

func TestAMachineThatWasSuspendedServesNothingFromBefore(t *testing.T) {
	var clock wallClock
	o := kitOptions{
		// The world's clock is the wall clock, which goes on while we are away.
		oracle: oracle.Options{Rotation: oracle.FamilyKill, Now: func() time.Time { return clock.now().Round(0) }},
		now:    clock.now,
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.inWindow(ref, 80*time.Minute, time.Minute) // what is served came from a renewal
		for range 3 {
			clock.step(8 * time.Hour)
			k.inWindow(ref, 80*time.Minute, time.Second)
		}
		if got := k.status(ref); got.State != grant.Connected {
			t.Errorf("it is %s/%s", got.State, got.Reason)
		}
		if r := k.oracle.Report(); r.Sends > 10 {
			t.Errorf("%d sends", r.Sends)
		}
	})
}

func TestTheProvidersClockDoesNotMatter(t *testing.T) {
	for _, skew := range []time.Duration{-48 * time.Hour, -10 * time.Minute, 10 * time.Minute, 48 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill, Now: func() time.Time { return time.Now().Add(skew) }}}
			bubble(t, o, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				k.inWindow(ref, 5*time.Hour, 10*time.Second)
				if r := k.oracle.Report(); r.Sends != 5 {
					t.Errorf("five lifetimes took %d sends", r.Sends)
				}
			})
		})
	}
}

func TestALifetimeThatMakesNoSenseIsNoHotLoop(t *testing.T) {
	for name, test := range map[string]struct {
		expires any
		most    int // sends in ten minutes
	}{
		"none":           {nil, 2},
		"zero":           {0, 4},
		"negative":       {-3600, 4},
		"one second":     {1, 120},
		"two seconds":    {2, 120},
		"ten seconds":    {10, 120},
		"half a second":  {0.5, 120},
		"a word":         {"soon", 2},
		"a million year": {3e13, 1},
	} {
		for _, minValid := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprintf("%s, min_valid %s", name, minValid), func(t *testing.T) {
				bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
					ref := k.adoptAt(grant.Ref{Key: "cafe", App: "app"}, time.Minute)
					k.oracle.SetFault(func(oracle.Send) oracle.Fault {
						return oracle.Fault{Edit: func(m map[string]any) {
							if m["expires_in"] = test.expires; test.expires == nil {
								delete(m, "expires_in")
							}
						}}
					})
					for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); k.sleep(250 * time.Millisecond) {
						_, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{MinValid: minValid})
						if err != nil && !errors.Is(err, evergrant.ErrTemporary) && !errors.Is(err, evergrant.ErrInvalid) {
							t.Fatal(err)
						}
					}
					if n := len(k.oracle.Sends()); n == 0 || n > test.most {
						t.Errorf("%d sends in ten minutes, want at most %d", n, test.most)
					}
				})
			})
		}
	}
}

// months is options under which time can be passed in jumps, for everybody.
func months(c *wallClock, o kitOptions) kitOptions {
	o.now = func() time.Time { return c.now().Round(0) }
	o.oracle.Now = o.now
	return o
}

// pass lets d pass in jumps of step, with a moment after each for what fell due.
func (k *kit) pass(c *wallClock, d, step time.Duration) {
	const moment = 2 * time.Second
	for ; d > 0; d -= step {
		c.step(step - moment)
		k.sleep(moment)
	}
}

func TestAnIdleGrantIsKeptAliveForMonths(t *testing.T) {
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		access    time.Duration
		policy    func(*grant.Policy)
		stated    time.Duration // refresh_expires_in
		gap       time.Duration // between two sends, at most
		low, high int           // sends in half a year
	}{
		"the refresh token dies after two idle weeks": {
			access: 90 * day, policy: func(p *grant.Policy) { p.RefreshIdle = 14 * day },
			gap: 14*day - day, low: 14, high: 16,
		},
		"the provider says when, sooner than the access token ends": {
			access: 30 * day, policy: func(*grant.Policy) {}, stated: 5 * day,
			gap: 5*day - 11*time.Hour, low: 40, high: 43,
		},
		"the access token is renewed more often than that": {
			access: 12 * time.Hour, policy: func(p *grant.Policy) { p.RefreshIdle = 14 * day },
			gap: 13 * time.Hour, low: 340, high: 380,
		},
		"nothing but the access token ends": {
			access: 30 * day, policy: func(*grant.Policy) {}, gap: 30 * day, low: 6, high: 7,
		},
		"a year after consent it ends anyway": {
			access: 30 * day, policy: func(p *grant.Policy) { p.RefreshAbsolute = 365 * day }, gap: 30 * day, low: 6, high: 7,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var clock wallClock
			o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill, AccessLife: test.access}, policy: test.policy}
			bubble(t, months(&clock, o), func(t *testing.T, k *kit) {
				k.oracle.SetFault(func(oracle.Send) oracle.Fault {
					return oracle.Fault{Edit: func(m map[string]any) {
						if test.stated > 0 {
							m["refresh_expires_in"] = int(test.stated.Seconds())
						}
					}}
				})
				last := clock.now().Round(0)
				ref := k.adoptAt(grant.Ref{Key: "cafe", App: "app"}, min(test.access, 4*day))
				k.pass(&clock, 184*day, time.Hour)
				sends := k.oracle.Sends()
				for _, s := range sends {
					if gap := s.Start.Sub(last); gap > test.gap {
						t.Errorf("a refresh token rested for %s, want at most %s", gap, test.gap)
					}
					last = s.Start
				}
				if n := len(sends); n < test.low || n > test.high {
					t.Errorf("%d sends in half a year, want %d to %d", n, test.low, test.high)
				}
				if got := k.status(ref); got.State != grant.Connected {
					t.Errorf("it is %s/%s", got.State, got.Reason)
				}
			})
		})
	}
}

func TestTheEndOfAConsentIsNoHotLoop(t *testing.T) {
	const day = 24 * time.Hour
	for name, dies := range map[string]bool{"the provider keeps to it": true, "the provider goes on all the same": false} {
		t.Run(name, func(t *testing.T) {
			var clock wallClock
			o := kitOptions{
				oracle: oracle.Options{Rotation: oracle.FamilyKill, AccessLife: day},
				policy: func(p *grant.Policy) { p.RefreshAbsolute = 30 * day },
			}
			bubble(t, months(&clock, o), func(t *testing.T, k *kit) {
				ref := k.adoptAt(grant.Ref{Key: "cafe", App: "app"}, day)
				k.pass(&clock, 30*day, 10*time.Minute)
				if dies {
					k.oracle.Kill("cafe")
				}
				k.pass(&clock, 10*day, 10*time.Minute)
				if n := len(k.oracle.Sends()); n > 42 {
					t.Errorf("%d sends in 40 days of tokens that live for one", n)
				}
				if got := k.status(ref); dies != (got.State == grant.NeedsReauthorization) || dies && got.Reason != grant.DeadlinePassed {
					t.Errorf("it is %s/%s", got.State, got.Reason)
				}
			})
		})
	}
}

func TestAWeekTakesNoMoreRefreshesThanItsWindowsNeed(t *testing.T) {
	for _, test := range []struct {
		life, window time.Duration
		sends        int
	}{
		{25 * time.Minute, 30 * time.Second, 7 * 24 * 60 / 24},
		{12 * time.Hour, 0, 15},
	} {
		t.Run(test.life.String(), func(t *testing.T) {
			o := kitOptions{
				oracle: oracle.Options{Rotation: oracle.FamilyKill, AccessLife: test.life},
				policy: func(p *grant.Policy) { p.RefreshWindow = test.window },
			}
			bubble(t, o, func(t *testing.T, k *kit) {
				ref := k.adoptAt(grant.Ref{Key: "cafe", App: "app"}, test.life)
				k.inWindow(ref, 7*24*time.Hour, 41*time.Second)
				if n := len(k.oracle.Sends()); n == 0 || n > test.sends {
					t.Errorf("%d sends, want at most %d", n, test.sends)
				}
			})
		})
	}
}
