package manager_test

import (
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// TestThatAnotherProgramRenewsAGrantIsSuspected has a second program spend the
// refresh token that we hold, as the one it was taken over from does.
func TestThatAnotherProgramRenewsAGrantIsSuspected(t *testing.T) {
	for name, test := range map[string]struct {
		rotation string
		ended    bool // the access token had ended when it was adopted
		happens  func(k *kit, refresh string)
		want     any // what is suspected
		reason   grant.Reason
	}{
		"it was spent before it was adopted": {oracle.Strict, true, func(k *kit, refresh string) { k.present(refresh) },
			"used_elsewhere", grant.RefreshRejected},
		"it is spent while we hold a good token": {oracle.FamilyKill, false, func(k *kit, refresh string) { k.sleep(time.Minute); k.present(refresh) },
			"used_elsewhere", grant.RefreshRejected},
		"it was spent so long ago that grace is over": {oracle.Grace, false, func(k *kit, refresh string) { k.present(refresh) },
			"used_elsewhere", grant.RefreshRejected},
		"we may have spent it ourselves": {oracle.Strict, false, func(k *kit, _ string) {
			k.oracle.SetFault(func(s oracle.Send) oracle.Fault { return oracle.Fault{LoseAnswer: s.Current == 0} })
		}, nil, grant.RotationLost},
	} {
		t.Run(name, func(t *testing.T) {
			o := kitOptions{oracle: oracle.Options{Rotation: test.rotation, Window: time.Minute}}
			bubble(t, o, func(t *testing.T, k *kit) {
				access, refresh := k.oracle.Issue("cafe")
				ref := grant.Ref{Key: "cafe", App: "app"}
				tokens := manager.Adoption{AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: time.Hour}
				if test.ended {
					tokens.ExpiresIn, tokens.ExpiresAt = 0, time.Now().Add(-time.Hour)
					test.happens(k, refresh)
				}
				if _, _, err := k.Create(t.Context(), manager.NewConnection{Ref: ref, Tokens: &tokens}); err != nil {
					t.Fatal(err)
				}
				if !test.ended {
					test.happens(k, refresh)
				}
				k.sleep(time.Hour + 5*time.Minute)
				if st := k.status(ref); st.Reason != test.reason {
					t.Fatalf("it is %s/%s", st.State, st.Reason)
				}
				events, _, err := k.Events(t.Context(), store.EventFilter{Types: []string{string(grant.GrantRefreshFailed)}, NewestFirst: true}, store.Page{Limit: 10}, 0)
				if err != nil {
					t.Fatal(err)
				}
				for n, e := range events {
					want := test.want
					if n > 0 {
						want = nil // only the refusal that ended it suspects anybody
					}
					if e.Data["suspect"] != want || e.Data["final"] != (n == 0) {
						t.Errorf("event %d from the end: %v, want the suspicion %v", n, e.Data, want)
					}
				}
			})
		})
	}
}
