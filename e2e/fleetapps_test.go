package e2e_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

// TestFleetPause pauses an app on one replica and resumes it on another.
func TestFleetPause(t *testing.T) {
	t.Parallel()
	j := newJudge(t, oracle.Options{Rotation: oracle.FamilyKill, AccessLife: time.Hour})
	fleet := newFleet(t, j, oracle.FamilyKill, 2)
	fleet[0].adopt(j, 0, 3600)
	if _, err := fleet[0].PauseApp(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	paused := func(want bool) {
		t.Helper()
		for _, s := range fleet {
			eventually(t, time.Minute, "every replica knows", func() bool {
				a, err := s.App(t.Context(), "app")
				return err == nil && a.Paused == want && (a.PausedBecause == "operator") == want
			})
		}
	}
	holds := func() {
		t.Helper()
		paused(true)
		for i, s := range fleet {
			if res, err := s.Refresh(t.Context(), ref(0)); err != nil || res[0].Refreshed || res[0].Reason != "app_paused" {
				t.Errorf("a refresh demanded of replica %d came to %+v, %v", i, res, err)
			}
		}
	}
	holds()
	fleet[1].kill()
	fleet[1].start()
	holds()
	fleet[0].adopt(j, 1, 1) // is due 5 s later
	overdue := time.NewTimer(7 * time.Second)
	defer overdue.Stop()
	<-overdue.C
	if n := j.Report().Sends; n != 0 {
		t.Errorf("%d requests were sent while the app was paused", n)
	}
	if _, err := fleet[1].ResumeApp(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	paused(false)
	for _, s := range fleet {
		every(t, glance, time.Minute, "a refresh", func() bool {
			res, err := s.Refresh(t.Context(), ref(0))
			return err == nil && res[0].Refreshed
		})
	}
	every(t, glance, time.Minute, "what came due meanwhile is renewed", func() bool {
		return fleet[0].grant(ref(1)).Seq > 0
	})
	j.judgeSends(t, oracle.FamilyKill)
	for _, typ := range []string{"app.paused", "app.resumed"} {
		if n := fleet[0].count(typ); n != 1 {
			t.Errorf("%d events %s, want 1", n, typ)
		}
	}
}

// TestFleetRefusedApp has the provider refuse the app itself, as one replica finds
// out.
func TestFleetRefusedApp(t *testing.T) {
	t.Parallel()
	j := newJudge(t, oracle.Options{Rotation: oracle.FamilyKill, AccessLife: time.Hour})
	var refused atomic.Bool
	j.SetFault(func(oracle.Send) oracle.Fault {
		if !refused.Load() {
			return oracle.Fault{}
		}
		return oracle.Fault{Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`,
			Header: http.Header{"Content-Type": {"application/json"}}}
	})
	fleet := newFleet(t, j, oracle.FamilyKill, 2)
	for n := range 4 {
		fleet[n%2].adopt(j, n, 3600)
	}
	accepted := func(want bool) {
		t.Helper()
		for _, s := range fleet {
			eventually(t, time.Minute, "every replica shows it", func() bool {
				all, err := s.Apps(t.Context())
				return err == nil && len(all) == 1 && all[0].CredentialsOK == want
			})
		}
	}
	accepted(true)
	refused.Store(true)
	if res, err := fleet[0].Refresh(t.Context(), ref(0)); err != nil || res[0].Refreshed || res[0].Reason != "app_credentials_rejected" {
		t.Errorf("a refresh of an app that is refused came to %+v, %v", res, err)
	}
	accepted(false)
	before := j.Report().Sends
	every(t, glance, time.Minute, "the other replica is refused too", func() bool {
		_, _ = fleet[1].Refresh(t.Context(), ref(1))
		return j.Report().Sends > before
	})
	accepted(false)
	refused.Store(false)
	for n, s := range fleet {
		every(t, glance, time.Minute, "a refresh", func() bool {
			res, err := s.Refresh(t.Context(), ref(2+n))
			return err == nil && res[0].Refreshed
		})
	}
	accepted(true)
	if n := fleet[1].count("app.credentials_rejected"); n != 1 {
		t.Errorf("%d events tell that the app is refused, want 1", n)
	}
	for n := range 4 {
		if g := fleet[0].grant(ref(n)); g.State != "connected" {
			t.Errorf("%s is %s", ref(n), g.State)
		}
	}
}

// count counts the log's events of a type.
func (s *server) count(typ string) int {
	s.t.Helper()
	page, err := s.Events(s.t.Context(), client.EventFilter{Types: []string{typ}, Limit: 1000})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(page.Data)
}
