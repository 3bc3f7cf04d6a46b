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
	var arrived atomic.Int32
	answer := make(chan struct{})
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		<-answer
		o.ServeHTTP(w, r)
	}))
	t.Cleanup(gate.Close)
	j := &judge{Server: o, url: gate.URL}
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
	close(answer)
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
