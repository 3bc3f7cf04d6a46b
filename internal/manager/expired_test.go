package manager_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

func TestTokensThatAreOverWhenTheyComeAreToldOfOnce(t *testing.T) {
	for name, test := range map[string]struct {
		expires any
		want    any // what is told of the life that was stated, nil for nothing
	}{
		"zero":          {0, 0.0},
		"negative":      {-3600, 0.0},
		"half a second": {0.5, 0.5},
		"one second":    {1, 1.0},
		"ten seconds":   {10, nil},
		"a word":        {"soon", nil},
		"none":          {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
				for n := range 3 {
					k.adoptAt(grant.Ref{Key: fmt.Sprint("cafe_", n), App: "app"}, time.Minute)
				}
				k.oracle.SetFault(func(oracle.Send) oracle.Fault {
					return oracle.Fault{Edit: func(m map[string]any) { m["expires_in"] = test.expires }}
				})
				k.sleep(10 * time.Minute)
				events := k.expired()
				if test.want == nil {
					if len(events) != 0 {
						t.Errorf("told %+v", events)
					}
					return
				}
				if len(events) != 1 {
					t.Fatalf("%d events tell of it: %+v", len(events), events)
				}
				e := events[0]
				if e.App != "app" || e.ActBy() != grant.Operator || e.Data["expires_in"] != test.want {
					t.Errorf("told %+v", e)
				}
			})
		})
	}
}

// TestWhatIsLeftOfATokenIsNoLifeOfATokenItself: a provider that answers a
// repetition with the same pair, or every refresh with the token there is, states
// what is left of it.
func TestWhatIsLeftOfATokenIsNoLifeOfATokenItself(t *testing.T) {
	t.Run("the same pair again", func(t *testing.T) {
		const life = 20 * time.Second
		o := oracle.Options{Rotation: oracle.Grace, Window: 30 * time.Minute, AccessLife: life, SameSuccessor: true}
		bubble(t, kitOptions{oracle: o}, func(t *testing.T, k *kit) {
			ref := k.adoptAt(grant.Ref{Key: "cafe", App: "app"}, life)
			k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{LoseAnswer: true} })
			if _, err := k.Refresh(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			k.sleep(life) // the pair whose answer was lost grows old
			k.oracle.SetFault(nil)
			k.sleep(time.Minute)
			if events := k.expired(); len(events) != 0 {
				t.Errorf("told %+v", events)
			}
		})
	})
	t.Run("the token there is", func(t *testing.T) {
		o := kitOptions{oracle: oracle.Options{Rotation: oracle.Static}}
		bubble(t, o, func(t *testing.T, k *kit) {
			ref := k.adoptAt(grant.Ref{Key: "cafe", App: "app"}, time.Minute)
			held := k.token(ref).Token.AccessToken
			k.oracle.SetFault(func(oracle.Send) oracle.Fault {
				return oracle.Fault{Edit: func(m map[string]any) { m["access_token"], m["expires_in"] = held, 1 }}
			})
			if r, err := k.Refresh(t.Context(), ref); err != nil || !r[0].Refreshed {
				t.Fatalf("%+v, %v", r, err)
			}
			if events := k.expired(); len(events) != 0 {
				t.Errorf("told %+v", events)
			}
		})
	})
}

// expired returns what the log tells of tokens that are over when they come.
func (k *kit) expired() []grant.Event {
	k.t.Helper()
	events, _, err := k.Events(k.t.Context(), store.EventFilter{Types: []string{string(grant.EventTokensExpired)}}, store.Page{Limit: 100}, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	return events
}
