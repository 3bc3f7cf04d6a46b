package simulation

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/store"
)

// standing is a store whose process stands still for a while right after it has
// opened its first attempt, as if it had been stopped.
type standing struct {
	store.Store
	once   sync.Once
	pause  time.Duration
	opened *openings
}

// openings is when attempts were opened.
type openings struct {
	mu    sync.Mutex
	times []time.Time
}

func (o *openings) add(t time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.times = append(o.times, t)
}

func (o *openings) all() []time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.times)
}

func (s *standing) Claim(ctx context.Context, r store.ClaimRequest) ([]store.Claim, error) {
	claims, err := s.Store.Claim(ctx, r)
	if len(claims) > 0 {
		s.opened.add(claims[0].Grant.Attempt.OpenedAt)
		s.once.Do(func() { time.Sleep(s.pause) })
	}
	return claims, err
}

// Whoever takes an attempt over counts from its opening, and so must whoever
// sends: without that, internal/model finds two requests under way at once.
func TestNothingOfAnAttemptIsUnderWayAfterItsTime(t *testing.T) {
	for name, pause := range map[string]time.Duration{
		"a process that stood still too long does not send": time.Minute,
		"one that stood still for less has less time":       6 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVendor(t, "app", 1, oracle.Options{Rotation: oracle.Strict, AccessLife: time.Hour})
				defer v.close()
				var log openings
				s := newSite(t, []*vendor{v}, func(st store.Store) store.Store {
					return &standing{Store: st, pause: pause, opened: &log}
				})
				defer s.stop()
				if err := s.adopt(grant.Ref{Key: "cafe", App: "app"}, "cafe"); err != nil {
					t.Fatal(err)
				}
				// A request is under way until its sender has gone.
				v.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Before: time.Hour, LoseRequest: true} })
				for len(log.all()) == 0 {
					time.Sleep(time.Second)
				}
				time.Sleep(pause + v.app.Policy.Timeout() + time.Second)
				opened := log.all()
				for _, x := range v.Sends() {
					of := opened[0]
					for _, at := range opened {
						if !at.After(x.Start) {
							of = at
						}
					}
					if late := x.End.Sub(of); late > v.app.Policy.Timeout() {
						t.Errorf("a request was under way %s after its attempt was opened, want at most %s", late, v.app.Policy.Timeout())
					}
				}
				v.SetFault(nil)
				time.Sleep(time.Minute)
				c, err := s.Connection(t.Context(), grant.Ref{Key: "cafe", App: "app"})
				if err != nil || c.Status.State != grant.Connected || v.Report().Rotations != 1 {
					t.Errorf("it is %s/%s after %+v, %v", c.Status.State, c.Status.Reason, v.Report(), err)
				}
			})
		})
	}
}
