package e2e_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

const (
	soakGrants = 200
	soakLife   = 30 * time.Second // of the access tokens
)

// TestSoak keeps a server busy for two minutes, or for as long as EVERGRANT_SOAK
// says, with nothing going wrong: no refresh token is sent twice, every token
// works, and what the process holds does not grow.
func TestSoak(t *testing.T) {
	t.Parallel()
	long := 2 * time.Minute
	if text := os.Getenv("EVERGRANT_SOAK"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatalf("EVERGRANT_SOAK: %v", err)
		}
	}
	x := &soak{t: t, seed: seed(t)}
	x.run(long)
	x.judge()
}

// soak is a server under steady load.
type soak struct {
	t      *testing.T
	seed   uint64
	oracle *judge
	server *server

	used, unusable  atomic.Int64 // tokens that were handed out, and of them those the API refused
	forced, renewed atomic.Int64 // refreshes that were demanded, and of them those that came about
	rejected        atomic.Int64

	mu     sync.Mutex
	failed []error // calls

	warm, end []footprint
}

// run loads the server for so long, looks at what it holds, and stops it in order.
func (x *soak) run(long time.Duration) {
	// Under strict rotation a refresh token that is sent again is a lost grant.
	x.oracle = newJudge(x.t, oracle.Options{Rotation: oracle.Strict, AccessLife: soakLife})
	delays := x.choices(0)
	x.oracle.SetFault(func(oracle.Send) oracle.Fault { // under the oracle's lock
		return oracle.Fault{After: time.Duration(delays.Int64N(int64(50 * time.Millisecond)))}
	})
	x.server = newServer(x.t)
	x.server.configure(app(x.oracle.url, oracle.Strict, "refresh: {min_interval: 1s}"), "")
	x.server.start()
	for n := range soakGrants {
		x.server.adopt(x.oracle, n, 2+int64(n)%28)
	}
	loading, stop := context.WithCancel(x.t.Context())
	defer stop()
	var load sync.WaitGroup
	for i, c := range []struct {
		pace time.Duration
		call func(n int) error
	}{
		{20 * time.Millisecond, x.fetch}, {20 * time.Millisecond, x.fetch},
		{250 * time.Millisecond, x.force}, {250 * time.Millisecond, x.reject},
	} {
		choices := x.choices(uint64(1 + i))
		load.Go(func() { x.repeat(loading, c.pace, func() error { return c.call(choices.IntN(soakGrants)) }) })
	}
	// A quarter of the time is to get warm; the quarter after it is compared with the last.
	second := time.NewTicker(time.Second)
	defer second.Stop()
	from := time.Now()
	for past := time.Duration(0); past < long; past = time.Since(from) {
		switch {
		case past >= long*3/4:
			x.end = append(x.end, x.server.footprint())
		case past >= long/4 && past < long/2:
			x.warm = append(x.warm, x.server.footprint())
		}
		<-second.C
	}
	stop()
	load.Wait()
}

func (x *soak) choices(of uint64) *rand.Rand { return rand.New(rand.NewPCG(x.seed, of)) }

// repeat calls at a pace until ctx ends, and lets the last call finish.
func (x *soak) repeat(ctx context.Context, pace time.Duration, call func() error) {
	t := time.NewTicker(pace)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := call(); err != nil {
			x.mu.Lock()
			x.failed = append(x.failed, err)
			x.mu.Unlock()
		}
	}
}

// fetch is a caller who needs a token.
func (x *soak) fetch(n int) error {
	token, err := x.server.Token(x.t.Context(), ref(n), nil)
	if err != nil {
		return err
	}
	x.use(token.AccessToken)
	return nil
}

// force is one who wants a new token.
func (x *soak) force(n int) error {
	grants, err := x.server.Refresh(x.t.Context(), ref(n))
	if err != nil {
		return err
	}
	x.forced.Add(1)
	if grants[0].Refreshed {
		x.renewed.Add(1)
	}
	return nil
}

// reject is one whom the API has answered 401.
func (x *soak) reject(n int) error {
	token, err := x.server.Token(x.t.Context(), ref(n), nil)
	if err != nil {
		return err
	}
	if token, err = x.server.Reject(x.t.Context(), ref(n), token.Fingerprint); err != nil {
		return err
	}
	x.rejected.Add(1)
	x.use(token.AccessToken)
	return nil
}

func (x *soak) use(token string) {
	x.used.Add(1)
	if !x.oracle.AccessValid(token) {
		x.unusable.Add(1)
	}
}

// judge compares what happened with what the oracle saw once nothing is under
// way any more.
func (x *soak) judge() {
	t := x.t
	for n := range soakGrants {
		if g := x.server.grant(ref(n)); g.State != "connected" || g.Seq == 0 {
			t.Errorf("%s is %s (%s) at seq %d", ref(n), g.State, g.Reason, g.Seq)
		}
	}
	page, err := x.server.Events(t.Context(), client.EventFilter{Types: []string{"connection.needs_reauthorization"}, Limit: 10})
	if err != nil || len(page.Data) != 0 {
		t.Errorf("%d grants were given up, %v", len(page.Data), err)
	}
	x.server.interrupt()
	x.server.ended()
	r := x.oracle.Report()
	t.Logf("%d rotations, %d sends; %d tokens used, %d refreshes demanded of which %d came about, %d tokens rejected",
		r.Rotations, r.Sends, x.used.Load(), x.forced.Load(), x.renewed.Load(), x.rejected.Load())
	if r.Sends != r.Rotations || r.Overlaps != 0 || r.TwoLate != 0 || r.Unknown != 0 || r.Cuts != 0 || len(r.Dead) != 0 || wentBack(x.oracle.Sends()) != 0 {
		t.Errorf("the provider saw %+v, %d tokens after their successors; want as many sends as rotations and nothing else", r, wentBack(x.oracle.Sends()))
	}
	if n := x.unusable.Load(); n != 0 {
		t.Errorf("%d tokens of %d that were handed out did not work", n, x.used.Load())
	}
	if len(x.failed) != 0 {
		t.Errorf("%d calls failed, the first with: %v", len(x.failed), x.failed[0])
	}
	for _, word := range []string{"panic", `"level":"ERROR"`} {
		if bytes.Contains(x.server.logged(), []byte(word)) {
			t.Errorf("the log has a %s", word)
		}
	}
	x.flat("go_goroutines", 40)
	x.flat("process_open_fds", 20)
	x.flat("go_memstats_heap_inuse_bytes", 8<<20)
	x.flat("process_resident_memory_bytes", 32<<20)
}

// flat fails the test if the least of a figure in the last quarter is above its
// least once warm by more than what may be under way at a busy moment. The load
// and the garbage collector move it up and down; what leaks moves it up for good.
// A multiple would allow for what leaks from the start, because that has its
// share in both.
func (x *soak) flat(name string, more float64) {
	x.t.Helper()
	if len(x.warm) == 0 || len(x.end) == 0 {
		x.t.Fatal("too short to look at what the process holds")
	}
	of := func(all []footprint) (least, most float64) {
		by := func(a, b footprint) int { return cmp.Compare(a[name], b[name]) }
		return slices.MinFunc(all, by)[name], slices.MaxFunc(all, by)[name]
	}
	warm, warmMost := of(x.warm)
	end, endMost := of(x.end)
	x.t.Logf("%s: %.0f to %.0f once warm, %.0f to %.0f at the end", name, warm, warmMost, end, endMost)
	if warm <= 0 || end > warm+more {
		x.t.Errorf("%s rose from %.0f to %.0f at least, want %.0f more at most", name, warm, end, more)
	}
}

// footprint is what a process says of itself, by metric, without those that have labels.
type footprint map[string]float64

// footprint reads the metrics.
func (s *server) footprint() footprint {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.api+"/metrics", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	f := make(footprint)
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			f[name] = v
		}
	}
	if len(f) == 0 {
		s.t.Fatalf("no metrics: %s", res.Status)
	}
	return f
}
