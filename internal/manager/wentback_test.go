package manager_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// TestNoTokenGoesBackWithTheStore has the store go back, as by a fail-over to a
// server that lagged, be brought up to date under lower versions, and go on.
func TestNoTokenGoesBackWithTheStore(t *testing.T) {
	st := &goingBack{}
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill},
		wrap:   func(s store.Store) store.Store { st.Store = s; return st },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		id := k.token(ref).Token.Grant
		read := func() (grant.Grant, string) {
			t.Helper()
			g, _, err := st.Store.Credentials(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return g, k.token(ref).Token.AccessToken
		}
		renew := func() {
			t.Helper()
			k.sleep(time.Minute)
			if res, err := k.Refresh(t.Context(), ref); err != nil || !res[0].Refreshed {
				t.Fatalf("%+v, %v", res, err)
			}
		}
		shows := func(want, when string) {
			t.Helper()
			if now := k.token(ref).Token.AccessToken; now != want {
				t.Errorf("another token than before is handed out %s", when)
			}
		}
		lagging, first := read()
		for range 3 {
			renew()
		}
		last, newest := read()

		st.show(k, lagging, first)
		k.Changed("")
		shows(newest, "while the store is behind")
		shows(newest, "while the store is still behind")
		redone := last
		redone.Version = lagging.Version.Next()
		st.show(k, redone, newest)
		shows(newest, "once the store was brought up to date")
		k.sleep(time.Minute)
		next := redone
		next.Version = redone.Version.Next() // which has been before
		next.IssuedAt, next.ExpiresAt = last.IssuedAt.Add(time.Minute), last.ExpiresAt.Add(time.Minute)
		st.show(k, next, "the next one")
		k.Follow([]grant.Event{{Type: grant.GrantRefreshed, Connection: next.ConnectionID, Grant: id, App: ref.App,
			Data: map[string]any{"epoch": next.Version.Epoch, "seq": next.Version.Seq}}})
		shows("the next one", "once another process has renewed it")
	})
}

// TestARenewalAfterTheStoreWentBackReplacesWhatIsCachedFromBefore has what is
// cached be of a higher version than the renewal that comes after it.
func TestARenewalAfterTheStoreWentBackReplacesWhatIsCachedFromBefore(t *testing.T) {
	st, broken := &goingBack{}, atomic.Bool{}
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill},
		wrap: func(s store.Store) store.Store {
			st.Store = &failing{Store: s, broken: &broken}
			return st
		},
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		before, _, err := st.Store.Credentials(t.Context(), k.token(ref).Token.Grant)
		if err != nil {
			t.Fatal(err)
		}
		before.Version.Seq, before.ExpiresAt = 9, before.ExpiresAt.Add(3*time.Hour)
		st.show(k, before, "from before")
		k.Changed("") // has it read
		if h := k.token(ref); h.Token.AccessToken != "from before" {
			t.Fatal("the test does not cache what it means to")
		}
		st.grant = grant.Grant{} // the store goes back
		k.sleep(time.Hour)       // through a renewal
		broken.Store(true)
		if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Error("the token of before the renewal is handed out")
		}
	})
}

// goingBack is a store that shows a grant as the test says.
type goingBack struct {
	store.Store
	grant  grant.Grant
	sealed []byte
}

// show has the store show a grant with an access token.
func (b *goingBack) show(k *kit, g grant.Grant, token string) {
	k.t.Helper()
	c := grant.Credential{AccessToken: secret.New(token), RefreshToken: secret.New("r"), TokenType: "Bearer", ExpiresAt: g.ExpiresAt}
	plain, err := c.Plaintext()
	if err == nil {
		b.sealed, err = k.ring.Seal(seal.Slot{Table: seal.Credentials, Row: g.ID, Epoch: g.Version.Epoch, Seq: g.Version.Seq}, plain)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	b.grant = g
}

func (b *goingBack) Holdings(ctx context.Context, ref grant.Ref) (grant.Connection, []store.Holding, error) {
	c, list, err := b.Store.Holdings(ctx, ref)
	if b.grant.ConnectionID == c.ID {
		list = []store.Holding{{Grant: b.grant, Sealed: b.sealed}}
	}
	return c, list, err
}
