package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

// TestTermFinishesWhatIsUnderWay stops a server in order while 20 answers are
// awaited, half of them by callers.
func TestTermFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	const grants, demanded = 20, 10
	o := oracle.New(oracle.Options{Rotation: oracle.Strict, AccessLife: time.Hour})
	j, arrived, answer := held(t, o)
	s := newServer(t)
	s.configure(app(j.url, oracle.Strict, "refresh: {max_in_flight_strict: 20}"), "")
	s.start()

	before := map[int]client.Grant{}
	for n := range demanded {
		s.adopt(j, n, 3600)
		before[n] = s.grant(ref(n))
	}
	for n := demanded; n < grants; n++ { // due at once
		access, refresh := o.Issue(business(n))
		_, err := s.CreateConnection(t.Context(), client.NewConnection{Ref: ref(n), Tokens: &client.Tokens{
			AccessToken: access, RefreshToken: refresh, ExpiresAt: time.Now().Add(-time.Second),
		}})
		if err != nil {
			t.Fatal(err)
		}
		before[n] = s.grant(ref(n))
	}
	var callers sync.WaitGroup
	for n := range demanded {
		callers.Go(func() {
			res, err := s.Refresh(t.Context(), ref(n))
			if err != nil || len(res) != 1 || !res[0].Refreshed {
				t.Errorf("a caller who waited for %s while the server stopped got %+v, %v", ref(n), res, err)
			}
		})
	}
	eventually(t, time.Minute, "20 refreshes are under way", func() bool { return arrived.Load() == grants })
	s.interrupt()
	eventually(t, time.Minute, "the server takes no more requests", func() bool { return !s.answers("/livez") })
	answer()
	callers.Wait()
	s.ended()

	s.start()
	for n := range grants {
		g := s.grant(ref(n))
		if g.State != "connected" || g.Seq != before[n].Seq+1 {
			t.Errorf("%s is %s (%s) at seq %d after a restart, want connected at %d", ref(n), g.State, g.Reason, g.Seq, before[n].Seq+1)
			continue
		}
		token, err := s.Token(t.Context(), ref(n), nil)
		if err != nil {
			t.Error(err)
			continue
		}
		if !o.AccessValid(token.AccessToken) {
			t.Errorf("%s: the committed token does not work", ref(n))
		}
		// Another refresh begins at once only if no attempt was left open.
		if res, err := s.Refresh(t.Context(), ref(n)); err != nil || !res[0].Refreshed {
			t.Errorf("%s cannot be refreshed after the restart: %+v, %v", ref(n), res, err)
		}
	}
	if r := o.Report(); r.Sends != 2*grants || r.Rotations != 2*grants || r.Overlaps != 0 {
		t.Errorf("the provider saw %+v, want %d sends and as many rotations", r, 2*grants)
	}
}

// held serves an oracle that keeps its answers back until answer is called, and
// counts the requests that came.
func held(t *testing.T, o *oracle.Server) (j *judge, arrived *atomic.Int32, answer func()) {
	t.Helper()
	arrived = new(atomic.Int32)
	open := make(chan struct{})
	answer = sync.OnceFunc(func() { close(open) })
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		<-open
		o.ServeHTTP(w, r)
	}))
	t.Cleanup(gate.Close)
	t.Cleanup(answer) // before Close, which waits for what is held
	return &judge{Server: o, url: gate.URL}, arrived, answer
}

// TestTermLeavesNoOutcomeOfAThousandUnknown stops a server in order while a
// thousand token requests are under way. A request is given up after 10 s, so a
// machine that needs longer to send them all gets another chance.
func TestTermLeavesNoOutcomeOfAThousandUnknown(t *testing.T) {
	for range 3 {
		if termWithThousand(t) {
			return
		}
	}
	t.Error("never were a thousand requests under way together")
}

// termWithThousand reports whether all requests were under way when the server
// was told to stop.
func termWithThousand(t *testing.T) bool {
	const grants = 1000
	o := oracle.New(oracle.Options{Rotation: oracle.Strict, AccessLife: time.Hour})
	j, arrived, answer := held(t, o)
	s := newServer(t)
	s.configure(app(j.url, oracle.Strict, "refresh: {max_in_flight_strict: 1000}"), "")
	s.start()
	if _, err := s.PauseApp(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	s.adoptMany(j, grants, -time.Second) // due at once
	if _, err := s.ResumeApp(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	resumed := time.Now()
	eventually(t, time.Minute, "the requests are under way", func() bool {
		return arrived.Load() == grants || time.Since(resumed) > 6*time.Second
	})
	s.interrupt()
	complete := arrived.Load() == grants
	t.Logf("%d requests were under way %v after the first could be sent", arrived.Load(), time.Since(resumed).Round(time.Millisecond))
	if complete {
		eventually(t, time.Minute, "the server takes no more requests", func() bool { return !s.answers("/livez") })
	}
	answer()
	s.ended()
	if !complete {
		return false
	}

	s.start()
	for n := range grants {
		g := s.grant(ref(n))
		if g.State != "connected" || g.Seq != 1 || g.OpenAttempt != nil {
			t.Errorf("%s is %s (%s) at seq %d after a restart, with attempt %+v", ref(n), g.State, g.Reason, g.Seq, g.OpenAttempt)
			continue
		}
		if token, err := s.Token(t.Context(), ref(n), nil); err != nil || !o.AccessValid(token.AccessToken) {
			t.Errorf("%s has no working token: %v", ref(n), err)
		}
	}
	if r := o.Report(); r.Sends != grants || r.Rotations != grants || r.Overlaps != 0 {
		t.Errorf("the provider saw %+v, want %d sends and as many rotations", r, grants)
	}
	return true
}

// adoptMany adopts grants 0 to n-1, several at a time, with tokens that end in so long.
func (s *server) adoptMany(j *judge, n int, endIn time.Duration) {
	s.t.Helper()
	var all sync.WaitGroup
	next := make(chan int)
	for range 16 {
		all.Go(func() {
			for i := range next {
				access, refresh := j.Issue(business(i))
				_, err := s.CreateConnection(s.t.Context(), client.NewConnection{Ref: ref(i), Tokens: &client.Tokens{
					AccessToken: access, RefreshToken: refresh, ExpiresAt: time.Now().Add(endIn),
				}})
				if err != nil {
					s.t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}
