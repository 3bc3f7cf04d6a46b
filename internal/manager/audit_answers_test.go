package manager_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
)

func TestAnAnswerThatBringsNoRefreshTokenLeavesTheOldOne(t *testing.T) {
	for name, edit := range map[string]func(map[string]any){
		"absent":   func(m map[string]any) { delete(m, "refresh_token") },
		"null":     func(m map[string]any) { m["refresh_token"] = nil },
		"empty":    func(m map[string]any) { m["refresh_token"] = "" },
		"blank":    func(m map[string]any) { m["refresh_token"] = "  " },
		"a number": func(m map[string]any) { m["refresh_token"] = []int{1} },
		"the same": func(map[string]any) {},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Static}}, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Edit: edit} })
				k.sleep(5*time.Hour + 30*time.Minute)
				if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
					t.Errorf("it is %s", h.State)
				}
				if r := k.oracle.Report(); r.Sends != 5 || r.Unknown != 0 {
					t.Errorf("%+v", r)
				}
				if n := k.count(grant.EventRotationContradicted); n != 0 {
					t.Errorf("%d events say that it was rotated", n)
				}
			})
		})
	}
}

func TestOtherChangesOfAConnectionDoNotDisturbItsRefresh(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.inFlight(func() {
			for i := range 20 {
				name := fmt.Sprint("Cafe ", i)
				if _, err := k.Update(t.Context(), ref, manager.Change{Name: &name, Tags: map[string]string{"n": name}}); err != nil {
					t.Fatal(err)
				}
				k.token(ref)
			}
		})
		if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Errorf("it is %s", h.State)
		}
		if r := k.oracle.Report(); r.Sends != 1 || k.count(grant.GrantRefreshed) != 1 {
			t.Errorf("the answer did not become current: %+v", r)
		}
	})
}

func TestWhileAClientSecretIsRotatedEitherWorks(t *testing.T) {
	const id, secondSecret = "id", "n3w-s3cret"
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill, ClientID: id, ClientSecret: secondSecret},
		app:    func(a *provider.AppOptions) { a.Secrets = append(a.Secrets, secret.New(secondSecret)) },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.sleep(5 * time.Hour)
		if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Errorf("it is %s", h.State)
		}
		refused := 0
		for _, s := range k.oracle.Sends() {
			if s.Outcome == "refused: invalid_client" {
				refused++
			}
		}
		if n := k.count(grant.EventAppRejected); n != 0 || refused != 1 {
			t.Errorf("%d requests had the old secret, want the first; %d incidents", refused, n)
		}
	})
}

func TestAScopeThatNarrowsIsToldOfAndShown(t *testing.T) {
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.Grace, Window: time.Hour}, app: func(a *provider.AppOptions) {
		a.Scopes, a.RequiredScopes = []string{"read", "write"}, []string{"write"}
	}}
	bubble(t, o, func(t *testing.T, k *kit) {
		scope := "read write"
		k.oracle.SetFault(func(oracle.Send) oracle.Fault {
			return oracle.Fault{Edit: func(answer map[string]any) { answer["scope"] = scope }}
		})
		ref := k.adopt("cafe")
		k.sleep(time.Hour)
		for _, want := range []struct {
			scope   string
			missing bool
		}{{"read", true}, {"read write more", false}} {
			scope = want.scope
			before := k.count(grant.ConnectionScopeChanged)
			k.sleep(2 * time.Hour)
			c, err := k.Connection(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			if n := k.count(grant.ConnectionScopeChanged) - before; n != 1 {
				t.Errorf("%d events tell of %q", n, scope)
			}
			if slices.Contains(c.Flags, grant.ScopeMissing) != want.missing || k.token(ref).Token.Scope != want.scope {
				t.Errorf("with %q its flags are %v", scope, c.Flags)
			}
		}
	})
}

func TestAScopeInAnotherOrderHasNotChanged(t *testing.T) {
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.Grace, Window: time.Hour}, app: func(a *provider.AppOptions) {
		a.Scopes, a.RequiredScopes = []string{"read", "write"}, []string{"write"}
	}}
	bubble(t, o, func(t *testing.T, k *kit) {
		var scope atomic.Value
		scope.Store("read write")
		k.oracle.SetFault(func(oracle.Send) oracle.Fault {
			return oracle.Fault{Edit: func(answer map[string]any) { answer["scope"] = scope.Load() }}
		})
		ref := k.adopt("cafe") // without a word about its scope: it is the app's
		for _, want := range []string{"read write", "write read", "read,write"} {
			scope.Store(want)
			k.sleep(2 * time.Hour)
			if got := k.token(ref).Token.Scope; got != want {
				t.Fatalf("its scope is %q, not %q", got, want)
			}
		}
		if n := k.count(grant.ConnectionScopeChanged); n != 0 {
			t.Errorf("%d events tell of a change", n)
		}
	})
}

func TestAScopeThatNobodyKnewHasNotChanged(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Grace, Window: time.Hour}}, func(t *testing.T, k *kit) {
		k.oracle.SetFault(func(oracle.Send) oracle.Fault {
			return oracle.Fault{Edit: func(answer map[string]any) { answer["scope"] = "read" }}
		})
		ref := k.adopt("cafe") // without a word about its scope
		k.sleep(2 * time.Hour)
		if got := k.token(ref).Token.Scope; got != "read" {
			t.Errorf("its scope is %q", got)
		}
		if n := k.count(grant.ConnectionScopeChanged); n != 0 {
			t.Errorf("%d events tell of a change", n)
		}
	})
}
