package e2e_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/pgtest"
)

// TestFleetFailover fails over to a standby that lagged behind: it lacks what the
// replicas renewed last, each grant once or several times by one replica or by
// several in turn. Each of them has its own renewals in its journal.
func TestFleetFailover(t *testing.T) {
	t.Parallel()
	var all []*failover
	for _, policy := range rotating {
		for range 4 {
			all = append(all, &failover{policy: policy})
		}
	}
	together(t, all, 5, func(t *testing.T, f *failover) {
		f.t = t
		f.begin()
		f.lag()
		f.failOver()
		f.judge()
	})
}

// rotating are the policies under which a refresh brings another refresh token.
var rotating = []string{oracle.Lenient, oracle.Grace, oracle.RetireOnUse, oracle.Strict, oracle.FamilyKill}

// failover is one policy's run.
type failover struct {
	policy string

	t       *testing.T
	oracle  *judge
	primary *pgtest.Cluster
	standby *pgtest.Cluster
	fleet   []*server
	readers readers
	stop    func()
}

// lostTurns are the replicas that renew a grant in the lost time, one after the
// other.
var lostTurns = [][]int{{}, {0}, {1}, {2}, {0, 1}, {1, 0}, {0, 1, 2}, {2, 1, 0}, {0, 1, 0}, {1, 1, 2}, {2, 2}, {}}

func (f *failover) String() string { return f.policy }

// begin has three replicas hand out what was renewed, and a standby that has it.
func (f *failover) begin() {
	t := f.t
	f.oracle = newJudge(t, oracle.Options{Rotation: f.policy, AccessLife: time.Hour})
	f.start(3)
	for n := range lostTurns {
		f.fleet[n%3].adopt(f.oracle, n, 3600)
		f.renew(n, n%3)
	}
	begun := time.Now()
	f.readers, f.stop = readAll(t, f.oracle, f.fleet, len(lostTurns), false)
	every(t, glance, time.Minute, "all hand out every token", func() bool { return f.readers.agree(begun) })
}

// start starts a primary, a standby, and replicas that know both.
func (f *failover) start(replicas int) {
	t := f.t
	t.Helper()
	var err error
	if f.primary, err = pgtest.Start(pgtest.Options{Fsync: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.primary.Remove)
	at, err := url.Parse(f.primary.EmptyDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	if f.standby, err = f.primary.Standby(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.standby.Remove)
	f.fleet = startFleet(t, app(f.oracle.url, f.policy, "refresh: {min_interval: 1s}"), pgtest.URLs(at.Path[1:], f.primary, f.standby), replicas)
}

// renew has one replica renew a grant.
func (f *failover) renew(n, by int) {
	f.t.Helper()
	every(f.t, glance, 2*time.Minute, "a refresh", func() bool {
		res, err := f.fleet[by].Refresh(f.t.Context(), ref(n))
		return err == nil && len(res) == 1 && res[0].Refreshed
	})
}

// lag has the standby lag behind.
func (f *failover) lag() {
	t := f.t
	f.standby.CaughtUp(t, f.primary)
	f.standby.CutStream(t)
	for n, turns := range lostTurns {
		for _, by := range turns {
			f.renew(n, by)
		}
	}
	from := time.Now()
	every(t, glance, time.Minute, "all hand out what the standby does not have", func() bool { return f.readers.agree(from) })
}

// failOver makes the standby the primary.
func (f *failover) failOver() {
	t := f.t
	if err := f.primary.Kill(); err != nil {
		t.Fatal(err)
	}
	f.standby.Promote(t)
	promoted := time.Now()
	for n := range lostTurns {
		f.renew(n, (n+1)%3)
	}
	every(t, glance, time.Minute, "all hand out what is current", func() bool { return f.readers.agree(promoted) })
	t.Logf("%s: every grant was renewed again %v after the promotion", f.policy, time.Since(promoted).Round(time.Millisecond))
}

func (f *failover) judge() {
	t := f.t
	f.stop()
	r := f.oracle.judgeSends(t, f.policy)
	f.readers.judge(t)
	if lost := f.readers.lost(); len(lost) > 0 || len(r.Dead) > 0 {
		t.Errorf("lost %v, dead at the provider %v", lost, r.Dead)
	}
	if n := repeated(f.oracle.Sends()); n > 0 {
		t.Errorf("%d spent tokens were sent again", n)
	}
	t.Logf("%s: %d sends; %d tokens used", f.policy, r.Sends, f.readers.used())
}
