package manager_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// buggy is a store in which calls of one method panic.
type buggy struct {
	store.Store
	method string
	after  bool         // only when the change is made
	times  atomic.Int32 // how many more
}

// bug panics if it is time to.
func (b *buggy) bug(method string, after bool) {
	if b.method == method && b.after == after && b.times.Add(-1) >= 0 {
		panic("a bug of ours in " + method)
	}
}

func (b *buggy) Commit(ctx context.Context, r store.Renewal) error {
	b.bug("commit", false)
	err := b.Store.Commit(ctx, r)
	b.bug("commit", true)
	return err
}

func (b *buggy) Settle(ctx context.Context, s store.Settlement) error {
	b.bug("settle", false)
	err := b.Store.Settle(ctx, s)
	b.bug("settle", true)
	return err
}

func (b *buggy) Park(ctx context.Context, o store.Orphan) error {
	b.bug("park", false)
	err := b.Store.Park(ctx, o)
	b.bug("park", true)
	return err
}

// TestAPanicCostsNoGrant: a panic in one refresh is an outcome of that refresh,
// and so are those of the tries to rescue it. What a panic at each durable step of a real process costs is TestMatrix's.
func TestAPanicCostsNoGrant(t *testing.T) {
	failing := oracle.Fault{Status: http.StatusInternalServerError}
	unusable := oracle.Fault{Edit: func(m map[string]any) { m["token_type"] = "mac" }}
	for _, tt := range []struct {
		name   string
		method string
		after  bool
		fault  oracle.Fault // of the first request
	}{
		{"before a commit", "commit", false, oracle.Fault{}},
		{"after a commit", "commit", true, oracle.Fault{}},
		{"before an answer that says nothing is settled", "settle", false, failing},
		{"after it is settled", "settle", true, failing},
		{"before an unusable answer is parked", "park", false, unusable},
		{"after it is parked", "park", true, unusable},
	} {
		for _, rotation := range []oracle.Options{{Rotation: oracle.Grace, Window: 30 * time.Minute}, {Rotation: oracle.FamilyKill}} {
			for _, times := range []int32{1, 3} {
				t.Run(fmt.Sprintf("%s, %s, %d times", tt.name, rotation.Rotation, times), func(t *testing.T) {
					o := kitOptions{oracle: rotation, wrap: func(s store.Store) store.Store {
						b := &buggy{Store: s, method: tt.method, after: tt.after}
						b.times.Store(times)
						return b
					}}
					panics(t, o, tt.method, tt.fault)
				})
			}
		}
	}
}

// panics lives through a kit's panics.
func panics(t *testing.T, o kitOptions, method string, first oracle.Fault) {
	bubble(t, o, func(t *testing.T, k *kit) {
		n := 0
		k.oracle.SetFault(func(oracle.Send) oracle.Fault {
			if n++; n > 1 {
				return oracle.Fault{}
			}
			return first
		})
		refs := []grant.Ref{k.adopt("cafe"), k.adopt("bar")}
		k.sleep(time.Hour + 5*time.Minute)
		lost := 0
		for _, ref := range refs {
			if st := k.status(ref); st.State == grant.NeedsReauthorization {
				lost++
			} else if h := k.token(ref); st.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
				t.Errorf("%s is %s/%s", ref, st.State, st.Reason)
			}
		}
		want := 0 // unless the first answer was of no use, and its token cannot be used again
		if method == "park" && o.oracle.Rotation == oracle.FamilyKill {
			want = 1
		}
		r := k.oracle.Report()
		if lost != want || r.Overlaps != 0 || r.Rotations < 2-want {
			t.Errorf("%d grants lost, want %d; the provider saw %+v", lost, want, r)
		}
	})
}

func TestAPanicOverAnOldAnswerDoesNotKeepTheServerDown(t *testing.T) {
	var commit atomic.Bool
	died := kitOptions{
		oracle: oracle.Options{Rotation: oracle.Strict},
		wrap:   func(s store.Store) store.Store { return &failing{Store: s, commit: &commit} },
	}
	bubble(t, died, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		commit.Store(true)
		k.sleep(time.Hour - 5*time.Second)
		k.closeStack() // with an answer in the journal
		b := &buggy{method: "commit"}
		b.times.Store(3) // as often as it is tried
		o := died
		o.wrap = func(s store.Store) store.Store { b.Store = s; return b }
		k.open(o)
		if b.times.Load() != 0 {
			t.Fatal("nothing panicked")
		}
		k.sleep(5 * time.Minute)
		if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Errorf("it is %s", h.State)
		}
	})
}
