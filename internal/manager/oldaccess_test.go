package manager_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// deaths are the ways in which an access token dies once it has a successor.
var deaths = []struct {
	name string
	way  oracle.OldAccess
}{
	{"by itself", oracle.OldAccess{}},
	{"at rotation", oracle.OldAccess{From: oracle.AtRotation}},
	{"ten minutes after rotation", oracle.OldAccess{From: oracle.AtRotation, After: 10 * time.Minute}},
	{"at its successor's first use", oracle.OldAccess{From: oracle.AtFirstUse}},
	{"ten seconds after its successor's first use", oracle.OldAccess{From: oracle.AtFirstUse, After: 10 * time.Second}},
}

// rotations are the oracle's policies, with windows as short as real ones are.
var rotations = []oracle.Options{
	{Rotation: oracle.Static},
	{Rotation: oracle.Lenient, Window: time.Hour},
	{Rotation: oracle.Grace, Window: time.Minute},
	{Rotation: oracle.Grace, Window: time.Minute, SameSuccessor: true},
	{Rotation: oracle.RetireOnUse},
	{Rotation: oracle.Strict},
	{Rotation: oracle.FamilyKill},
}

// everyDeath runs a test under every way to die and every rotation policy.
func everyDeath(t *testing.T, test func(t *testing.T, o oracle.Options)) {
	for _, d := range deaths {
		for _, o := range rotations {
			o.OldAccess = d.way
			name := o.Rotation
			if o.SameSuccessor {
				name += " with the same pair"
			}
			t.Run(d.name+", "+name, func(t *testing.T) { test(t, o) })
		}
	}
}

// awaited reports whether nobody on our side can know what became of the last
// refresh: it is under way, or its answer was lost, and nothing came after it.
func (k *kit) awaited() bool {
	sends := k.oracle.Sends()
	if len(sends) == 0 {
		return false
	}
	last := sends[len(sends)-1]
	return !time.Now().After(last.End) || last.End.IsZero() || strings.HasSuffix(last.Outcome, "answer lost")
}

func TestWhatIsHandedOutWorksHoweverTheOldTokenDies(t *testing.T) {
	const look = 500 * time.Millisecond
	everyDeath(t, func(t *testing.T, o oracle.Options) {
		o.AccessLife = time.Minute
		bubble(t, kitOptions{oracle: o}, func(t *testing.T, k *kit) {
			resendable := o.Rotation != oracle.Strict && o.Rotation != oracle.FamilyKill
			n := 0
			k.oracle.SetFault(func(oracle.Send) oracle.Fault {
				n++
				return oracle.Fault{Before: 300 * time.Millisecond, After: 300 * time.Millisecond, LoseAnswer: resendable && n%3 == 0}
			})
			ref := k.adoptAt(grant.Ref{Key: "cafe", App: "app"}, o.AccessLife)
			served, waited := 0, 0
			for range 4 * int(o.AccessLife/look) {
				k.sleep(look)
				h := k.token(ref)
				served++
				switch {
				case k.oracle.AccessValid(h.Token.AccessToken):
				case k.awaited():
					waited++
				default:
					t.Fatalf("a token was handed out that the API refuses, %v after the last refresh ended", time.Since(k.last().End))
				}
			}
			r := k.oracle.Report()
			if r.Rotations < 4 || r.Overlaps != 0 || len(r.Dead) != 0 {
				t.Errorf("%+v", r)
			}
			// Of a lifetime of a minute, at most the moment between the provider's
			// rotation and its answer, and the second until a resend.
			if waited > served/25 {
				t.Errorf("%d of %d tokens were handed out dead while an answer was awaited", waited, served)
			}
			if o.OldAccess.From != oracle.AtRotation && waited > 0 {
				t.Errorf("%d tokens were handed out dead that nothing had ended", waited)
			}
		})
	})
}

// last is the oracle's last send.
func (k *kit) last() oracle.Send {
	sends := k.oracle.Sends()
	return sends[len(sends)-1]
}

func TestWhoHoldsATokenThatARotationEndedGetsTheLivingOneAndNoRefresh(t *testing.T) {
	everyDeath(t, func(t *testing.T, o oracle.Options) {
		bubble(t, kitOptions{oracle: o}, func(t *testing.T, k *kit) {
			ref := k.adopt("cafe")
			held := k.token(ref).Token
			k.sleep(time.Hour)
			if n := len(k.oracle.Sends()); n != 1 {
				t.Fatalf("%d refreshes in an hour", n)
			}
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					h, err := k.RejectHandout(t.Context(), ref, held.Fingerprint)
					switch {
					case err != nil:
						t.Error(err)
					case !k.oracle.AccessValid(h.Token.AccessToken):
						t.Error("the token that came for the rejected one does not work")
					case len(h.Warnings) != 0:
						t.Errorf("warnings %q", h.Warnings)
					}
				})
			}
			all.Wait()
			if n := len(k.oracle.Sends()); n != 1 {
				t.Errorf("rejecting a token that was replaced caused %d refreshes", n-1)
			}
		})
	})
}

func TestWhoRejectsATokenThatTheRefreshUnderWayEndedWaitsForIt(t *testing.T) {
	for _, o := range rotations {
		t.Run(fmt.Sprintf("%s, same pair %v", o.Rotation, o.SameSuccessor), func(t *testing.T) {
			o.OldAccess.From = oracle.AtRotation
			bubble(t, kitOptions{oracle: o}, func(t *testing.T, k *kit) {
				k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{After: 5 * time.Second} })
				ref := k.adopt("cafe")
				for len(k.oracle.Sends()) == 0 {
					k.sleep(500 * time.Millisecond)
				}
				h := k.token(ref)
				if k.oracle.AccessValid(h.Token.AccessToken) {
					t.Fatal("the old token still works: the test shows nothing")
				}
				h, err := k.RejectHandout(t.Context(), ref, h.Token.Fingerprint)
				if err != nil || !k.oracle.AccessValid(h.Token.AccessToken) {
					t.Errorf("got %+v, %v", h, err)
				}
				if n := len(k.oracle.Sends()); n != 1 {
					t.Errorf("%d sends", n)
				}
			})
		})
	}
}

// TestRejectingADeadTokenWhoseSuccessorWasLostBurnsNothing: that the old token
// is dead is no reason to hurry the probe.
func TestRejectingADeadTokenWhoseSuccessorWasLostBurnsNothing(t *testing.T) {
	for _, o := range rotations {
		t.Run(fmt.Sprintf("%s, same pair %v", o.Rotation, o.SameSuccessor), func(t *testing.T) {
			o.OldAccess.From = oracle.AtRotation
			bubble(t, kitOptions{oracle: o}, func(t *testing.T, k *kit) {
				n := 0
				k.oracle.SetFault(func(oracle.Send) oracle.Fault { n++; return oracle.Fault{LoseAnswer: n == 1} })
				ref := k.adopt("cafe")
				held := k.token(ref).Token
				if r, err := k.Refresh(t.Context(), ref); err != nil || r[0].Refreshed {
					t.Fatalf("%+v, %v", r, err)
				}
				warned := 0
				for range 30 { // fifteen seconds
					h, err := k.RejectHandout(t.Context(), ref, held.Fingerprint)
					if err != nil {
						t.Fatal(err)
					}
					if h.Token.Fingerprint == held.Fingerprint && len(h.Warnings) > 0 {
						warned++
					}
					k.sleep(500 * time.Millisecond)
				}
				sends, works := len(k.oracle.Sends()), k.oracle.AccessValid(k.token(ref).Token.AccessToken)
				if o.Rotation == oracle.Strict || o.Rotation == oracle.FamilyKill {
					if sends != 1 || works || warned != 30 {
						t.Errorf("%d sends, a working token %v, %d warnings of 30", sends, works, warned)
					}
					return
				}
				if sends != 2 || !works || warned == 0 || warned > 4 {
					t.Errorf("%d sends, a working token %v, %d warnings of 30", sends, works, warned)
				}
			})
		})
	}
}

func TestNoDeadTokenIsServedWhileTheStoreCannotTakeItsSuccessor(t *testing.T) {
	for _, o := range rotations {
		t.Run(fmt.Sprintf("%s, same pair %v", o.Rotation, o.SameSuccessor), func(t *testing.T) {
			o.OldAccess.From = oracle.AtRotation
			var broken atomic.Bool
			bubble(t, kitOptions{oracle: o, wrap: func(s store.Store) store.Store { return &failing{Store: s, commit: &broken} }}, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				k.token(ref)
				broken.Store(true)
				back := time.Now().Add(15 * time.Second)
				if r, err := k.Refresh(t.Context(), ref); err != nil || !r[0].Refreshed {
					t.Fatalf("%+v, %v", r, err)
				}
				for time.Now().Before(back.Add(10 * time.Second)) {
					if !time.Now().Before(back) {
						broken.Store(false)
					}
					if h := k.token(ref); !k.oracle.AccessValid(h.Token.AccessToken) {
						t.Fatalf("a dead token was served, %v before the store came back", time.Until(back))
					}
					k.sleep(time.Second)
				}
				if h := k.token(ref); len(h.Warnings) != 0 {
					t.Errorf("warnings %q after the store had come back", h.Warnings)
				}
				if r := k.oracle.Report(); r.Sends != 1 {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// TestABrandNewTokenThatTheAPIDoesNotKnowYetBurnsNoRefreshTokens has an API that
// lags behind its token endpoint, and callers who report every 401.
func TestABrandNewTokenThatTheAPIDoesNotKnowYetBurnsNoRefreshTokens(t *testing.T) {
	const look = 500 * time.Millisecond
	for _, lag := range []time.Duration{time.Second, 5 * time.Second} {
		for _, d := range deaths {
			t.Run(fmt.Sprintf("%v late, the old one dies %s", lag, d.name), func(t *testing.T) {
				o := oracle.Options{Rotation: oracle.FamilyKill, SlowToAccept: lag, OldAccess: d.way}
				bubble(t, kitOptions{oracle: o}, func(t *testing.T, k *kit) {
					ref := k.adopt("cafe")
					refused := 0
					for range 2 * int(time.Hour/look) {
						k.sleep(look)
						h := k.token(ref)
						if k.oracle.AccessValid(h.Token.AccessToken) {
							continue
						}
						refused++
						again, err := k.RejectHandout(t.Context(), ref, h.Token.Fingerprint)
						if err != nil {
							t.Fatal(err)
						}
						if again.Token.Fingerprint != h.Token.Fingerprint {
							t.Fatal("a brand new token was replaced")
						}
					}
					if r := k.oracle.Report(); r.Sends != 2 || r.Rotations != 2 {
						t.Errorf("two hours brought %+v, want one refresh an hour", r)
					}
					if most := 2 * int(lag/look); refused == 0 || refused > most {
						t.Errorf("%d calls were refused, want some and at most %d: those while the API lags", refused, most)
					}
				})
			})
		}
	}
}

// TestATokenThatDiesYoungIsReplacedAllTheSame: patience with a new token must
// not become blindness.
func TestATokenThatDiesYoungIsReplacedAllTheSame(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict, SlowToAccept: time.Minute}}, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		for len(k.oracle.Sends()) == 0 {
			k.sleep(time.Second)
		}
		young := k.token(ref).Token
		k.sleep(grant.LeastGap)
		h, err := k.RejectHandout(t.Context(), ref, young.Fingerprint)
		if err != nil || h.Token.Fingerprint == young.Fingerprint || len(h.Warnings) != 0 {
			t.Errorf("got %+v, %v", h, err)
		}
	})
}

func TestAGraceThatAllowsFewRepetitionsIsSurvivedAsFarAsItGoes(t *testing.T) {
	for _, same := range []bool{false, true} {
		for _, tt := range []struct {
			allowed, lost int
			alive         bool
		}{{1, 1, true}, {2, 2, true}, {3, 3, true}, {1, 2, false}, {2, 3, false}} {
			t.Run(fmt.Sprintf("%d allowed, %d answers lost, same pair %v", tt.allowed, tt.lost, same), func(t *testing.T) {
				o := oracle.Options{Rotation: oracle.Grace, Window: time.Minute, MaxReuse: tt.allowed, SameSuccessor: same}
				bubble(t, kitOptions{oracle: o}, func(t *testing.T, k *kit) {
					n := 0
					k.oracle.SetFault(func(oracle.Send) oracle.Fault {
						n++
						switch {
						case n%2 == 1: // trouble of other kinds is no repetition
							return oracle.Fault{Status: http.StatusInternalServerError}
						case n/2 <= tt.lost:
							return oracle.Fault{LoseAnswer: true}
						}
						return oracle.Fault{}
					})
					ref := k.adopt("cafe")
					k.sleep(time.Hour + 5*time.Minute)
					st := k.status(ref)
					if alive := st.State == grant.Connected; alive != tt.alive {
						t.Errorf("it is %s/%s; sends %+v", st.State, st.Reason, k.oracle.Sends())
					}
					if _, cut := k.oracle.Cut("cafe"); !tt.alive && !cut && !same {
						t.Error("it was given up and no answer was cut off")
					}
				})
			})
		}
	}
}

// TestAFamilyThatSomebodyElseKilledIsGivenUp uses a spent refresh token elsewhere,
// which takes the access token in hand along.
func TestAFamilyThatSomebodyElseKilledIsGivenUp(t *testing.T) {
	var spent string
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, front: func(o http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if token := r.PostFormValue("refresh_token"); spent == "" {
				spent = token
			}
			o.ServeHTTP(w, r)
		})
	}}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		if r, err := k.Refresh(t.Context(), ref); err != nil || !r[0].Refreshed {
			t.Fatalf("%+v, %v", r, err)
		}
		k.sleep(time.Minute)
		held := k.token(ref).Token
		k.present(spent)
		if k.oracle.AccessValid(held.AccessToken) {
			t.Fatal("reuse left the access token alive: the test shows nothing")
		}
		for range 4 {
			_, _ = k.RejectHandout(t.Context(), ref, held.Fingerprint)
			k.sleep(10 * time.Second)
		}
		if st := k.status(ref); st.State != grant.NeedsReauthorization || st.Reason != grant.RefreshRejected {
			t.Errorf("it is %s/%s", st.State, st.Reason)
		}
		if h, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{}); !errors.Is(err, evergrant.ErrReauthorize) {
			t.Errorf("got %+v, %v", h, err)
		}
		if r := k.oracle.Report(); r.Sends != 4 || r.Rotations != 1 {
			t.Errorf("want the refresh, the reuse elsewhere, and two refusals, got %+v", r)
		}
	})
}

// present presents a refresh token as another client would.
func (k *kit) present(refresh string) {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(url.Values{"refresh_token": {refresh}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	k.oracle.ServeHTTP(httptest.NewRecorder(), r)
}
