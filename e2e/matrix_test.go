package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// step is a durable step of a refresh, or the gap beside one, at which
// everything that can go wrong is made to go wrong.
type step struct {
	name  string
	point string // as in EVERGRANT_FAULT, without its action
	with  string // faults that lead there
	first string // the fault an earlier process died of, if the step is its successor's

	// trouble is how the provider answers the first request, if not well.
	trouble oracle.Fault
	// lost: the tokens that the provider issued are gone when the fault has
	// happened, whatever it is; killed: when it ends the process.
	lost, killed bool
	// cannot are the actions that make no sense here.
	cannot []string
}

// A commit is tried five times before its token is served from the journal, and
// goes on in the background: seven failures let the second of those succeed.
var unwritable = strings.Join([]string{
	"refresh.before-commit=error@1", "refresh.before-commit=error@2", "refresh.before-commit=error@3", "refresh.before-commit=error@4",
	"refresh.before-commit=error@5", "refresh.before-commit=error@6", "refresh.before-commit=error@7",
}, ",")

var steps = []step{
	{name: "before a claim", point: "refresh.before-claim"},
	{name: "before the COMMIT of a claim", point: "refresh.before-claim>store.before-commit"},
	{name: "after the COMMIT of a claim", point: "refresh.before-claim>store.committed", cannot: []string{"error"}},
	{name: "claimed", point: "refresh.claimed"},
	{name: "before sending", point: "refresh.before-send"},
	{name: "answer received", point: "refresh.received", killed: true, cannot: []string{"error"}},
	{name: "before the journal is written", point: "spool.before-write", killed: true},
	{name: "journal written", point: "spool.written"},
	{name: "before a commit", point: "refresh.before-commit"},
	{name: "before the COMMIT of a commit", point: "refresh.before-commit>store.before-commit"},
	{name: "after the COMMIT of a commit", point: "refresh.before-commit>store.committed", cannot: []string{"error"}},
	{name: "committed", point: "refresh.committed"},
	{name: "before the journal is marked", point: "spool.before-done"},

	{name: "store down, before the journal is flushed", with: unwritable, point: "spool.before-sync"},
	{name: "store down, journal flushed", with: unwritable, point: "spool.synced"},
	{name: "store down, before the journal is written", with: unwritable, point: "spool.before-write", killed: true, cannot: []string{"pause"}},
	{name: "store down, journal cannot be written", with: unwritable + ",spool.before-write=error@2", point: "spool.before-write", cannot: []string{"kill", "pause"}},

	{name: "provider fails, before settling", trouble: failing, point: "refresh.before-settle"},
	{name: "provider fails, before the COMMIT of settling", trouble: failing, point: "refresh.before-settle>store.before-commit"},
	{name: "provider fails, after the COMMIT of settling", trouble: failing, point: "refresh.before-settle>store.committed", cannot: []string{"error"}},
	{name: "provider fails, settled", trouble: failing, point: "refresh.settled"},

	{name: "answer cut off, before settling", trouble: oracle.Fault{LoseAnswer: true}, point: "refresh.before-settle", lost: true},
	{name: "answer cut off, settled", trouble: oracle.Fault{LoseAnswer: true}, point: "refresh.settled", lost: true},

	{name: "answer unusable, before parking", trouble: unusable, point: "refresh.before-park", lost: true},
	{name: "answer unusable, before the COMMIT of parking", trouble: unusable, point: "refresh.before-park>store.before-commit", lost: true},
	{name: "answer unusable, parked", trouble: unusable, point: "refresh.parked", lost: true},

	{name: "recovering, before a commit", first: "spool.written=kill", point: "refresh.before-commit", cannot: []string{"error"}},
	{name: "recovering, before its COMMIT", first: "spool.written=kill", point: "refresh.before-commit>store.before-commit", cannot: []string{"error"}},
	{name: "recovering, committed", first: "spool.written=kill", point: "refresh.committed", cannot: []string{"error"}},
	{name: "recovering, before the journal is marked", first: "spool.written=kill", point: "spool.before-done", cannot: []string{"error"}},
	{name: "recovering what was committed, before the journal is marked", first: "refresh.committed=kill", point: "spool.before-done", cannot: []string{"error"}},
}

var (
	failing  = oracle.Fault{Status: 500, Body: "out of order"}
	unusable = oracle.Fault{Edit: func(answer map[string]any) { delete(answer, "access_token") }}
)

// TestMatrix makes everything go wrong at every durable step of a refresh, under
// every rotation policy: the process dies as by kill -9, an operation fails, or
// the process stops for longer than a request may take. Each case is a server of
// its own with one grant, which must come back to life by itself; where the
// oracle proves that the provider's answer was gone with the process, and using
// a token again is refused, it must be given up instead.
func TestMatrix(t *testing.T) {
	program, err := faulty()
	if err != nil {
		t.Fatal(err)
	}
	for _, policy := range []string{oracle.FamilyKill, oracle.Strict, oracle.Grace, oracle.RetireOnUse} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			var m matrix
			for _, s := range steps {
				for _, action := range []string{"kill", "error", "pause"} {
					if !slices.Contains(s.cannot, action) {
						m = append(m, &cell{step: s, action: action, policy: policy})
					}
				}
			}
			m.run(t, program)
		})
	}
}

// matrix is the cases of one policy. They go through their phases together, so
// that all wait at once for what takes its time.
type matrix []*cell

// stopped is how long a stopped process stays so: longer than a request may take.
const stopped = 11 * time.Second

func (m matrix) run(t *testing.T, program string) {
	t.Helper()
	for _, c := range m {
		c.begin(t, program)
	}
	for _, c := range m {
		c.strike()
	}
	for _, c := range m {
		c.resume()
	}
	for _, c := range m {
		c.settle()
	}
	rotations, sends, lost := 0, 0, 0
	for _, c := range m {
		c.judge()
		r := c.oracle.Report()
		rotations, sends = rotations+r.Rotations, sends+r.Sends
		if c.lost {
			lost++
		}
	}
	t.Logf("%d cases: %d rotations, %d sends, %d grants lost, each with proof", len(m), rotations, sends, lost)
}

// cell is one case: one step, one action, one policy.
type cell struct {
	step
	action, policy string

	t      *testing.T
	oracle *judge
	server *server
	struck time.Time
	stuck  bool // neither renewed nor given up
	lost   bool
}

func (c *cell) String() string { return fmt.Sprintf("%s: %s (%s)", c.name, c.action, c.point) }

func (c *cell) fault() string {
	spec := c.point + "=" + c.action
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
	c.server = newServer(t)
	c.server.program, c.server.quiet = program, true
	c.server.configure(app(c.oracle.url, c.policy, "refresh: {min_interval: 1s}"), "")
	spec := c.fault()
	if c.first != "" {
		spec = c.first
	}
	c.server.env = []string{"EVERGRANT_FAULT=" + spec}
	c.server.start()
	c.server.adopt(c.oracle, 1, 2)
	c.server.CloseIdleConnections()
}

// strike waits until the fault has happened.
func (c *cell) strike() {
	c.t.Helper()
	if c.first != "" {
		c.died()
		c.server.env = []string{"EVERGRANT_FAULT=" + c.fault()}
		c.server.launch()
	}
	point := c.point[strings.Index(c.point, ">")+1:]
	line := fmt.Appendf(nil, "fault: %s=%s\n", point, c.action)
	eventually(c.t, time.Minute, c.String(), func() bool { return bytes.Contains(c.server.logged(), line) })
	c.struck = time.Now()
	c.server.env = nil
	switch c.action {
	case "kill":
		c.died()
		c.server.start()
	case "pause":
		eventually(c.t, time.Minute, c.String(), func() bool { return c.server.state() == "T" })
	}
}

// died waits for the end of a process that kills itself.
func (c *cell) died() {
	c.t.Helper()
	select {
	case <-c.server.exited:
		c.server.process = nil
	case <-time.After(time.Minute):
		c.t.Fatalf("%s: the process lives on", c)
	}
}

// resume lets a stopped process go on after a while.
func (c *cell) resume() {
	c.t.Helper()
	if c.action != "pause" {
		return
	}
	left := time.NewTimer(time.Until(c.struck.Add(stopped)))
	defer left.Stop()
	<-left.C
	if err := c.server.process.Process.Signal(syscall.SIGCONT); err != nil {
		c.t.Fatalf("%s: %v", c, err)
	}
	eventually(c.t, time.Minute, "ready again after "+c.String(), func() bool { return c.server.answers("/readyz") })
}

// settle waits until the grant is renewed or given up.
func (c *cell) settle() {
	c.t.Helper()
	defer c.server.CloseIdleConnections()
	var g client.Grant
	patience := time.NewTimer(time.Until(c.struck.Add(stopped + time.Minute)))
	defer patience.Stop()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		g = c.server.grant(ref(1))
		if c.lost = g.State == "needs_reauthorization"; c.lost || g.State == "connected" && g.Seq > 0 {
			return
		}
		select {
		case <-poll.C:
		case <-patience.C:
			c.t.Errorf("%s: the grant is neither renewed nor given up; it is %s (%s), due at %v\n%s\n%s",
				c, g.State, g.Reason, g.DueAt, c.sends(), tail(c.server.logged()))
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
		t.Errorf("%s: the provider saw %+v, %d tokens after their successors", c, r, wentBack(c.oracle.Sends()))
	}
	single := c.policy == oracle.Strict || c.policy == oracle.FamilyKill
	want := single && (c.step.lost || c.killed && c.action == "kill")
	if c.lost != want {
		t.Errorf("%s: lost is %v, want %v\n%s\n%s", c, c.lost, want, c.sends(), tail(c.server.logged()))
	}
	if _, proven := c.oracle.Cut(business(1)); single && c.lost != proven {
		t.Errorf("%s: lost is %v, and that the provider's answer did not arrive is %v\n%s", c, c.lost, proven, c.sends())
	}
	if c.lost {
		return
	}
	token, err := c.server.Token(t.Context(), ref(1), nil)
	if err != nil {
		t.Errorf("%s: renewed and no token: %v", c, err)
		return
	}
	if !c.oracle.AccessValid(token.AccessToken) {
		t.Errorf("%s: the token served does not work", c)
	}
	// Another refresh begins only if no attempt was left open.
	var res []client.RefreshedGrant
	eventually(t, time.Minute, "another refresh after "+c.String(), func() bool {
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
