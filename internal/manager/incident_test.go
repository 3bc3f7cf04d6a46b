package manager_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// tardy is a store that takes its time to write down events of one type, and that
// has whoever shares it follow the log before it says that they are written, as
// SQLite does.
type tardy struct {
	store.Store
	slow   grant.EventType
	by     time.Duration
	follow func([]grant.Event)
}

func (s *tardy) AppendEvents(ctx context.Context, events ...grant.Event) error {
	if events[0].Type == s.slow {
		t := time.NewTimer(s.by)
		defer t.Stop()
		<-t.C
	}
	err := s.Store.AppendEvents(ctx, events...)
	s.follow(events)
	return err
}

// rotating is a bubble with a provider whose answers a test decides, and a store
// that is slow to write down events of one type.
func rotating(t *testing.T, slow grant.EventType, by time.Duration, test func(t *testing.T, k *kit)) {
	s := &tardy{slow: slow, by: by}
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.Grace, Window: time.Hour, AccessLife: 10 * time.Hour},
		wrap:   func(inner store.Store) store.Store { s.Store = inner; return s },
		policy: func(p *grant.Policy) { p.RatePerSecond = 0 },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		s.follow = k.Follow
		test(t, k)
	})
}

// refusedClient is how a provider answers who has a client secret that it does
// not know yet, or no more.
func refusedClient(after time.Duration) oracle.Fault {
	return oracle.Fault{Before: after, Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`}
}

// refreshSoon refreshes in the background, and returns how long it took when it
// is over.
func (k *kit) refreshSoon(ref grant.Ref) (took func() time.Duration) {
	from, done := time.Now(), make(chan time.Duration, 1)
	go func() {
		_, _ = k.Refresh(context.Background(), ref)
		done <- time.Since(from)
	}()
	return func() time.Duration { return <-done }
}

// told is what the log says of the app, in order.
func (k *kit) told() []grant.EventType {
	k.t.Helper()
	events, _, err := k.Events(k.t.Context(), store.EventFilter{Types: []string{"app.*"}}, store.Page{Limit: 1000}, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	types := make([]grant.EventType, len(events))
	for i, e := range events {
		types[i] = e.Type
	}
	return types
}

// While a client secret is rotated, a provider may refuse the app in one answer
// and grant the next. What the log says last has to be what the gate does.
func TestAnIncidentThatEndsWhileItIsToldOfIsToldOfInOrder(t *testing.T) {
	rotating(t, grant.EventAppRejected, 5*time.Second, func(t *testing.T, k *kit) {
		refused, granted := k.adopt("refused"), k.adopt("granted")
		first := true
		k.oracle.SetFault(func(s oracle.Send) oracle.Fault {
			if s.Grant == refused.Key && first {
				first = false
				return refusedClient(time.Second)
			}
			return oracle.Fault{After: 2 * time.Second}
		})
		a, b := k.refreshSoon(refused), k.refreshSoon(granted)
		a()
		b()
		synctest.Wait()
		if got, want := k.told(), []grant.EventType{grant.EventAppRejected, grant.EventAppAccepted}; !slices.Equal(got, want) {
			t.Errorf("the log says %q, want %q", got, want)
		}
		if got := app(k); got.Reason != grant.OK {
			t.Errorf("the app is %s", got.Reason)
		}
		if h := k.token(granted); h.State != grant.Connected || len(h.Warnings) > 0 {
			t.Errorf("it is %s, with warnings %q", h.State, h.Warnings)
		}
	})
}

func TestAnswersThatAreNoNewsDoNotWaitForWhatIsBeingTold(t *testing.T) {
	for name, slow := range map[string]grant.EventType{
		"a refusal while the first one is told of":         grant.EventAppRejected,
		"a grant while the end of the refusals is told of": grant.EventAppAccepted,
	} {
		t.Run(name, func(t *testing.T) {
			rotating(t, slow, time.Minute, func(t *testing.T, k *kit) {
				first, second, news := k.adopt("first"), k.adopt("second"), k.adopt("news")
				again := false
				k.oracle.SetFault(func(s oracle.Send) oracle.Fault {
					switch {
					case s.Grant == first.Key && !again:
						again = true
						return refusedClient(time.Second)
					case s.Grant == second.Key && slow == grant.EventAppRejected:
						return refusedClient(3 * time.Second)
					case s.Grant == second.Key:
						return oracle.Fault{After: 3 * time.Second}
					}
					return oracle.Fault{After: 2 * time.Second}
				})
				waits := k.refreshSoon(first)
				none := k.refreshSoon(second)
				if slow == grant.EventAppAccepted {
					waits = k.refreshSoon(news)
				}
				if took := none(); took != 3*time.Second {
					t.Errorf("it took %v, and its answer 3s", took)
				}
				if took := waits(); took < time.Minute {
					t.Errorf("nothing was being told: that took %v", took)
				}
			})
		})
	}
}

// A crowd's answers come at the same moment, some of them refusals of the app.
func TestRefusalsAndRecoveriesOfAnAppAlternate(t *testing.T) {
	const fleet, rounds = 30, 10
	rotating(t, "", 0, func(t *testing.T, k *kit) {
		var refs []grant.Ref
		for i := range fleet {
			refs = append(refs, k.adopt(fmt.Sprint("biz_", i)))
		}
		for range rounds {
			n := 0 // the oracle asks one by one
			k.oracle.SetFault(func(oracle.Send) oracle.Fault {
				if n++; n%2 == 0 {
					return refusedClient(time.Second)
				}
				return oracle.Fault{Before: time.Second}
			})
			var all sync.WaitGroup
			for _, ref := range refs {
				took := k.refreshSoon(ref)
				all.Go(func() { took() })
			}
			all.Wait()
			k.oracle.SetFault(nil)
			k.sleep(time.Minute)
		}
		want := grant.EventAppRejected
		for i, got := range k.told() {
			if got != want {
				t.Fatalf("event %d of the app is %s, want %s", i, got, want)
			}
			if want = grant.EventAppAccepted; got == want {
				want = grant.EventAppRejected
			}
		}
		if got := app(k); got.Reason != grant.OK || want != grant.EventAppRejected {
			t.Errorf("the app is %s, and the log expects %s", got.Reason, want)
		}
	})
}
