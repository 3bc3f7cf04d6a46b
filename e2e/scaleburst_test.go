//go:build scale

package e2e_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

// burst is grants that are all due at once, and who renews them.
type burst struct {
	store    string
	grants   int
	replicas int
	latency  time.Duration // of the provider
	inFlight int           // token requests under way at once, per app; 0 for the default of 32
	rate     int           // token requests a second, for all replicas; 0 for no limit

	took    time.Duration
	arrived int // token requests within one second, at most
	by      []int

	// Of processors, for all grants.
	servers, database, provider time.Duration
}

// joined is longer than a replica that joins others sends nothing.
const joined = 5 * time.Second

// TestScaleBurst measures how fast grants that are due together are renewed. BURST
// is how many; CROWD, if given, is how many for two replicas that share a rate.
//
//	BURST=10000 CROWD=100000 STORES="sqlite postgres" go test -C e2e -tags scale -run '^TestScaleBurst$' -count 1 -timeout 0 -v .
func TestScaleBurst(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("BURST"))
	if err != nil {
		t.Fatalf("BURST: %v", err)
	}
	var bursts []*burst
	for _, store := range strings.Fields(os.Getenv("STORES")) {
		bursts = append(bursts,
			&burst{store: store, grants: n, replicas: 1},
			&burst{store: store, grants: n, replicas: 1, inFlight: 128},
			&burst{store: store, grants: n, replicas: 1, latency: 200 * time.Millisecond},
			&burst{store: store, grants: n, replicas: 1, latency: 200 * time.Millisecond, inFlight: 512})
		if store == "postgres" {
			// Two replicas have half of what may be under way each, so one with half is
			// what to compare them with too.
			bursts = append(bursts,
				&burst{store: store, grants: n, replicas: 1, inFlight: 16},
				&burst{store: store, grants: n, replicas: 2},
				&burst{store: store, grants: n, replicas: 2, inFlight: 128})
			if crowd, err := strconv.Atoi(os.Getenv("CROWD")); err == nil {
				bursts = append(bursts, &burst{store: store, grants: crowd, replicas: 2, rate: 1000})
			}
		}
	}
	for _, b := range bursts {
		t.Run(fmt.Sprintf("%s-%d-%v-%d-%d", b.store, b.replicas, b.latency, b.inFlight, b.rate), b.run)
	}
	fmt.Printf("\ncommit %s\n\n%s", headOf(t), burstTable(bursts))
}

func (b *burst) run(t *testing.T) {
	j := newJudge(t, oracle.Options{Rotation: oracle.RetireOnUse, AccessLife: scaleLife, Pad: scalePad})
	j.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Before: b.latency} })
	refresh := "refresh: {min_interval: 1s}"
	switch {
	case b.inFlight > 0:
		refresh = fmt.Sprintf("refresh: {max_in_flight: %d}", b.inFlight)
	case b.rate > 0:
		refresh = fmt.Sprintf("refresh: {rate: %d}", b.rate)
	}
	fleet := b.start(t, app(j.url, oracle.RetireOnUse, refresh))
	started := time.Now()
	// Nothing is sent before all are there.
	if _, err := fleet[0].PauseApp(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	for _, s := range fleet {
		eventually(t, time.Minute, "every replica knows", func() bool {
			a, err := s.App(t.Context(), "app")
			return err == nil && a.Paused
		})
	}
	b.fill(t, j, fleet[0])
	every(t, glance, time.Minute, "every replica may send", func() bool { return time.Since(started) > joined })
	began := time.Now()
	b.count(t, fleet, -1)
	if _, err := fleet[0].ResumeApp(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	every(t, glance, 20*time.Minute, "every grant is renewed", func() bool { return j.Rotations() >= b.grants })
	b.count(t, fleet, 1)
	if r := j.Report(); r.Overlaps != 0 || r.Unknown != 0 || r.Sends != r.Rotations || len(r.Dead) != 0 {
		t.Errorf("the provider saw %+v", r)
	}
	var arrived []time.Time
	for _, s := range j.Sends() {
		arrived = append(arrived, s.Start)
		b.took = max(b.took, s.End.Sub(began))
	}
	b.arrived = mostWithin(arrived, time.Second)
	b.by = senders(j.Sends(), b.replicas)
}

// count adds or takes away what the processors have done so far: for the servers,
// for PostgreSQL, and for the provider, which is this process.
func (b *burst) count(t *testing.T, fleet []*server, times time.Duration) {
	var servers time.Duration // which are its children
	for _, s := range fleet {
		servers += processorTime(t, s.process.Process.Pid)
	}
	b.servers += times * servers
	if b.store == "postgres" {
		b.database += times * processorTime(t, cluster.Pid())
	}
	b.provider += times * (processorTime(t, os.Getpid()) - servers)
}

func (b *burst) start(t *testing.T, apps string) []*server {
	if b.store == "postgres" {
		return startFleet(t, apps, database(t), b.replicas)
	}
	s := newServer(t)
	s.configure(apps, "")
	s.start()
	return []*server{s}
}

// fill imports grants whose access tokens have just ended.
func (b *burst) fill(t *testing.T, j *judge, s *server) {
	lines, w := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(w, 1<<20)
		e := json.NewEncoder(out)
		for i := range b.grants {
			access, refresh := j.Issue(business(i))
			_ = e.Encode(client.NewConnection{Ref: ref(i), Tokens: &client.Tokens{
				AccessToken: access, RefreshToken: refresh, ExpiresAt: time.Now().Add(-time.Second),
			}})
		}
		_ = w.CloseWithError(out.Flush())
	}()
	err := s.Import(t.Context(), lines, func(a client.Imported) error {
		if a.Status != "created" {
			return fmt.Errorf("line %d: %s %s", a.Line, a.Status, a.Error)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// each is processor time for one refresh, in microseconds.
func (b *burst) each(d time.Duration) int64 { return d.Microseconds() / int64(b.grants) }

func burstTable(bursts []*burst) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| store\t| replicas\t| grants\t| provider answers after\t| at once\t| limit/s\t| refreshes/s\t| most in a second\t| by replica\t| server µs\t| database µs\t| provider µs\t|")
	fmt.Fprintln(w, "| ---\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---\t| ---:\t| ---:\t| ---:\t|")
	for _, b := range bursts {
		fmt.Fprintf(w, "| %s\t| %d\t| %d\t| %v\t| %d\t| %d\t| %.0f\t| %d\t| %v\t| %d\t| %d\t| %d\t|\n", b.store, b.replicas, b.grants, b.latency,
			cmp.Or(b.inFlight, 32), b.rate, float64(b.grants)/b.took.Seconds(), b.arrived, b.by,
			b.each(b.servers), b.each(b.database), b.each(b.provider))
	}
	_ = w.Flush()
	return text.String()
}
