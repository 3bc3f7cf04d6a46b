package manager_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

// A provider that allows five refreshes of a grant in a minute gets no sixth,
// whatever it answers and however impatient those are who wait for a token,
// reject theirs or demand a refresh.
func TestImpatientCallersCannotExceedTheRefreshesAMinute(t *testing.T) {
	const perMinute, gap = 5, 12 * time.Second
	for name, fault := range map[string]func(n int) oracle.Fault{
		"answers well":  func(int) oracle.Fault { return oracle.Fault{} },
		"refuses":       func(int) oracle.Fault { return oracle.Fault{Status: 400, Body: `{"error":"invalid_grant"}`} },
		"throttles":     func(int) oracle.Fault { return oracle.Fault{Status: 429, Body: `{}`} },
		"refuses us":    func(int) oracle.Fault { return oracle.Fault{Status: 401, Body: `{"error":"invalid_client"}`} },
		"is down":       func(int) oracle.Fault { return oracle.Fault{Status: 503} },
		"loses answers": func(int) oracle.Fault { return oracle.Fault{LoseAnswer: true} },
		"is undecided": func(n int) oracle.Fault {
			return []oracle.Fault{{Status: 429, Body: `{}`}, {Status: 400, Body: `{"error":"invalid_grant"}`}, {}, {Status: 500}}[n%4]
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := kitOptions{oracle: oracle.Options{Rotation: oracle.RetireOnUse, AccessLife: 20 * time.Second},
				policy: func(p *grant.Policy) { p.RefreshPerMinute = perMinute }}
			bubble(t, o, func(t *testing.T, k *kit) {
				var at []time.Time
				k.oracle.SetFault(func(oracle.Send) oracle.Fault {
					at = append(at, time.Now())
					return fault(len(at))
				})
				ref := k.adoptAt(grant.Ref{Key: "shop", App: "app"}, 20*time.Second)
				for range 600 {
					k.sleep(500 * time.Millisecond)
					h, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{})
					if err == nil {
						_, _ = k.RejectHandout(t.Context(), ref, h.Token.Fingerprint)
					}
					_, _ = k.Refresh(t.Context(), ref)
				}
				if len(at) < 2 {
					t.Errorf("%d requests", len(at))
				}
				for i := 1; i < len(at); i++ {
					if d := at[i].Sub(at[i-1]); d < gap-time.Microsecond { // the store counts in them
						t.Fatalf("request %d came %s after the one before", i+1, d)
					}
				}
			})
		})
	}
}

// After 21 refusals the others are not believed, and their grants are probed.
func TestRefusalsThatAreNotBelievedKeepToTheRefreshesAMinute(t *testing.T) {
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.RetireOnUse, AccessLife: time.Hour},
		policy: func(p *grant.Policy) { p.RefreshPerMinute = 5 }}
	bubble(t, o, func(t *testing.T, k *kit) {
		last := map[string]time.Time{}
		k.oracle.SetFault(func(s oracle.Send) oracle.Fault {
			if before, ok := last[s.Grant]; ok && time.Since(before) < 12*time.Second-time.Microsecond {
				t.Errorf("%s is sent again after %s", s.Grant, time.Since(before))
			}
			last[s.Grant] = time.Now()
			return oracle.Fault{Status: 400, Body: `{"error":"invalid_grant"}`}
		})
		for i := range 40 {
			k.adoptAt(grant.Ref{Key: fmt.Sprint("shop_", i), App: "app"}, time.Second)
		}
		for range 1200 {
			k.sleep(500 * time.Millisecond)
			_, _ = k.Handout(t.Context(), grant.Ref{Key: "shop_0", App: "app"}, evergrant.TokenOptions{})
		}
		if len(last) <= 20 || k.Apps()[0].Cause != grant.PausedByRefusals {
			t.Errorf("%d grants were sent, and the app is %s", len(last), k.Apps()[0].Reason)
		}
	})
}

// doubtful is a store that pauses and resumes apps and then says that it could not.
type doubtful struct {
	store.Store
	on bool
}

func (s *doubtful) PauseApp(ctx context.Context, app string, p store.Pause, events ...grant.Event) error {
	err := s.Store.PauseApp(ctx, app, p, events...)
	if err == nil && s.on {
		err = store.ErrUnavailable
	}
	return err
}

func (s *doubtful) ResumeApp(ctx context.Context, app string, events ...grant.Event) error {
	err := s.Store.ResumeApp(ctx, app, events...)
	if err == nil && s.on {
		err = store.ErrUnavailable
	}
	return err
}

func TestAPauseOfUnknownOutcomeIsNeitherLostNorEndless(t *testing.T) {
	var s *doubtful
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}, wrap: func(st store.Store) store.Store {
		s = &doubtful{Store: st}
		return s
	}}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		s.on = true
		if _, err := k.PauseApp(t.Context(), "app"); err == nil {
			t.Fatal("a pause that the store would not confirm succeeded")
		}
		s.on = false
		if _, err := k.PauseApp(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		k.paused(grant.PausedByOperator)
		k.sleep(3 * time.Hour)
		if n := len(k.oracle.Sends()); n != 0 {
			t.Fatalf("%d sends", n)
		}
		s.on = true
		if _, err := k.ResumeApp(t.Context(), "app"); err == nil {
			t.Fatal("an end that the store would not confirm succeeded")
		}
		s.on = false
		if _, err := k.ResumeApp(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		k.paused("")
		k.sleep(time.Minute)
		if h := k.token(ref); h.State != grant.Connected {
			t.Errorf("once resumed it is %s", h.State)
		}
		if p, r := k.count(grant.EventAppPaused), k.count(grant.EventAppResumed); p != 1 || r != 1 {
			t.Errorf("%d and %d events", p, r)
		}
		k.restart(o, func(string) {})
		k.paused("")
	})
}

// Whoever pauses and resumes at once gets the one or the other, and what the
// process does is what the store says.
func TestPausingAndResumingAtOnceLeavesProcessAndStoreAgreed(t *testing.T) {
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}}
	bubble(t, o, func(t *testing.T, k *kit) {
		for range 50 {
			for range 4 {
				go func() { _, _ = k.PauseApp(context.Background(), "app") }()
				go func() { _, _ = k.ResumeApp(context.Background(), "app") }()
			}
			synctest.Wait()
			stored, err := k.store.PausedApps(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if cause := k.Apps()[0].Cause; cause != stored["app"].Cause {
				t.Fatalf("the process says %q, the store %q", cause, stored["app"].Cause)
			}
		}
	})
}

func TestAnAppThatWasRefusedAndThenPausedIsToldOfWhenItIsAcceptedAgain(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}}, func(t *testing.T, k *kit) {
		k.oracle.SetFault(func(oracle.Send) oracle.Fault {
			return oracle.Fault{Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`}
		})
		ref := k.adopt("cafe")
		k.sleep(time.Hour)
		if got := k.Apps()[0].Reason; got != grant.AppCredentialsRejected {
			t.Fatalf("the app is %s", got)
		}
		for _, change := range []func() error{
			func() error { _, err := k.PauseApp(t.Context(), "app"); return err },
			func() error { _, err := k.ResumeApp(t.Context(), "app"); return err },
		} {
			if err := change(); err != nil {
				t.Fatal(err)
			}
		}
		k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{} })
		k.sleep(time.Minute)
		if h := k.token(ref); h.State != grant.Connected {
			t.Errorf("it is %s", h.State)
		}
		if r, a := k.count(grant.EventAppRejected), k.count(grant.EventAppAccepted); r != a {
			t.Errorf("the log says %d times that it is refused and %d times that it is accepted", r, a)
		}
	})
}

// recorded is what a provider's endpoints were asked and answered.
type recorded struct {
	mu      sync.Mutex
	answers []string // bodies of the token endpoint, of answers that were dropped
	revoked []string // tokens
	drop    bool     // answers do not arrive
}

// front stands before an oracle, records, and has a revocation endpoint.
func (r *recorded) front(o http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/revoke" {
			r.mu.Lock()
			r.revoked = append(r.revoked, req.PostFormValue("token"))
			r.mu.Unlock()
			return
		}
		r.mu.Lock()
		drop := r.drop
		r.mu.Unlock()
		if !drop {
			o.ServeHTTP(w, req)
			return
		}
		buffer := httptest.NewRecorder()
		o.ServeHTTP(buffer, req)
		r.mu.Lock()
		r.answers = append(r.answers, buffer.Body.String())
		r.mu.Unlock()
		panic(http.ErrAbortHandler)
	})
}

func (r *recorded) set(drop bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop = drop
}

func TestTokensThatComeAfterADisconnectAreRevoked(t *testing.T) {
	var seen recorded
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, front: seen.front, app: func(a *provider.AppOptions) {
		a.Endpoints.Revoke = strings.TrimSuffix(a.Endpoints.Token, "/token") + "/revoke"
	}}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.inFlight(func() {
			if _, err := k.Disconnect(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
		})
		seen.mu.Lock()
		defer seen.mu.Unlock()
		if len(seen.revoked) != 2 || seen.revoked[0] == seen.revoked[1] {
			t.Errorf("%d tokens were revoked, want the one there was and the one that came late", len(seen.revoked))
		}
	})
}

// The answer to a refresh is in the journal under an attempt that the store has
// replaced by another meanwhile. It is parked, and when its predecessor is refused
// for good, it is what saves the grant.
func TestAParkedAnswerSavesAGrantThatWouldBeDeclaredDead(t *testing.T) {
	var seen recorded
	o := kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}, front: seen.front}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		seen.set(true)
		k.sleep(time.Hour - 15*time.Second)
		if len(seen.answers) != 1 {
			t.Fatalf("%d answers were lost", len(seen.answers))
		}
		seen.set(false)
		c, err := k.Connection(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		grants, err := k.store.Grants(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		g := grants[0]
		k.restart(o, func(db string) {
			writeSpool(t, k, filepath.Join(filepath.Dir(db), "spool"), spool.Entry{
				Kind: spool.Refresh, AttemptID: grant.NewID(grant.AttemptID, time.Now()), GrantID: g.ID, App: "app", Of: g.Version,
				SentAt: time.Now(), Status: 200, Type: "application/json", Body: []byte(seen.answers[0]),
			})
		})
		k.sleep(time.Minute)
		if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Errorf("it is %s", h.State)
		}
		r := k.oracle.Report()
		if r.Sends != 3 || r.Rotations != 2 {
			t.Errorf("want the refresh whose answer was lost, the probe that was refused and one with the parked token: %+v", r)
		}
	})
}

// While a refresh is not settled the clock is set back by a day. When it is due
// to be settled, by that clock, is a day away.
func TestAClockThatIsSetBackDoesNotKeepAnAttemptOpen(t *testing.T) {
	for _, rotation := range []string{oracle.Grace, oracle.Strict, oracle.FamilyKill} {
		for name, reopen := range map[string]bool{"running": false, "and a restart": true} {
			t.Run(rotation+", "+name, func(t *testing.T) {
				var clock wallClock
				o := kitOptions{oracle: oracle.Options{Rotation: rotation, Window: 72 * time.Hour}, now: clock.now}
				bubble(t, o, func(t *testing.T, k *kit) {
					ref := k.adopt("cafe")
					k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{LoseRequest: true} })
					for len(k.oracle.Sends()) == 0 {
						k.sleep(100 * time.Millisecond)
					}
					clock.step(-24 * time.Hour)
					k.oracle.SetFault(nil)
					if reopen {
						k.restart(o, func(string) {})
					}
					k.inWindow(ref, 3*time.Hour, 10*time.Second)
					if h := k.token(ref); h.State != grant.Connected {
						t.Errorf("it is %s", h.State)
					}
					if r := k.oracle.Report(); r.Overlaps != 0 || r.TwoLate != 0 {
						t.Errorf("%+v", r)
					}
				})
			})
		}
	}
}
