package e2e_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/pgtest"
)

// TestFleetOutage takes the database away from replicas until all their tokens
// have ended, then ends their sessions over and over while the next renewals are
// due, and then restarts it. Nothing is lost under any policy.
func TestFleetOutage(t *testing.T) {
	t.Parallel()
	own, err := pgtest.Start(pgtest.Options{Fsync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Remove)
	all := []*outage{newOutage(t, own, oracle.FamilyKill), newOutage(t, own, oracle.RetireOnUse)}
	for _, o := range all {
		o.begin()
	}

	down := time.Now()
	if err := own.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		o.ended(down)
	}
	back := time.Now()
	if err := own.Run(); err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		o.renewed("after the outage")
		o.sentNothing(down, back)
	}
	// Of these renewals the next are due within 18 s.
	terminateAll(t, own, 18*time.Second)
	if err := own.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := own.Run(); err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		o.renewed("after its sessions were ended again and again, and a restart")
		o.judge()
	}
}

// outage is what befalls the fleet of one policy.
type outage struct {
	t       *testing.T
	policy  string
	oracle  *judge
	fleet   []*server
	readers readers
	stop    func()
	newest  map[string]int // the generations of the last look
}

const (
	outageGrants = 12
	outageLife   = 24 * time.Second
	// requestTime is how long after its attempt was opened a request may be sent.
	requestTime = 10 * time.Second
)

// newOutage starts two replicas.
func newOutage(t *testing.T, own *pgtest.Cluster, policy string) *outage {
	t.Helper()
	o := &outage{t: t, policy: policy}
	o.oracle = newJudge(t, oracle.Options{Rotation: policy, AccessLife: outageLife})
	o.fleet = startFleet(t, app(o.oracle.url, policy, "refresh: {min_interval: 1s}"), own.EmptyDatabase(t), 2)
	return o
}

// begin has the replicas hand out tokens that have been renewed.
func (o *outage) begin() {
	o.t.Helper()
	for n := range outageGrants {
		o.fleet[n%2].adopt(o.oracle, n, 14)
	}
	o.readers, o.stop = readAll(o.t, o.oracle, o.fleet, outageGrants, false)
	o.renewed("at the beginning")
}

// ended waits until no replica has anything left to hand out.
func (o *outage) ended(down time.Time) {
	t := o.t
	t.Helper()
	for i, s := range o.fleet {
		every(t, glance, 2*time.Minute, "every token has ended", func() bool { return o.readers[i].refusedSince(down) })
		if status, after := s.refusal(0); status != http.StatusServiceUnavailable || after == "" {
			t.Errorf("without its database a replica answers %d, Retry-After %q", status, after)
		}
		if s.answers("/readyz") {
			t.Error("a replica says that it is ready")
		}
	}
}

// renewed waits until every grant was renewed since the last look, all replicas
// hand out what is current, and they are ready.
func (o *outage) renewed(when string) {
	o.t.Helper()
	from := time.Now()
	every(o.t, glance, 2*time.Minute, "every grant is renewed "+when, func() bool {
		newest := o.oracle.newest()
		for n := range outageGrants {
			if newest[business(n)] == o.newest[business(n)] {
				return false
			}
		}
		return o.readers.agree(from)
	})
	for _, s := range o.fleet {
		eventually(o.t, time.Minute, "the replica is ready "+when, func() bool { return s.answers("/readyz") })
	}
	o.newest = o.oracle.newest()
}

// sentNothing judges that nothing was sent but what had begun when the database
// went away.
func (o *outage) sentNothing(down, back time.Time) {
	o.t.Helper()
	for _, s := range o.oracle.Sends() {
		if s.Start.After(down.Add(requestTime)) && s.Start.Before(back) {
			o.t.Errorf("a request was sent %v after the database went away", s.Start.Sub(down))
		}
	}
}

func (o *outage) judge() {
	o.t.Helper()
	o.stop()
	r := o.oracle.judgeSends(o.t, o.policy)
	o.readers.judge(o.t)
	if lost := o.readers.lost(); len(lost) > 0 || len(r.Dead) > 0 {
		o.t.Errorf("%s: lost %v, dead at the provider %v", o.policy, lost, r.Dead)
	}
	o.t.Logf("%s: %d sends, %d of them repeated, by replica %v; %d tokens used; none lost",
		o.policy, r.Sends, repeated(o.oracle.Sends()), senders(o.oracle.Sends(), len(o.fleet)), o.readers.used())
}

// terminateAll ends all sessions of a server's databases, again and again.
func terminateAll(t *testing.T, c *pgtest.Cluster, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	pace, over, ended := time.NewTicker(300*time.Millisecond), time.NewTimer(d), 0
	defer pace.Stop()
	defer over.Stop()
	for {
		var n int
		if err := conn.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		ended += n
		select {
		case <-pace.C:
		case <-over.C:
			t.Logf("%d sessions were ended", ended)
			return
		}
	}
}
