package manager_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// slowClaims is a store that other processes may share and whose claims take a
// while. It counts them.
type slowClaims struct {
	store.Store
	take    time.Duration
	claimed []int // by each claim that found something
	asked   int   // for the next due grant
}

func (s *slowClaims) Claim(ctx context.Context, r store.ClaimRequest) ([]store.Claim, error) {
	time.Sleep(s.take)
	c, err := s.Store.Claim(ctx, r)
	if len(c) > 0 {
		s.claimed = append(s.claimed, len(c))
	}
	return c, err
}

func (s *slowClaims) Replicas(context.Context, string) (store.Fleet, error) {
	return store.Fleet{Size: 1, Incarnation: "the only one"}, nil
}

func (s *slowClaims) NextDue(ctx context.Context, app string) (time.Time, bool, error) {
	s.asked++
	return s.Store.NextDue(ctx, app)
}

// dueTogether runs a test when grants that are due at the same moment, with four
// slots for them, are 100 ms past it. answers is how long the provider takes for
// the nth of them.
func dueTogether(t *testing.T, grants int, answers func(n int) time.Duration, test func(*testing.T, *kit, *slowClaims)) {
	s := &slowClaims{take: 4 * time.Millisecond}
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.RetireOnUse, AccessLife: 10 * time.Hour},
		policy: func(p *grant.Policy) { p.MaxInFlight = 4 },
		wrap:   func(inner store.Store) store.Store { s.Store = inner; return s },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		// What has ended is renewed as soon as the app may send again.
		if _, err := k.PauseApp(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		for n := range grants {
			k.adoptAt(grant.Ref{Key: fmt.Sprint("biz_", n), App: "app"}, time.Second)
		}
		k.oracle.SetFault(func(s oracle.Send) oracle.Fault {
			var n int
			_, _ = fmt.Sscanf(s.Grant, "biz_%d", &n)
			return oracle.Fault{After: answers(n)}
		})
		k.sleep(time.Minute)
		s.asked = 0
		if _, err := k.ResumeApp(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		k.sleep(100 * time.Millisecond)
		test(t, k, s)
	})
}

func TestAClaimWaitsForSlotsAsLongAsTheLastOneTook(t *testing.T) {
	// One answer comes after the other, all within what a claim takes.
	dueTogether(t, 16, func(n int) time.Duration { return time.Duration(n%4) * time.Millisecond },
		func(t *testing.T, k *kit, s *slowClaims) {
			if want := []int{4, 4, 4, 4}; !slices.Equal(s.claimed, want) {
				t.Errorf("claims of %v, want %v", s.claimed, want)
			}
			if s.asked > 2 {
				t.Errorf("asked %d times what is due next, while claims found all they asked for", s.asked)
			}
		})
}

func TestAClaimDoesNotWaitForASlowAnswer(t *testing.T) {
	answers := func(n int) time.Duration {
		if n == 0 {
			return time.Minute
		}
		return 0
	}
	dueTogether(t, 13, answers, func(t *testing.T, k *kit, s *slowClaims) {
		if want := []int{4, 3, 3, 3}; !slices.Equal(s.claimed, want) {
			t.Errorf("claims of %v, want %v", s.claimed, want)
		}
		if r := k.oracle.Report(); r.Rotations != 13 {
			t.Errorf("the provider saw %+v", r)
		}
	})
}
