package manager_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// TestNothingOfASharedStoreIsHandedOutBeforeItsCommit has a renewal that cannot be
// committed. In a store that others share they may take this process for dead and
// ask again, which a provider may refuse once the new token was used.
func TestNothingOfASharedStoreIsHandedOutBeforeItsCommit(t *testing.T) {
	for shared, want := range map[bool]string{false: "the new token", true: "the old token"} {
		t.Run(want, func(t *testing.T) {
			var broken atomic.Bool
			o := kitOptions{
				oracle: oracle.Options{Rotation: oracle.RetireOnUse},
				wrap: func(s store.Store) store.Store {
					f := &failing{Store: s, commit: &broken}
					if shared {
						return replica{f}
					}
					return f
				},
			}
			bubble(t, o, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				old := k.token(ref).Token
				broken.Store(true)
				res, err := k.Refresh(t.Context(), ref)
				if err != nil || len(res) != 1 || res[0].Refreshed == shared {
					t.Errorf("the refresh came to %+v, %v", res, err)
				}
				if now := k.token(ref).Token; (now.AccessToken == old.AccessToken) != shared {
					t.Errorf("another token than %s was handed out", want)
				}
				broken.Store(false)
				k.sleep(11 * time.Second) // the longest back-off
				if now := k.token(ref).Token; now.AccessToken == old.AccessToken || !k.oracle.AccessValid(now.AccessToken) {
					t.Error("the new token is not handed out after its commit")
				}
				if n := len(k.oracle.Sends()); n != 1 {
					t.Errorf("%d refresh tokens were spent, want 1", n)
				}
			})
		})
	}
}

// replica is a store that others share.
type replica struct{ *failing }

func (r replica) Replicas(context.Context, string) (store.Fleet, error) {
	return store.Fleet{Size: 2, Incarnation: "1"}, nil
}

// TestAProcessThatJoinsOthersReadsAtOnceAndSendsOnceTheyKnow: until the others
// have made room they may use the whole of every limit.
func TestAProcessThatJoinsOthersReadsAtOnceAndSendsOnceTheyKnow(t *testing.T) {
	const known = 2 * time.Second
	o := kitOptions{wrap: func(s store.Store) store.Store { return replica{&failing{Store: s, commit: new(atomic.Bool)}} }}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.sleep(known)
		begun := time.Now()
		k.restart(o, func(string) {})
		k.token(ref)
		if d := time.Since(begun); d > time.Second {
			t.Errorf("a token is there after %v", d)
		}
		if res, err := k.Refresh(t.Context(), ref); err != nil || !res[0].Refreshed {
			t.Fatalf("the refresh came to %+v, %v", res, err)
		}
		sends := k.oracle.Sends()
		if at := sends[len(sends)-1].Start.Sub(begun); at < known || at > 2*known {
			t.Errorf("the first request was sent after %v", at)
		}
	})
}
