package manager_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// importSpent imports n businesses whose refresh tokens another program has used,
// and whose access tokens have ended.
func (k *kit) importSpent(n int) (refs []grant.Ref) {
	k.t.Helper()
	var list []manager.NewConnection
	for i := range n {
		ref := grant.Ref{Key: fmt.Sprint("spent_", i), App: "app"}
		access, refresh := k.oracle.Issue(ref.Key)
		k.present(refresh)
		refs = append(refs, ref)
		list = append(list, manager.NewConnection{Ref: ref, Tokens: &manager.Adoption{
			AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresAt: time.Now().Add(-time.Hour),
		}})
	}
	for i, r := range k.Import(k.t.Context(), list) {
		if r.Err != nil || !r.Created {
			k.t.Fatalf("%s: %+v", list[i].Ref, r)
		}
	}
	return refs
}

// TestAnImportOfSpentTokensIsSlowedAndWaitsForAnOperator: where a spent token ends
// the grant that its user has elsewhere, most of an import must not be tried before
// somebody has looked.
func TestAnImportOfSpentTokensIsSlowedAndWaitsForAnOperator(t *testing.T) {
	const (
		imported = 300
		guard    = 21 // refusals until they are not believed
		probes   = 6  // a minute, of an app that is paused for them
	)
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
		refs := k.importSpent(imported)
		before := len(k.oracle.Sends())
		tried := func() int { return len(k.oracle.Sends()) - before }

		k.sleep(time.Second)
		first := guard + k.app.Policy.InFlight()
		if n := tried(); n < guard || n > first {
			t.Errorf("%d were tried at once, want at most %d", n, first)
		}
		k.sleep(10 * time.Minute)
		// The wait between the first probes is shorter.
		if n := tried(); n > first+10*probes+4 {
			t.Errorf("%d were tried in ten minutes", n)
		}
		k.sleep(2 * time.Hour) // until most were refused twice
		for _, ref := range refs {
			if st := k.status(ref); st.Reason != grant.AppPaused || st.Reason.ActBy() != grant.Operator {
				t.Fatalf("%s is %s/%s", ref, st.State, st.Reason)
			}
		}
		if n := k.count(grant.EventAppPaused); n != 1 {
			t.Errorf("%d events tell of it", n)
		}
		if _, err := k.PauseApp(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		n := tried()
		k.sleep(time.Hour)
		if tried() != n {
			t.Errorf("%d were tried after the operator had stopped it", tried()-n)
		}
	})
}

// TestAnImportOfSpentTokensCostsNoOtherBusinessAToken: those that were there are
// served, and their renewals show that the refusals of the others are to be
// believed.
func TestAnImportOfSpentTokensCostsNoOtherBusinessAToken(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
		var good []grant.Ref
		for i := range 40 {
			good = append(good, k.adopt(fmt.Sprint("good_", i)))
			k.sleep(time.Minute)
		}
		spent := k.importSpent(300)
		for range 2 * 60 * 12 { // two hours
			k.sleep(5 * time.Second)
			for _, ref := range good {
				if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
					t.Fatalf("%s has a token that does not work", ref)
				}
			}
		}
		for _, ref := range good {
			if st := k.status(ref); st.State != grant.Connected {
				t.Errorf("%s is %s/%s", ref, st.State, st.Reason)
			}
		}
		for _, ref := range spent {
			if st := k.status(ref); st.Reason != grant.RefreshRejected {
				t.Errorf("%s is %s/%s", ref, st.State, st.Reason)
			}
		}
		ends, suspected := 0, 0
		for p := (store.Page{Limit: 1000}); ; {
			events, next, err := k.Events(t.Context(), store.EventFilter{Types: []string{string(grant.GrantRefreshFailed)}}, p, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if e.Data["final"] == true {
					ends++
				}
				if e.Data["suspect"] == "used_elsewhere" {
					suspected++
				}
			}
			if p.Cursor = next; next == "" || len(events) == 0 {
				break
			}
		}
		if ends != len(spent) || suspected != len(spent) {
			t.Errorf("%d grants ended, and of %d it is suspected that another program used them; want %d", ends, suspected, len(spent))
		}
	})
}
