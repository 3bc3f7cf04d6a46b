package manager_test

import (
	"context"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// slow is a store that takes its time to say that an attempt is settled, as the
// store of a machine that was suspended does.
type slow struct {
	store.Store
	by time.Duration
}

func (s *slow) Settle(ctx context.Context, x store.Settlement) error {
	err := s.Store.Settle(ctx, x)
	t := time.NewTimer(s.by)
	defer t.Stop()
	<-t.C
	return err
}

// The grant is due again before the attempt that settled it has ended: each of
// the two has callers of its own to answer.
func TestAttemptThatIsDueAgainBeforeItsSettlingReturns(t *testing.T) {
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.Grace, Window: time.Hour, SameSuccessor: true},
		wrap:   func(s store.Store) store.Store { return &slow{s, time.Minute} },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		sent := 0
		k.oracle.SetFault(func(oracle.Send) oracle.Fault {
			sent++
			return oracle.Fault{LoseAnswer: sent == 1}
		})
		k.sleep(time.Hour)
		if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Error("the grant did not go on living")
		}
		k.sleep(time.Hour)
		if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Error("the grant is not renewed any more")
		}
	})
}
