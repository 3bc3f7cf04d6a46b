//go:build scale

package e2e_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

const (
	// scaleLife is how long access tokens live: one refresh an hour and connection.
	scaleLife = time.Hour
	// scaleFirst is when the first tokens end, in seconds after their import.
	scaleFirst = 120
	// scalePad makes tokens as long as those of K-Series.
	scalePad = 1000
	// scaleStarts is of how many starts the median is taken.
	scaleStarts = 5
	// scaleReaders fetch tokens at once, as fast as they are answered.
	scaleReaders = 8
	// scaleHot is how many connections the hot readers choose from: fewer than the
	// cache holds.
	scaleHot = 10_000
)

// TestScale imports CONNECTIONS connections through the product's own import,
// starts over, and measures for a while (LOAD) what a server does with them. The
// authorization server and the readers run on the same cores. See make
// bench-scale.
func TestScale(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("CONNECTIONS"))
	if err != nil {
		t.Fatalf("CONNECTIONS: %v", err)
	}
	load, err := time.ParseDuration(os.Getenv("LOAD"))
	if err != nil {
		t.Fatalf("LOAD: %v", err)
	}
	var runs []*scale
	for _, name := range strings.Fields(os.Getenv("STORES")) {
		t.Run(name, func(t *testing.T) {
			small := newScale(t, name, 1000)
			small.imports()
			small.restart()
			small.server.kill()
			x := newScale(t, name, n)
			x.small = small
			x.imports()
			x.restart()
			x.runs(load)
			x.server.interrupt()
			x.server.ended()
			x.server.process = nil
			runs = append(runs, x)
		})
	}
	fmt.Printf("\ncommit %s, %d connections, %v of load, %d cores\n\n%s", headOf(t), n, load, runtime.NumCPU(), scaleTable(runs))
}

// scale is one store's run.
type scale struct {
	t      *testing.T
	name   string
	n      int
	small  *scale // the same with few connections
	oracle *judge
	server *server

	imported       time.Duration
	spent, spentDB time.Duration // processor time of the server and of PostgreSQL for the import
	started        time.Duration
	idle           int64 // bytes resident after the start
	loaded         int64 // after the load
	before, after  int64 // bytes on disk around the load
	refreshes      int
	lasted         time.Duration
	hot, cold      []time.Duration
	failed         int
	late99, late50 float64 // seconds
}

func newScale(t *testing.T, name string, n int) *scale {
	x := &scale{t: t, name: name, n: n}
	x.oracle = newJudge(t, oracle.Options{Rotation: oracle.RetireOnUse, AccessLife: scaleLife, Pad: scalePad})
	if name == "postgres" {
		x.server = newReplica(t, database(t), nil)
	} else {
		x.server = newServer(t)
	}
	x.server.configure(app(x.oracle.url, oracle.RetireOnUse, ""), "telemetry: {log: {level: warn}}")
	x.server.start()
	return x
}

// imports imports the connections. Their tokens end spread over an hour, so that
// refreshes are steady once they begin; until the server has been started over,
// its app is paused.
func (x *scale) imports() {
	if _, err := x.server.PauseApp(x.t.Context(), "app"); err != nil {
		x.t.Fatal(err)
	}
	lines, w := io.Pipe()
	go func() {
		b := bufio.NewWriterSize(w, 1<<20)
		e := json.NewEncoder(b)
		for i := range x.n {
			access, refresh := x.oracle.Issue(business(i))
			_ = e.Encode(client.NewConnection{Ref: ref(i), Name: "Business " + strconv.Itoa(i), Tokens: &client.Tokens{
				AccessToken: access, RefreshToken: refresh, ExpiresIn: scaleFirst + int64(i%3600),
			}})
		}
		_ = w.CloseWithError(b.Flush())
	}()
	began := time.Now()
	spent, spentDB := x.processorTime()
	created := 0
	err := x.server.Import(x.t.Context(), lines, func(a client.Imported) error {
		if a.Status != "created" {
			return fmt.Errorf("line %d: %s %s", a.Line, a.Status, a.Error)
		}
		created++
		return nil
	})
	if err != nil || created != x.n {
		x.t.Fatalf("%d of %d imported, %v", created, x.n, err)
	}
	x.imported = time.Since(began)
	x.spent, x.spentDB = x.processorTime()
	x.spent, x.spentDB = x.spent-spent, x.spentDB-spentDB
}

// restart ends the server and starts it again, a few times, and resumes its app:
// what a start takes is measured, and not the refreshes that are due or the answers
// in the journal.
func (x *scale) restart() {
	var took []time.Duration
	var resident []int64
	for range scaleStarts {
		x.server.interrupt()
		x.server.ended()
		x.server.process = nil
		began := time.Now()
		x.server.launch()
		every(x.t, 2*time.Millisecond, 5*time.Minute, "the server is ready", func() bool { return x.server.answers("/readyz") })
		took = append(took, time.Since(began))
		resident = append(resident, x.resident())
	}
	x.started, x.idle = median(took), median(resident)
	if _, err := x.server.ResumeApp(x.t.Context(), "app"); err != nil {
		x.t.Fatal(err)
	}
}

func median[T cmp.Ordered](all []T) T {
	slices.Sort(all)
	return all[len(all)/2]
}

// runs has readers read while refreshes go on.
func (x *scale) runs(load time.Duration) {
	began := time.Now()
	sends := x.oracle.Rotations()
	x.before = x.onDisk()
	ctx, stop := context.WithTimeout(x.t.Context(), load)
	defer stop()
	var readers sync.WaitGroup
	var mu sync.Mutex
	for r := range scaleReaders {
		readers.Go(func() {
			choices := rand.New(rand.NewPCG(uint64(r), 1))
			took, failed := x.reads(ctx, choices, []int{scaleHot, x.n}[r%2])
			mu.Lock()
			defer mu.Unlock()
			x.failed += failed
			if r%2 == 0 {
				x.hot = append(x.hot, took...)
			} else {
				x.cold = append(x.cold, took...)
			}
		})
	}
	readers.Wait()
	x.lasted = time.Since(began)
	x.refreshes = x.oracle.Rotations() - sends
	x.after = x.onDisk()
	x.loaded = x.resident()
	x.late50, x.late99 = x.lateness(0.5), x.lateness(0.99)
	if r := x.oracle.Report(); r.Overlaps != 0 || r.Unknown != 0 || r.Sends != r.Rotations || len(r.Dead) != 0 {
		x.t.Errorf("the provider saw %+v", r)
	}
	if x.failed != 0 {
		x.t.Errorf("%d reads failed", x.failed)
	}
}

// reads fetches tokens of the first so many connections until ctx ends.
func (x *scale) reads(ctx context.Context, choices *rand.Rand, among int) (took []time.Duration, failed int) {
	among = min(among, x.n)
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	for ctx.Err() == nil {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/connections/%s/token", x.server.api, ref(choices.IntN(among))), nil)
		r.Header.Set("Authorization", "Bearer "+x.server.key)
		began := time.Now()
		res, err := c.Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		switch {
		case ctx.Err() != nil:
		case err != nil || res.StatusCode != http.StatusOK:
			failed++
		default:
			took = append(took, time.Since(began))
		}
	}
	return took, failed
}

// lateness is a quantile of how late refreshes began, from the server's own
// histogram: the upper bound of the bucket it falls into.
func (x *scale) lateness(q float64) float64 {
	if x.refreshes == 0 {
		return -1
	}
	h := x.metric("evergrant_refresh_lateness_seconds").GetMetric()[0].GetHistogram()
	for _, b := range h.GetBucket() {
		if float64(b.GetCumulativeCount()) >= q*float64(h.GetSampleCount()) {
			return b.GetUpperBound()
		}
	}
	return -1
}

// resident is how much memory the server uses.
func (x *scale) resident() int64 {
	return int64(x.metric("process_resident_memory_bytes").GetMetric()[0].GetGauge().GetValue())
}

func (x *scale) onDisk() (size int64) {
	if x.name == "postgres" {
		return databaseSize(x.t, x.server)
	}
	_ = filepath.WalkDir(x.server.data, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), "evergrant.db") {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}

func scaleTable(runs []*scale) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	row := func(name string, value func(*scale) string) {
		fmt.Fprintf(w, "| %s\t|", name)
		for _, x := range runs {
			fmt.Fprintf(w, " %s\t|", value(x))
		}
		fmt.Fprintln(w)
	}
	mib := func(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
	ms := func(all []time.Duration, p float64) string {
		if len(all) == 0 {
			return "-"
		}
		slices.Sort(all)
		return fmt.Sprintf("%.2f ms", float64(all[int(p*float64(len(all)-1))])/1e6)
	}
	row("", func(x *scale) string { return x.name })
	row("---", func(*scale) string { return "---:" })
	row("imported per second", func(x *scale) string { return fmt.Sprintf("%.0f", float64(x.n)/x.imported.Seconds()) })
	each := func(d time.Duration, n int) string {
		return fmt.Sprintf("%.0f µs", float64(d.Microseconds())/float64(n))
	}
	row("processor time of the server for each", func(x *scale) string { return each(x.spent, x.n) })
	row("processor time of PostgreSQL for each", func(x *scale) string { return each(x.spentDB, x.n) })
	row("on disk after it, per connection", func(x *scale) string { return fmt.Sprintf("%d B", x.before/int64(x.n)) })
	row("start to ready, 1,000 connections", func(x *scale) string { return x.small.started.Round(time.Millisecond).String() })
	row("start to ready, all", func(x *scale) string { return x.started.Round(time.Millisecond).String() })
	row("resident after the start, 1,000 connections", func(x *scale) string { return mib(x.small.idle) })
	row("resident after the start, all", func(x *scale) string { return mib(x.idle) })
	row("resident under load, caches filled", func(x *scale) string { return mib(x.loaded) })
	row("refreshes per second", func(x *scale) string { return fmt.Sprintf("%.0f", float64(x.refreshes)/x.lasted.Seconds()) })
	row("lateness of refreshes, p50 at most", func(x *scale) string { return fmt.Sprintf("%g s", x.late50) })
	row("lateness of refreshes, p99 at most", func(x *scale) string { return fmt.Sprintf("%g s", x.late99) })
	row("token reads per second meanwhile", func(x *scale) string {
		return fmt.Sprintf("%.0f", float64(len(x.hot)+len(x.cold))/x.lasted.Seconds())
	})
	row("read of a cached connection, p50", func(x *scale) string { return ms(x.hot, 0.5) })
	row("read of a cached connection, p99", func(x *scale) string { return ms(x.hot, 0.99) })
	row("read of any connection, p50", func(x *scale) string { return ms(x.cold, 0.5) })
	row("read of any connection, p99", func(x *scale) string { return ms(x.cold, 0.99) })
	row("growth per million refreshes", func(x *scale) string {
		return mib(int64(float64(x.after-x.before) / float64(max(1, x.refreshes)) * 1e6))
	})
	_ = w.Flush()
	return b.String()
}
