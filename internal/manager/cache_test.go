package manager_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// counting counts the reads of what tokens are handed out from.
type counting struct {
	store.Store
	reads atomic.Int64
}

func (c *counting) Holdings(ctx context.Context, ref grant.Ref) (grant.Connection, []store.Holding, error) {
	c.reads.Add(1)
	return c.Store.Holdings(ctx, ref)
}

func TestReadsAskTheStoreOnlyInsideTheRefreshWindow(t *testing.T) {
	var st *counting
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill},
		wrap:   func(s store.Store) store.Store { st = &counting{Store: s}; return st },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.token(ref)
		for range 3 { // renewals must leave the cache warm
			before := st.reads.Load()
			for range 58 {
				k.sleep(time.Minute)
				k.token(ref)
			}
			if n := st.reads.Load() - before; n != 0 {
				t.Errorf("%d reads of the store outside the window", n)
			}
			k.sleep(time.Minute + 40*time.Second) // through the window
			k.token(ref)
			k.sleep(20 * time.Second)
		}
	})
}

func TestReadsOutliveTheStoreUntilTheTokenEnds(t *testing.T) {
	var broken atomic.Bool
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill},
		wrap:   func(s store.Store) store.Store { return &failing{Store: s, broken: &broken} },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.token(ref)
		broken.Store(true)
		k.sleep(time.Hour - 15*time.Second)
		if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Error("the token that was served is not valid")
		}
		if n := len(k.oracle.Sends()); n != 0 {
			t.Errorf("%d refresh tokens were spent while the store could not be written", n)
		}
		broken.Store(false)
		k.sleep(30 * time.Second)
		if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Error("no recovery after the store came back")
		}
	})
}

// failing is a store that can be made unavailable.
type failing struct {
	store.Store
	broken *atomic.Bool
	commit *atomic.Bool // only commits fail
}

func (f *failing) err() error {
	if f.broken != nil && f.broken.Load() {
		return store.ErrUnavailable
	}
	return nil
}

func (f *failing) Connection(ctx context.Context, r grant.Ref) (grant.Connection, error) {
	if err := f.err(); err != nil {
		return grant.Connection{}, err
	}
	return f.Store.Connection(ctx, r)
}

func (f *failing) Holdings(ctx context.Context, r grant.Ref) (grant.Connection, []store.Holding, error) {
	if err := f.err(); err != nil {
		return grant.Connection{}, nil, err
	}
	return f.Store.Holdings(ctx, r)
}

func (f *failing) NextDue(ctx context.Context, app string) (time.Time, bool, error) {
	if err := f.err(); err != nil {
		return time.Time{}, false, err
	}
	return f.Store.NextDue(ctx, app)
}

func (f *failing) Claim(ctx context.Context, r store.ClaimRequest) ([]store.Claim, error) {
	if err := f.err(); err != nil {
		return nil, err
	}
	return f.Store.Claim(ctx, r)
}

func (f *failing) ClaimOne(ctx context.Context, r store.ClaimRequest, id string, of grant.Version) (store.Claim, error) {
	if err := f.err(); err != nil {
		return store.Claim{}, err
	}
	return f.Store.ClaimOne(ctx, r, id, of)
}

func (f *failing) Commit(ctx context.Context, r store.Renewal) error {
	if err := f.err(); err != nil {
		return err
	}
	if f.commit != nil && f.commit.Load() {
		return store.ErrUnavailable
	}
	return f.Store.Commit(ctx, r)
}

func TestAnswerTheStoreCannotTakeIsServedAndCommittedLater(t *testing.T) {
	var commit atomic.Bool
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill},
		wrap:   func(s store.Store) store.Store { return &failing{Store: s, commit: &commit} },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		old := k.token(ref).Token
		commit.Store(true)
		k.sleep(time.Hour - 5*time.Second)
		h := k.token(ref)
		if h.Token.AccessToken == old.AccessToken || !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Fatal("the journaled token is not served")
		}
		if len(h.Warnings) == 0 || h.Warnings[0] != string(grant.StoreUnavailable) {
			t.Errorf("no warning: %q", h.Warnings)
		}
		commit.Store(false)
		k.sleep(15 * time.Second)
		if h := k.token(ref); len(h.Warnings) != 0 || !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Errorf("after the store came back: %q", h.Warnings)
		}
		g, err := k.Grants(t.Context(), ref)
		if err != nil || g[0].Version.Seq != 1 || len(k.oracle.Sends()) != 1 {
			t.Errorf("want one send committed as seq 1, got %+v, %v", g, err)
		}
	})
}

func TestAnswerSurvivesAProcessThatNeverCommits(t *testing.T) {
	var commit atomic.Bool
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill},
		wrap:   func(s store.Store) store.Store { return &failing{Store: s, commit: &commit} },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		commit.Store(true)
		k.sleep(time.Hour - 5*time.Second)
		k.closeStack()
		commit.Store(false)
		k.open(o)
		h := k.token(ref)
		if !k.oracle.AccessValid(h.Token.AccessToken) || len(k.oracle.Sends()) != 1 {
			t.Errorf("the journaled answer was not committed at the start; sends %+v", k.oracle.Sends())
		}
		k.sleep(time.Hour)
		if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Error("the grant did not go on living")
		}
	})
}
