package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

// faulty is the program built with the tag faults, once for the package.
var faulty = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "evergrant-faulty")
	out, err := exec.Command("go", "build", "-tags", "faults", "-o", path, "github.com/evergrant/evergrant/cmd/evergrant").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build the program with fault points: %w\n%s", err, out)
	}
	return path, err
})

// TestMatrix makes everything go wrong at every durable step of a refresh, under
// every rotation policy. Each case is a server of its own with one grant, which
// must come back to life by itself; where the oracle proves that the provider's
// answer was gone with the process, and using a token again is refused, it must
// be given up instead.
func TestMatrix(t *testing.T) { matrix(t, files()) }

// TestMatrixOnPostgreSQL is TestMatrix where the store outlives the process.
func TestMatrixOnPostgreSQL(t *testing.T) { matrix(t, databases(t)) }

// matrix runs all cases of a refresh in one store.
func matrix(t *testing.T, where site) {
	t.Helper()
	program, err := faulty()
	if err != nil {
		t.Fatal(err)
	}
	var all []*cell
	for _, policy := range []string{oracle.FamilyKill, oracle.Strict, oracle.Grace, oracle.RetireOnUse} {
		for _, s := range steps {
			for _, action := range actions {
				if s.happens(action, where) {
					all = append(all, &cell{site: where, step: s, action: action, policy: policy})
				}
			}
		}
	}
	together(t, all, atOnce, func(t *testing.T, c *cell) { c.run(t, program) })
	for _, policy := range []string{oracle.FamilyKill, oracle.Strict, oracle.Grace, oracle.RetireOnUse} {
		cases, rotations, sends, lost := 0, 0, 0, 0
		for _, c := range all {
			if c.policy != policy || c.oracle == nil {
				continue
			}
			r := c.oracle.Report()
			cases, rotations, sends = cases+1, rotations+r.Rotations, sends+r.Sends
			if c.lost {
				lost++
			}
		}
		t.Logf("%s: %d cases, %d rotations, %d sends, %d grants lost, each with proof", policy, cases, rotations, sends, lost)
	}
}

// atOnce is how many cases run at the same time. Most of them wait: for a request
// to be given up, a stopped process to go on, a probe to be due.
const atOnce = 128

// together runs each case as a test of its own, many at once.
func together[C fmt.Stringer](t *testing.T, cases []C, most int, run func(*testing.T, C)) {
	t.Helper()
	var all sync.WaitGroup
	room := make(chan struct{}, most)
	for _, c := range cases {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			t.Run(c.String(), func(t *testing.T) { run(t, c) })
		})
	}
	all.Wait()
}

// glance is how often a test asks a server how things are where many ask at once.
const glance = 250 * time.Millisecond

// seldom is the same for the cases of a matrix, which it costs most.
const seldom = 750 * time.Millisecond

// stopped is how long a stopped process stays so: longer than a request may take.
const stopped = 11 * time.Second

// cell is one case: one step, one action, one policy.
type cell struct {
	site
	step
	action, policy string

	t      *testing.T
	oracle *judge
	server *server
	struck time.Time
	dead   bool // the process did not survive
	stuck  bool // neither renewed nor given up
	lost   bool
}

func (c *cell) run(t *testing.T, program string) {
	c.begin(t, program)
	c.strike()
	c.settle()
	c.judge()
}

func (c *cell) String() string { return fmt.Sprintf("%s/%s: %s", c.policy, c.step.name, c.action) }

// fault is what happens, as in EVERGRANT_FAULT.
func (c *cell) fault() string {
	spec := c.point + "=" + c.action
	switch c.action {
	case "stop":
		spec = c.point + "=pause"
	case "down":
		after, at, chained := strings.Cut(c.point, ">")
		switch {
		case !chained:
			spec = c.point + ">store.before-commit=error@1+3s"
		case at == "store.before-commit":
			spec = c.point + "=error@1+3s"
		default: // after one COMMIT: the next one
			spec = after + ">store.before-commit=error@2+3s"
		}
	}
	if c.with != "" {
		spec += "," + c.with
	}
	return spec
}

// begin starts a server whose one grant is due in two seconds.
func (c *cell) begin(t *testing.T, program string) {
	t.Helper()
	c.t = t
	c.oracle = newJudge(t, oracle.Options{
		Rotation: c.policy, Window: 30 * time.Minute, AccessLife: time.Hour, SameSuccessor: c.policy == oracle.Grace,
	})
	troubled := false
	c.oracle.SetFault(func(oracle.Send) oracle.Fault { // under the oracle's lock
		if troubled {
			return oracle.Fault{}
		}
		troubled = true
		return c.trouble
	})
	c.server = c.prepare(t)
	c.server.program, c.server.quiet = program, true
	c.server.configure(app(c.oracle.url, c.policy, "refresh: {min_interval: 1s}"), "")
	spec := c.fault()
	if c.first != "" {
		spec = c.first
	}
	c.server.env = []string{"EVERGRANT_FAULT=" + spec}
	c.start()
	c.server.adopt(c.oracle, 1, 2)
	c.server.CloseIdleConnections()
}

// start starts a process when few others do.
func (c *cell) start() {
	c.t.Helper()
	c.starting <- struct{}{}
	defer func() { <-c.starting }()
	c.server.start()
}

// strike waits until the fault has happened, and goes on from there.
func (c *cell) strike() {
	c.t.Helper()
	if c.first != "" {
		c.died()
		c.server.env = []string{"EVERGRANT_FAULT=" + c.fault()}
		c.server.launch()
	}
	spec := c.fault()
	if c.with != "" {
		spec = strings.TrimSuffix(spec, ","+c.with)
	}
	point, action, _ := strings.Cut(spec[strings.Index(spec, ">")+1:], "=")
	action, _, _ = strings.Cut(action, "@")
	line := fmt.Appendf(nil, "fault: %s=%s\n", point, action)
	pace := 20 * time.Millisecond
	if c.action == "down" {
		pace = seldom
	}
	every(c.t, pace, time.Minute, "the fault", func() bool {
		if c.action == "down" && c.renewed() {
			_, _ = c.server.Refresh(c.t.Context(), ref(1)) // nothing was left to be written
		}
		return bytes.Contains(c.server.logged(), line)
	})
	c.struck = time.Now()
	c.server.env = nil
	switch c.action {
	case "kill":
		c.died()
		c.dead = true
		c.start()
	case "panic":
		c.survive()
	case "pause", "stop":
		c.resume()
	}
}

// renewed reports whether the grant is there and was renewed.
func (c *cell) renewed() bool {
	all, err := c.server.Grants(c.t.Context(), ref(1))
	return err == nil && len(all) == 1 && all[0].Seq > 0
}

// died waits for the end of a process that kills itself.
func (c *cell) died() {
	c.t.Helper()
	select {
	case <-c.server.exited:
		c.server.process = nil
	case <-time.After(time.Minute):
		c.t.Fatal("the process lives on")
	}
}

// survive waits for what becomes of a panic, and starts another process if it
// was the end of this one.
func (c *cell) survive() {
	c.t.Helper()
	eventually(c.t, time.Minute, "the panic is over", func() bool {
		select {
		case <-c.server.exited:
			c.server.process, c.dead = nil, true
			return true
		default:
			return bytes.Contains(c.server.logged(), []byte(`"panic":"fault at `))
		}
	})
	if c.dead {
		c.start()
	}
}

// resume lets a stopped process go on after a while, or ends it as it stands.
func (c *cell) resume() {
	c.t.Helper()
	eventually(c.t, time.Minute, "the process stands still", func() bool { return c.server.state() == "T" })
	left := time.NewTimer(time.Until(c.struck.Add(stopped)))
	defer left.Stop()
	<-left.C
	if c.action == "stop" {
		c.server.kill()
		c.dead = true
		c.start()
		return
	}
	if err := c.server.process.Process.Signal(syscall.SIGCONT); err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, time.Minute, "ready again", func() bool { return c.server.answers("/readyz") })
}

// settle waits until the grant is renewed or given up.
func (c *cell) settle() {
	c.t.Helper()
	defer c.server.CloseIdleConnections()
	var g client.Grant
	patience := time.NewTimer(time.Until(c.struck.Add(stopped + time.Minute)))
	defer patience.Stop()
	poll := time.NewTicker(seldom)
	defer poll.Stop()
	for {
		g = c.server.grant(ref(1))
		if c.lost = g.State == "needs_reauthorization"; c.lost || g.State == "connected" && g.Seq > 0 {
			return
		}
		select {
		case <-poll.C:
		case <-patience.C:
			c.t.Errorf("the grant is neither renewed nor given up; it is %s (%s), due at %v\n%s\n%s",
				g.State, g.Reason, g.DueAt, c.sends(), tail(c.server.logged()))
			c.stuck = true
			return
		}
	}
}

// judge compares what became of the grant with what the oracle saw.
func (c *cell) judge() {
	t := c.t
	t.Helper()
	if c.stuck {
		return
	}
	r := c.oracle.Report()
	if r.Overlaps != 0 || r.TwoLate != 0 || r.Unknown != 0 || wentBack(c.oracle.Sends()) != 0 {
		t.Errorf("the provider saw %+v, %d tokens after their successors", r, wentBack(c.oracle.Sends()))
	}
	single := c.policy == oracle.Strict || c.policy == oracle.FamilyKill
	want := single && (c.step.lost || c.killed && c.dead)
	if c.lost != want {
		t.Errorf("lost is %v, want %v\n%s\n%s", c.lost, want, c.sends(), tail(c.server.logged()))
	}
	if _, proven := c.oracle.Cut(business(1)); single && c.lost != proven {
		t.Errorf("lost is %v, and that the provider's answer did not arrive is %v\n%s", c.lost, proven, c.sends())
	}
	if c.lost {
		return
	}
	token, err := c.server.Token(t.Context(), ref(1), nil)
	if err != nil {
		t.Errorf("renewed and no token: %v", err)
		return
	}
	if !c.oracle.AccessValid(token.AccessToken) {
		t.Error("the token served does not work")
	}
	// Another refresh begins only if no attempt was left open.
	var res []client.RefreshedGrant
	every(t, seldom, time.Minute, "another refresh", func() bool {
		res, err = c.server.Refresh(t.Context(), ref(1))
		return err == nil && len(res) == 1 && res[0].Refreshed
	})
	c.server.kill()
}

// sends words what the oracle saw.
func (c *cell) sends() string {
	var b strings.Builder
	for _, s := range c.oracle.Sends() {
		fmt.Fprintf(&b, "generation %d while %d is current: %s\n", s.Generation, s.Current, s.Outcome)
	}
	return b.String()
}

// state is the state of the process as Linux shows it: T if it is stopped, ""
// if it is gone.
func (s *server) state() string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return after[:1]
}
