package manager_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
)

func TestTokenIsRenewedInsideTheWindowAndStaysGood(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
		start := time.Now()
		ref := k.adopt("cafe")
		first := k.token(ref).Token
		for range 5 * 60 { // five lifetimes, a look a minute
			k.sleep(time.Minute)
			if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
				t.Fatalf("a token was handed out that the API refuses")
			}
		}
		if k.token(ref).Token.AccessToken == first.AccessToken {
			t.Fatal("the token was never renewed")
		}
		r := k.oracle.Report()
		if r.Sends != 5 || r.Rotations != 5 || r.Overlaps != 0 {
			t.Errorf("want 5 sends, one a lifetime, got %+v", r)
		}
		from := start
		for _, s := range k.oracle.Sends() {
			if left := from.Add(time.Hour).Sub(s.Start); left < 15*time.Second || left > 32*time.Second {
				t.Errorf("renewed %s before expiry, want 15 s to 32 s", left)
			}
			from = s.End
		}
	})
}

func TestTwoHundredCallersOnAnExpiredGrantCauseOneRequest(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}}, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		// The provider is down through the whole window, so that the token ends.
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{LoseRequest: true} })
		k.sleep(time.Hour + time.Minute)
		before := len(k.oracle.Sends())
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Before: time.Second} })
		k.sleep(0)

		var (
			wg     sync.WaitGroup
			mu     sync.Mutex
			tokens = map[string]int{}
		)
		for range 200 {
			wg.Go(func() {
				for {
					h, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{})
					if errors.Is(err, evergrant.ErrTemporary) {
						var e *evergrant.Error
						errors.As(err, &e)
						time.Sleep(e.RetryAfter)
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					tokens[h.Token.AccessToken]++
					mu.Unlock()
					return
				}
			})
		}
		wg.Wait()
		if len(tokens) != 1 {
			t.Errorf("callers got %d different tokens", len(tokens))
		}
		if n := len(k.oracle.Sends()) - before; n != 1 {
			t.Errorf("200 callers caused %d token requests", n)
		}
	})
}

func TestHundredRejectsOfOneFingerprintRefreshOnce(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		old := k.token(ref).Token
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Before: time.Second} })
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				h, err := k.RejectHandout(t.Context(), ref, old.Fingerprint)
				if err != nil {
					t.Error(err)
				} else if h.Token.AccessToken == old.AccessToken {
					t.Error("a rejected token was handed out again")
				}
			})
		}
		wg.Wait()
		if n := len(k.oracle.Sends()); n != 1 {
			t.Errorf("100 rejections caused %d token requests", n)
		}
		// A second rejection, of the new token, within the interval is answered with
		// that token and a warning.
		h, err := k.RejectHandout(t.Context(), ref, k.token(ref).Token.Fingerprint)
		if err != nil || len(h.Warnings) != 1 || h.Warnings[0] != "rejected_recently" {
			t.Errorf("rejection within the interval: %v, %v", h, err)
		}
	})
}

func TestLostAnswerIsResentOrProbedAsThePolicySays(t *testing.T) {
	type want struct {
		state  grant.State
		reason grant.Reason
	}
	alive := want{grant.Connected, grant.OK}
	lost := want{grant.NeedsReauthorization, grant.RotationLost}
	for rotation, want := range map[string]want{
		oracle.Static: alive, oracle.Lenient: alive, oracle.Grace: alive, oracle.RetireOnUse: alive,
		oracle.Strict: lost, oracle.FamilyKill: lost,
	} {
		t.Run(rotation, func(t *testing.T) {
			bubble(t, kitOptions{oracle: oracle.Options{Rotation: rotation, Window: 30 * time.Second}}, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				first := true
				k.oracle.SetFault(func(oracle.Send) oracle.Fault {
					defer func() { first = false }()
					return oracle.Fault{LoseAnswer: first}
				})
				k.sleep(time.Hour + 2*time.Minute)
				if got := k.status(ref); got.State != want.state || got.Reason != want.reason {
					t.Errorf("got %s/%s, want %s/%s; sends %+v", got.State, got.Reason, want.state, want.reason, k.oracle.Sends())
				}
				r := k.oracle.Report()
				if r.Sends != 2 || r.Overlaps != 0 || r.TwoLate != 0 {
					t.Errorf("want the send and one more, got %+v", r)
				}
			})
		})
	}
}

func TestLostRequestCostsNothingUnderAnyPolicy(t *testing.T) {
	for _, rotation := range []string{oracle.Static, oracle.Lenient, oracle.Grace, oracle.RetireOnUse, oracle.Strict, oracle.FamilyKill} {
		t.Run(rotation, func(t *testing.T) {
			bubble(t, kitOptions{oracle: oracle.Options{Rotation: rotation, Window: 30 * time.Second}}, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				n := 0
				k.oracle.SetFault(func(oracle.Send) oracle.Fault { n++; return oracle.Fault{LoseRequest: n <= 2} })
				k.sleep(time.Hour + 3*time.Minute)
				if got := k.status(ref); got.State != grant.Connected {
					t.Errorf("got %s/%s; sends %+v", got.State, got.Reason, k.oracle.Sends())
				}
			})
		})
	}
}

func TestRefusalNeedsProofBeforeAGrantIsDead(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}}, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.oracle.Kill("cafe")
		for len(k.oracle.Sends()) == 0 {
			k.sleep(time.Second)
		}
		if got := k.status(ref); got.State != grant.Connected {
			t.Fatalf("one refusal made it %s", got.State)
		}
		k.sleep(time.Minute)
		if got := k.status(ref); got.Reason != grant.RefreshRejected {
			t.Fatalf("two refusals left it %s/%s", got.State, got.Reason)
		}
		sends := k.oracle.Sends()
		if len(sends) != 2 || sends[1].Start.Sub(sends[0].Start) < 10*time.Second {
			t.Errorf("want two sends at least 10 s apart, got %+v", sends)
		}
		_, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{})
		var e *evergrant.Error
		if !errors.As(err, &e) || e.Code != "needs_reauthorization" || e.ActBy != evergrant.ActMerchant {
			t.Errorf("got %v", err)
		}
		k.sleep(time.Hour)
		if len(k.oracle.Sends()) != 2 {
			t.Error("a dead grant was sent again")
		}
	})
}

func TestRefusedAppIsOneIncidentAndHealsByItself(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill, ClientID: "id", ClientSecret: "s3cret"}}, func(t *testing.T, k *kit) {
		var refs []grant.Ref
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			refs = append(refs, k.adopt(key))
		}
		k.oracle.SetFault(func(oracle.Send) oracle.Fault {
			return oracle.Fault{Status: 401, Body: `{"error":"invalid_client"}`}
		})
		k.sleep(time.Hour + time.Minute)
		for _, ref := range refs {
			if got := k.status(ref); got.Reason != grant.AppCredentialsRejected {
				t.Errorf("%s is %s/%s", ref, got.State, got.Reason)
			}
		}
		if n := k.count(grant.EventAppRejected); n != 1 {
			t.Errorf("%d events for one incident", n)
		}
		// A token that needs no refresh yet is served, and the caller warned.
		if h := k.token(k.adopt("late")); h.State != grant.Degraded || !slices.Equal(h.Warnings, []string{string(grant.AppCredentialsRejected)}) {
			t.Errorf("a good token of the refused app: %s, warnings %q", h.State, h.Warnings)
		}
		k.oracle.SetFault(nil)
		k.sleep(15 * time.Second)
		for _, ref := range refs {
			if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) || h.State != grant.Connected {
				t.Errorf("%s did not recover: %s", ref, h.State)
			}
		}
		if n := k.count(grant.EventAppAccepted); n != 1 {
			t.Errorf("%d events for one recovery", n)
		}
	})
}

func TestProviderTroubleEndsWithinFifteenSecondsUnderEveryPolicy(t *testing.T) {
	for _, rotation := range []string{oracle.Static, oracle.Grace, oracle.RetireOnUse, oracle.Strict, oracle.FamilyKill} {
		for name, fault := range map[string]oracle.Fault{
			"server error":   {Status: 500},
			"captive portal": {Status: 200, Body: "<html>welcome</html>"},
			"slow down":      {Status: 429},
		} {
			t.Run(rotation+", "+name, func(t *testing.T) {
				bubble(t, kitOptions{oracle: oracle.Options{Rotation: rotation, Window: time.Minute}}, func(t *testing.T, k *kit) {
					ref := k.adopt("cafe") // its access token lives for another hour
					k.oracle.SetFault(func(oracle.Send) oracle.Fault { return fault })
					if r, err := k.Refresh(t.Context(), ref); err != nil || r[0].Refreshed {
						t.Fatalf("%v, %v", r, err)
					}
					k.sleep(time.Minute)
					k.oracle.SetFault(nil)
					k.sleep(15 * time.Second)
					if got := k.status(ref); got.State != grant.Connected {
						t.Errorf("15 s after the provider came back it is %s/%s", got.State, got.Reason)
					}
				})
			})
		}
	}
}

func TestAFirstRefusalIsNamedToWhoeverAskedForTheRefresh(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Status: 400, Body: `{"error":"invalid_grant"}`} })
		r, err := k.Refresh(t.Context(), ref)
		if err != nil || r[0].Refreshed || r[0].Reason != grant.RefreshRejected || r[0].RetryAfter != 10*time.Second {
			t.Errorf("%+v, %v", r, err)
		}
		if got := k.status(ref); got.State != grant.Connected {
			t.Errorf("one refusal made it %s/%s", got.State, got.Reason)
		}
	})
}

func TestValidTokenIsServedWhileRefreshingFails(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Grace, Window: time.Minute}}, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Status: 503, Body: "<html>down</html>"} })
		k.sleep(time.Hour - 12*time.Second)
		h := k.token(ref)
		if len(h.Warnings) == 0 || h.Warnings[0] != string(grant.ProviderUnavailable) {
			t.Errorf("no warning on a token whose renewal fails: %q", h.Warnings)
		}
		k.sleep(time.Minute)
		_, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{})
		var e *evergrant.Error
		if !errors.As(err, &e) || !errors.Is(err, evergrant.ErrTemporary) || e.RetryAfter <= 0 || e.ActBy != evergrant.ActProvider {
			t.Errorf("an ended token: got %v", err)
		}
		k.oracle.SetFault(nil)
		k.sleep(15 * time.Second)
		if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Errorf("no recovery within 15 s")
		}
	})
}

func TestMinValidIsHonouredAndCannotBurnRefreshTokens(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.sleep(20 * time.Minute)
		h, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{MinValid: 50 * time.Minute})
		if err != nil || time.Until(h.Token.Expiry) < 50*time.Minute {
			t.Fatalf("got %v, %v", h, err)
		}
		k.sleep(15 * time.Second)
		for range 10 {
			if _, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{MinValid: time.Hour - 5*time.Second}); !errors.Is(err, evergrant.ErrTemporary) {
				t.Errorf("got %v", err)
			}
		}
		if _, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{MinValid: 2 * time.Hour}); !errors.Is(err, evergrant.ErrInvalid) {
			t.Errorf("got %v", err)
		}
		if n := len(k.oracle.Sends()); n != 1 {
			t.Errorf("%d token requests", n)
		}
		synctest.Wait()
	})
}

func TestTokensThatLiveForSecondsAreServedWithoutAsking(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict, AccessLife: 8 * time.Second}}, func(t *testing.T, k *kit) {
		access, refresh := k.oracle.Issue("cafe")
		ref := grant.Ref{Key: "cafe", App: "app"}
		_, _, err := k.Create(t.Context(), manager.NewConnection{Ref: ref, Tokens: &manager.Adoption{
			AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: 8 * time.Second,
		}})
		if err != nil {
			t.Fatal(err)
		}
		for range 60 {
			if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
				t.Fatal("a token was served that has ended")
			}
			k.sleep(time.Second)
		}
	})
}
