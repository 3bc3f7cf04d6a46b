package manager_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"

	"github.com/evergrant/evergrant"
)

// reading counts how often a connection is read, and can be made unavailable.
type reading struct {
	store.Store
	reads  atomic.Int64
	broken atomic.Bool
}

func (r *reading) Holdings(ctx context.Context, ref grant.Ref) (grant.Connection, []store.Holding, error) {
	r.reads.Add(1)
	if r.broken.Load() {
		return grant.Connection{}, nil, store.ErrUnavailable
	}
	return r.Store.Holdings(ctx, ref)
}

// TestACachedConnectionIsReadAgainWhenAnotherProcessChangedIt tells what becomes
// of a connection in memory by what the log says: whether it is read again, and
// whether it stands in while the store cannot be read.
func TestACachedConnectionIsReadAgainWhenAnotherProcessChangedIt(t *testing.T) {
	tests := map[string]struct {
		event           grant.Event
		changed         *string
		old             grant.OldAccessToken
		again, standsIn bool
	}{
		"its own renewal":                    {event: renewedAt(1, 0), standsIn: true},
		"another's renewal":                  {event: renewedAt(1, 1), again: true, standsIn: true},
		"another's renewal, out of the log":  {event: grant.Event{Type: grant.GrantRefreshed, Data: map[string]any{"epoch": 1.0, "seq": 1.0}}, again: true, standsIn: true},
		"a renewal that says nothing":        {event: grant.Event{Type: grant.GrantRefreshed}, again: true, standsIn: true},
		"a renewal that ended the old token": {event: renewedAt(1, 1), old: grant.RevokedNow, again: true},
		"a refresh that failed":              {event: grant.Event{Type: grant.GrantRefreshFailed}, again: true, standsIn: true},
		"a disconnect":                       {event: grant.Event{Type: grant.ConnectionDisconnected}, again: true},
		"another approval":                   {event: grant.Event{Type: grant.GrantIssued}, again: true},
		"a link":                             {event: grant.Event{Type: grant.LinkCreated}, standsIn: true},
		"a change without an event":          {changed: new("it"), again: true, standsIn: true},
		"changes that may have been missed":  {changed: new(""), again: true, standsIn: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var r *reading
			o := kitOptions{
				oracle: oracle.Options{Rotation: oracle.FamilyKill},
				policy: func(p *grant.Policy) { p.OldAccessToken = test.old },
				wrap:   func(s store.Store) store.Store { r = &reading{Store: s}; return r },
			}
			bubble(t, o, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				h := k.token(ref)
				tell := func() {
					if test.changed != nil {
						id := *test.changed
						if id != "" {
							id = h.Token.Connection
						}
						k.Changed(id)
						return
					}
					e := test.event
					e.Connection, e.Grant, e.App = h.Token.Connection, h.Token.Grant, "app"
					k.Follow([]grant.Event{e})
				}
				tell()
				before := r.reads.Load()
				k.token(ref)
				if again := r.reads.Load() > before; again != test.again {
					t.Errorf("read again: %v, want %v", again, test.again)
				}
				r.broken.Store(true)
				tell()
				if _, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{}); (err == nil) != test.standsIn {
					t.Errorf("while the store cannot be read: %v, want a token: %v", err, test.standsIn)
				}
			})
		})
	}
}

func renewedAt(epoch, seq int64) grant.Event {
	return grant.Event{Type: grant.GrantRefreshed, Data: map[string]any{"epoch": epoch, "seq": seq}}
}

// TestAnAppIsUnderAnIncidentThatAnotherProcessFound follows what the log says of
// apps.
func TestAnAppIsUnderAnIncidentThatAnotherProcessFound(t *testing.T) {
	var s store.Store
	o := kitOptions{wrap: func(inner store.Store) store.Store { s = inner; return inner }}
	bubble(t, o, func(t *testing.T, k *kit) {
		follow := func(e grant.Event, want grant.Reason) {
			t.Helper()
			e.App = "app"
			k.Follow([]grant.Event{e})
			k.sleep(time.Millisecond)
			if got := app(k); got.Reason != want {
				t.Errorf("after %s the app is %s, want %s", e.Type, got.Reason, want)
			}
		}
		follow(grant.Event{Type: grant.EventAppRejected}, grant.AppCredentialsRejected)
		follow(grant.Event{Type: grant.EventAppRejected}, grant.AppCredentialsRejected)
		follow(grant.Event{Type: grant.EventAppAccepted}, grant.OK)
		follow(grant.Event{Type: grant.EventAppAccepted}, grant.OK)

		operator := map[string]any{"cause": string(grant.PausedByOperator)}
		if err := s.PauseApp(t.Context(), "app", store.Pause{Cause: grant.PausedByOperator, Since: time.Now()}); err != nil {
			t.Fatal(err)
		}
		follow(grant.Event{Type: grant.EventAppPaused, Data: operator}, grant.AppPaused)
		// What the store says counts, not what the log said at some time.
		follow(grant.Event{Type: grant.EventAppResumed, Data: operator}, grant.AppPaused)
		if err := s.ResumeApp(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		follow(grant.Event{Type: grant.EventAppPaused, Data: operator}, grant.AppPaused)
		follow(grant.Event{Type: grant.EventAppResumed, Data: operator}, grant.OK)
		// The mass guard is each process's own.
		follow(grant.Event{Type: grant.EventAppPaused, Data: map[string]any{"cause": string(grant.PausedByRefusals)}}, grant.OK)
	})
}

func app(k *kit) manager.AppStatus { return k.Apps()[0] }
