package manager_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// unsure is a store whose changes happen and are reported as failed, as when a
// connection breaks while the answer to COMMIT is on its way.
type unsure struct {
	store.Store
	claims, commits, settlements atomic.Int32 // how many more of each
}

// happened reports one of n changes that happened as failed.
func happened(n *atomic.Int32, err error) error {
	if err == nil && n.Add(-1) >= 0 {
		return fmt.Errorf("%w: the outcome of COMMIT is not known", store.ErrUnavailable)
	}
	return err
}

func (u *unsure) Claim(ctx context.Context, r store.ClaimRequest) ([]store.Claim, error) {
	c, err := u.Store.Claim(ctx, r)
	if len(c) == 0 {
		return c, err
	}
	if err = happened(&u.claims, err); err != nil {
		return nil, err
	}
	return c, nil
}

func (u *unsure) Commit(ctx context.Context, r store.Renewal) error {
	return happened(&u.commits, u.Store.Commit(ctx, r))
}

func (u *unsure) Settle(ctx context.Context, s store.Settlement) error {
	return happened(&u.settlements, u.Store.Settle(ctx, s))
}

func TestACommitOfUnknownOutcomeIsNeitherDoubledNorLost(t *testing.T) {
	for name, times := range map[string]int32{"once": 1, "for a second": 8, "for minutes": 30} {
		for then, restart := range map[string]bool{"and goes on": false, "and dies": true} {
			t.Run(name+" "+then, func(t *testing.T) {
				u := &unsure{}
				o := kitOptions{
					oracle: oracle.Options{Rotation: oracle.FamilyKill},
					wrap:   func(s store.Store) store.Store { u.Store = s; return u },
				}
				bubble(t, o, func(t *testing.T, k *kit) {
					ref := k.adopt("cafe")
					u.commits.Store(times)
					k.sleep(time.Hour - 10*time.Second)
					if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
						t.Error("the token that is served while nobody knows does not work")
					}
					if restart {
						k.closeStack()
						k.open(o)
					}
					u.commits.Store(0)
					k.sleep(15 * time.Second)
					h := k.token(ref)
					if !k.oracle.AccessValid(h.Token.AccessToken) || len(h.Warnings) != 0 {
						t.Errorf("15 s later: warnings %q", h.Warnings)
					}
					k.sleep(2 * time.Hour)
					g, err := k.Grants(t.Context(), ref)
					if err != nil || g[0].Version.Seq != 3 || g[0].Status.State != grant.Connected {
						t.Errorf("after three lifetimes: %+v, %v", g, err)
					}
					if r := k.oracle.Report(); r.Sends != 3 || r.Rotations != 3 || r.Overlaps != 0 {
						t.Errorf("want three sends, got %+v", r)
					}
					if n := k.count(grant.GrantRefreshed); n != 3 {
						t.Errorf("%d events of three refreshes", n)
					}
				})
			})
		}
	}
}

// TestACommitThatHadHappenedLeavesWhatIsCached has a renewal be read from the store
// before this process knows that it is there, and the store go away after that.
func TestACommitThatHadHappenedLeavesWhatIsCached(t *testing.T) {
	u, broken := &unsure{}, atomic.Bool{}
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill},
		wrap: func(s store.Store) store.Store {
			u.Store = &failing{Store: s, broken: &broken}
			return u
		},
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		u.commits.Store(1000)
		k.sleep(time.Hour - 10*time.Second)
		k.Changed("") // has it read
		handed := k.token(ref).Token.AccessToken
		u.commits.Store(0)
		k.sleep(15 * time.Second)
		broken.Store(true)
		if h := k.token(ref); h.Token.AccessToken != handed {
			t.Error("another token is handed out")
		}
	})
}

func TestASettlementOfUnknownOutcomeIsSettledOnce(t *testing.T) {
	u := &unsure{}
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill},
		wrap:   func(s store.Store) store.Store { u.Store = s; return u },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		u.settlements.Store(3)
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Status: 503} })
		k.sleep(time.Hour - 10*time.Second)
		k.oracle.SetFault(nil)
		k.sleep(time.Minute)
		if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) || h.State != grant.Connected {
			t.Errorf("it is %s", h.State)
		}
	})
}

func TestAnAttemptThatNobodyKnowsWasOpenedIsNotSentTwice(t *testing.T) {
	u := &unsure{}
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.Grace, Window: time.Minute},
		wrap:   func(s store.Store) store.Store { u.Store = s; return u },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		u.claims.Store(1)
		k.sleep(time.Hour - 5*time.Second)
		if n := len(k.oracle.Sends()); n != 0 {
			t.Fatalf("%d sends under an attempt that may not be open", n)
		}
		// The attempt is open in the name of a process that lives and knows nothing
		// of it; its successor settles it.
		k.closeStack()
		k.open(o)
		k.sleep(15 * time.Second)
		if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Error("no token 15 s after the restart")
		}
		if r := k.oracle.Report(); r.Sends != 1 {
			t.Errorf("%+v", r)
		}
	})
}

func TestAStoreThatIsDownForHoursCostsNoGrant(t *testing.T) {
	for name, at := range map[string]time.Duration{
		"before anything was due":                       30 * time.Minute,
		"while the answers to all renewals are awaited": time.Hour - 20*time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			o := kitOptions{
				oracle: oracle.Options{Rotation: oracle.FamilyKill},
				wrap:   func(s store.Store) store.Store { return &failing{Store: s, broken: &broken} },
			}
			bubble(t, o, func(t *testing.T, k *kit) {
				var refs []grant.Ref
				for i := range 5 {
					refs = append(refs, k.adopt(fmt.Sprintf("cafe_%d", i)))
				}
				k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{After: 5 * time.Second} })
				k.sleep(at)
				broken.Store(true)
				sent := len(k.oracle.Sends())
				k.sleep(6 * time.Hour)
				if n := len(k.oracle.Sends()); n != sent {
					t.Errorf("%d refresh tokens were sent without a durable intent", n-sent)
				}
				broken.Store(false)
				k.oracle.SetFault(nil)
				k.sleep(15 * time.Second)
				for _, ref := range refs {
					if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) || h.State != grant.Connected || len(h.Warnings) != 0 {
						t.Errorf("%s 15 s after the store came back: %s, %q", ref, h.State, h.Warnings)
					}
				}
				if r := k.oracle.Report(); r.Overlaps != 0 || r.TwoLate != 0 {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}
