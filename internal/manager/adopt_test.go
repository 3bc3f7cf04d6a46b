package manager_test

import (
	"errors"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
)

// TestAdoptedTokensAreRenewedForCallersThatNeedMore: what is left of adopted
// tokens says nothing about how long the provider's tokens live.
func TestAdoptedTokensAreRenewedForCallersThatNeedMore(t *testing.T) {
	for name, c := range map[string]struct{ left, minValid time.Duration }{
		"ended before they came":          {-time.Hour, 0},
		"good for less than a call":       {5 * time.Second, 0},
		"good, but not for long enough":   {10 * time.Minute, 20 * time.Minute},
		"good for nearly what is needed":  {59 * time.Minute, 59*time.Minute + 30*time.Second},
		"a second before the call begins": {0, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict, AccessLife: time.Hour}}, func(t *testing.T, k *kit) {
				access, refresh := k.oracle.Issue("cafe")
				ref := grant.Ref{Key: "cafe", App: "app"}
				_, _, err := k.Create(t.Context(), manager.NewConnection{Ref: ref, Tokens: &manager.Adoption{
					AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresAt: time.Now().Add(c.left),
				}})
				if err != nil {
					t.Fatal(err)
				}
				h, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{MinValid: c.minValid})
				if err != nil {
					t.Fatal(err)
				}
				if time.Until(h.Token.Expiry) < max(c.minValid, 10*time.Second) || !k.oracle.AccessValid(h.Token.AccessToken) {
					t.Errorf("the token ends in %v", time.Until(h.Token.Expiry))
				}
				if n := len(k.oracle.Sends()); n != 1 {
					t.Errorf("%d token requests, want 1", n)
				}
			})
		})
	}
}

// TestARepeatedAnswerSaysNothingAboutTheProvidersLifetime: a provider that
// answers a repeated refresh with the same pair tells what is left of it.
func TestARepeatedAnswerSaysNothingAboutTheProvidersLifetime(t *testing.T) {
	const life = 20 * time.Second
	o := oracle.Options{Rotation: oracle.Grace, Window: 30 * time.Minute, AccessLife: life, SameSuccessor: true}
	bubble(t, kitOptions{oracle: o}, func(t *testing.T, k *kit) {
		access, refresh := k.oracle.Issue("cafe")
		ref := grant.Ref{Key: "cafe", App: "app"}
		_, _, err := k.Create(t.Context(), manager.NewConnection{Ref: ref, Tokens: &manager.Adoption{
			AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: life,
		}})
		if err != nil {
			t.Fatal(err)
		}
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{LoseAnswer: true} })
		if _, err := k.Refresh(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		k.sleep(12 * time.Second) // the pair whose answer was lost grows old
		k.oracle.SetFault(nil)
		served := 0
		for range 60 {
			h, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{})
			switch {
			case err == nil:
				served++
				if !k.oracle.AccessValid(h.Token.AccessToken) {
					t.Errorf("a token was handed out that does not work; it is said to end in %v", time.Until(h.Token.Expiry))
				}
			case !errors.Is(err, evergrant.ErrTemporary): // time does cure it
				t.Errorf("got %v", err)
			}
			k.sleep(500 * time.Millisecond)
		}
		if served == 0 {
			t.Error("no token in half a minute")
		}
		if n := len(k.oracle.Sends()); n > 30 {
			t.Errorf("%d token requests", n)
		}
	})
}
