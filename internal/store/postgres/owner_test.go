package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// replicas opens stores on one database and one clock.
func replicas(t *testing.T, n int) (string, *testClock, []*Store) {
	t.Helper()
	url, clock := server.Database(t), newTestClock()
	stores := make([]*Store, n)
	for i := range stores {
		stores[i] = openTest(t, url, Options{Now: clock.now})
	}
	return url, clock, stores
}

// die ends a store's background work without a goodbye, as a crash does.
func die(s *Store) {
	s.end()
	s.work.Wait()
	s.session.drop()
}

func TestAnAttemptOfALivingProcessIsLeftAlone(t *testing.T) {
	_, clock, s := replicas(t, 2)
	g := connected(t, s[0], "k", clock.now())
	c := claims(t, s[0], "own_a", 1)[0]
	clock.advance(24 * time.Hour)
	claims(t, s[1], "own_b", 0)
	if _, err := s[1].ClaimOne(t.Context(), request("own_b"), g.ID, g.Version); !errors.Is(err, store.ErrStale) {
		t.Fatalf("error is %v, want ErrStale", err)
	}
	if err := s[0].Commit(t.Context(), renewal(c, clock.now())); err != nil {
		t.Fatal(err)
	}
}

func TestAnAttemptOfAStoreThatClosedIsTakenOverAfterItsBarrier(t *testing.T) {
	_, clock, s := replicas(t, 2)
	connected(t, s[0], "k", clock.now())
	claims(t, s[0], "own_a", 1)
	if err := s[0].Close(); err != nil {
		t.Fatal(err)
	}
	claims(t, s[1], "own_b", 0)
	clock.advance(20 * time.Second)
	if c := claims(t, s[1], "own_b", 1)[0]; c.Grant.Attempt.Kind != grant.Resend || c.Repeats.Owner != "own_a" {
		t.Fatalf("attempt is %+v", c.Grant.Attempt)
	}
}

func TestAnAttemptOfAProcessThatCrashedIsTakenOverAfterItsBarrierAndItsGrace(t *testing.T) {
	for name, claim := range map[string]func(*Store, grant.Grant) (store.Claim, error){
		"with the others": func(s *Store, _ grant.Grant) (store.Claim, error) {
			got, err := s.Claim(t.Context(), request("own_b"))
			if len(got) == 0 {
				return store.Claim{}, errors.Join(err, store.ErrStale)
			}
			return got[0], err
		},
		"alone": func(s *Store, g grant.Grant) (store.Claim, error) {
			return s.ClaimOne(t.Context(), request("own_b"), g.ID, g.Version)
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, clock, s := replicas(t, 2)
			g := connected(t, s[0], "k", clock.now())
			old := claims(t, s[0], "own_a", 1)[0]
			die(s[0])
			clock.advance(20 * time.Second)
			eventually(t, func() error { // the server has to notice
				if _, err := claim(s[1], g); !errors.Is(err, store.ErrStale) {
					return errors.Join(errors.New("taken over before its grace"), err)
				}
				var lost bool
				conn := connect(t, s[1].config.ConnString())
				defer conn.Close(t.Context())
				if err := conn.QueryRow(t.Context(), `SELECT lost_at IS NOT NULL FROM owners WHERE id = 'own_a'`).Scan(&lost); err != nil || !lost {
					return errors.Join(errors.New("its lock is not found free"), err)
				}
				return nil
			})
			clock.advance(grace - time.Microsecond)
			if _, err := claim(s[1], g); !errors.Is(err, store.ErrStale) {
				t.Fatalf("within its grace: %v", err)
			}
			clock.advance(time.Microsecond)
			c, err := claim(s[1], g)
			if err != nil {
				t.Fatal(err)
			}
			if c.Grant.Attempt.Kind != grant.Resend || c.Grant.Attempt.Owner != "own_b" || c.Repeats.ID != old.Grant.Attempt.ID {
				t.Fatalf("claim is %+v, repeats %+v", c.Grant.Attempt, c.Repeats)
			}
			// What the first one had received comes too late to be current.
			if err := s[1].Commit(t.Context(), renewal(old, clock.now())); !errors.Is(err, store.ErrStale) {
				t.Fatalf("error is %v, want ErrStale", err)
			}
			if err := s[1].Commit(t.Context(), renewal(c, clock.now())); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAProcessWhoseSessionWasCutOffComesBackAndKeepsItsAttempts(t *testing.T) {
	url, clock, s := replicas(t, 2)
	connected(t, s[0], "k", clock.now())
	c := claims(t, s[0], "own_a", 1)[0]
	claims(t, s[1], "own_b", 0)
	run(t, url, terminateOwners)
	clock.advance(time.Minute)
	// By itself: nothing is claimed.
	eventually(t, func() error {
		var held int
		conn := connect(t, url)
		defer conn.Close(t.Context())
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM owners o WHERE lost_at IS NULL AND `+ownerLock+
			` IN (SELECT key FROM `+ownerLocks+`)`).Scan(&held)
		if err != nil || held != 2 {
			return errors.Join(errors.New("not both hold their locks"), err)
		}
		return nil
	})
	clock.advance(time.Hour)
	claims(t, s[1], "own_b", 0)
	claims(t, s[0], "own_a", 0)
	if err := s[0].Commit(t.Context(), renewal(c, clock.now())); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsClaimedWithoutTheLock(t *testing.T) {
	url, clock, s := replicas(t, 1)
	g := connected(t, s[0], "k", clock.now())
	claims(t, s[0], "own_a", 1)
	other := connected(t, s[0], "l", clock.now())
	run(t, url, terminateOwners)
	if _, err := s[0].ClaimOne(t.Context(), request("own_a"), other.ID, other.Version); err != nil && !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("error is %v, want ErrUnavailable or a new session", err)
	}
	eventually(t, func() error {
		_, err := s[0].ClaimOne(t.Context(), request("own_a"), other.ID, other.Version)
		if errors.Is(err, store.ErrStale) {
			return nil // claimed the first time, on a new session
		}
		return err
	})
	if got, err := s[0].Grant(t.Context(), g.ID); err != nil || got.Attempt == nil {
		t.Fatalf("the attempt before is %v, %v", got.Attempt, err)
	}
}

func TestAClaimWhoseCommitWasNotAnsweredIsTakenBack(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *Store, *testClock){
		"a first send": func(*testing.T, *Store, *testClock) {},
		"a resend": func(t *testing.T, s *Store, clock *testClock) {
			c := claims(t, s, "own_a", 1)[0]
			err := s.Settle(t.Context(), store.Settlement{GrantID: c.Grant.ID, AttemptID: c.Grant.Attempt.ID, Of: c.Grant.Version,
				Hold: true, DueAt: clock.now(), Status: c.Grant.Status})
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, url := newProxy(t, server.Database(t))
			clock := newTestClock()
			s := openTest(t, url, Options{Now: clock.now})
			g := connected(t, s, "k", clock.now())
			claims(t, s, "own_a", 1)
			if err := s.Install(t.Context(), store.Installation{Grant: approvedAgain(g), Sealed: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			prepare(t, s, clock)
			before, err := s.Grant(t.Context(), g.ID)
			if err != nil {
				t.Fatal(err)
			}
			p.loseAnswer("COMMIT\x00")
			if _, err := s.Claim(t.Context(), request("own_a")); !errors.Is(err, store.ErrUnavailable) || p.answersLost() != 1 {
				t.Fatalf("error is %v after %d lost answers, want ErrUnavailable", err, p.answersLost())
			}
			eventually(t, func() error {
				after, err := s.Grant(t.Context(), g.ID)
				if d := cmp.Diff(before, after); d != "" {
					return errors.Join(errors.New(d), err)
				}
				return err
			})
			eventually(t, func() error {
				got, err := s.Claim(t.Context(), request("own_a"))
				if err == nil && len(got) != 1 {
					t.Fatalf("%d claims", len(got))
				}
				return err
			})
		})
	}
}

// approvedAgain is a grant approved again.
func approvedAgain(g grant.Grant) grant.Grant {
	g.Version = grant.Version{Epoch: 2}
	return g
}
