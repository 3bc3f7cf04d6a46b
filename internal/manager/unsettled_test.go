package manager_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// unsettled is a store that may fail to record what became of an attempt.
type unsettled struct {
	store.Store
	failing *atomic.Bool
}

func (u *unsettled) Settle(ctx context.Context, s store.Settlement) error {
	if u.failing.Load() {
		return store.ErrUnavailable
	}
	return u.Store.Settle(ctx, s)
}

func TestAttemptTheStoreCannotSettleIsSettledLater(t *testing.T) {
	var failing atomic.Bool
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill},
		wrap:   func(s store.Store) store.Store { return &unsettled{Store: s, failing: &failing} },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		failing.Store(true)
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Status: http.StatusInternalServerError} })
		k.sleep(time.Hour - 5*time.Second)
		k.oracle.SetFault(nil)
		if n := len(k.oracle.Sends()); n != 1 {
			t.Errorf("%d requests while the outcome of the first is not recorded, want 1", n)
		}
		failing.Store(false)
		k.sleep(30 * time.Second)
		if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Error("the grant did not go on living")
		}
		if n := len(k.oracle.Sends()); n != 2 {
			t.Errorf("%d requests in all, want 2", n)
		}
	})
}
