package sqlite

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// inOrder makes calls that wait together, and whose changes are made in their
// order. It must be called in a bubble.
func inOrder(s *Store, calls ...func()) {
	var all sync.WaitGroup
	release := make(chan struct{})
	all.Go(func() { _ = s.w.do(context.Background(), func(*tx) error { <-release; return nil }) })
	synctest.Wait()
	for _, call := range calls {
		all.Go(call)
		synctest.Wait() // until it waits behind those before it
	}
	close(release)
	all.Wait()
}

var me = store.ClaimRequest{App: "app", Owner: "me", Limit: 2, Barrier: grant.Barrier{Settle: time.Minute}}

func TestClaimsThatWaitTogetherShareWhatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openTemp(t)
		for _, name := range []string{"a", "b", "c"} {
			oneGrant(t, s, name)
			time.Sleep(time.Second)
		}
		var first, second, third []store.Claim
		inOrder(s,
			func() { first, _ = s.Claim(t.Context(), me) },
			func() { second, _ = s.Claim(t.Context(), me) },
			func() { third, _ = s.Claim(t.Context(), me) })
		if len(first) != 2 || len(second) != 1 || len(third) != 0 {
			t.Fatalf("claimed %d, %d and %d grants, want 2, 1 and 0", len(first), len(second), len(third))
		}
		if id := second[0].Grant.ID; id != "grant_c" {
			t.Errorf("the second claimed %s", id)
		}
	})
}

func TestAGrantThatChangesWhileItsClaimWaitsIsClaimedAsItIs(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Store, grant.Grant) error
		claims int
	}{
		"disconnected": {func(s *Store, g grant.Grant) error {
			return s.Disconnect(context.Background(), g.ID, g.Version, grant.Revoked)
		}, 0},
		"deleted": {func(s *Store, g grant.Grant) error {
			return s.DeleteConnection(context.Background(), g.ConnectionID)
		}, 0},
		"installed again": {func(s *Store, g grant.Grant) error {
			g.Version = grant.Version{Epoch: 2}
			return s.Install(context.Background(), store.Installation{Grant: g, Sealed: []byte("new")})
		}, 1},
		"failed meanwhile, and due at the same time": {func(s *Store, g grant.Grant) error {
			return s.w.do(context.Background(), func(t *tx) error {
				_, err := t.exec(`UPDATE grants SET failures = 1 WHERE id = ?`, g.ID)
				return err
			})
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := openTemp(t)
				g := oneGrant(t, s, "a")
				var claims []store.Claim
				var changed, err, oneErr error
				inOrder(s,
					func() { changed = test.change(s, g) },
					func() { claims, err = s.Claim(t.Context(), me) })
				if err := errors.Join(changed, err); err != nil || len(claims) != test.claims {
					t.Fatalf("%d claims, %v", len(claims), err)
				}
				for _, c := range claims {
					is, sealed, err := s.Credentials(t.Context(), g.ID)
					if err != nil || is.Version != c.Grant.Version || is.Failures != c.Grant.Failures || string(sealed) != string(c.Sealed) {
						t.Errorf("claimed is %+v, want %+v, %v", c.Grant, is, err)
					}
				}
				h := oneGrant(t, s, "b")
				inOrder(s,
					func() { changed = test.change(s, h) },
					func() { _, oneErr = s.ClaimOne(t.Context(), me, h.ID, h.Version) })
				if stale := name != "failed meanwhile, and due at the same time"; errors.Is(oneErr, store.ErrStale) != stale {
					t.Errorf("the error is %v", oneErr)
				}
			})
		})
	}
}

func TestACommitNeedsNothingRemembered(t *testing.T) {
	for name, forget := range map[string]func(*Store, store.Claim) error{
		"remembered": func(*Store, store.Claim) error { return nil },
		"forgotten": func(s *Store, c store.Claim) error {
			return s.w.do(context.Background(), func(t *tx) error { clear(t.w.opened); return nil })
		},
		"held as unknown meanwhile": func(s *Store, c store.Claim) error {
			return s.Settle(context.Background(), store.Settlement{GrantID: c.Grant.ID, AttemptID: c.Grant.Attempt.ID, Of: c.Grant.Version,
				Hold: true, DueAt: c.Grant.DueAt, Failures: 1, Status: c.Grant.Status.Become(grant.AnswerLost, c.Grant.DueAt, c.Grant.DueAt)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTemp(t)
			g := oneGrant(t, s, "a")
			for range 3 {
				c, err := s.ClaimOne(t.Context(), me, g.ID, g.Version)
				if err != nil {
					t.Fatal(err)
				}
				if err := forget(s, c); err != nil {
					t.Fatal(err)
				}
				r := store.Renewal{GrantID: g.ID, AttemptID: c.Grant.Attempt.ID, Of: g.Version, Sealed: []byte("new")}
				for range 2 { // committing again changes nothing
					if err := s.Commit(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				}
				if g, err = s.Grant(t.Context(), g.ID); err != nil || g.Version != r.Of.Next() || g.Attempt != nil || g.Status.Reason != grant.OK {
					t.Fatalf("%+v, %v", g, err)
				}
				conn, err := s.Connection(t.Context(), grant.Ref{ID: g.ConnectionID})
				if err != nil || conn.Status.Reason != grant.OK {
					t.Fatalf("%+v, %v", conn, err)
				}
			}
		})
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	o := make(opened)
	for i := range 3 * maxOpened {
		o.remember(grant.NewID(grant.AttemptID, time.UnixMilli(int64(i))), claimRow{})
	}
	if len(o) > maxOpened {
		t.Errorf("%d attempts are", len(o))
	}
}
