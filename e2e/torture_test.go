//go:build torture

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

const (
	tortureGrants = 60
	tortureLife   = 20 * time.Second // of the access tokens
)

// TestTorture makes things go wrong at random for as long as DURATION says,
// under four rotation policies at once, and prints one table of what came of
// it. It fails if a promise is broken. See make torture.
func TestTorture(t *testing.T) {
	program, err := faulty()
	if err != nil {
		t.Fatal(err)
	}
	duration, err := time.ParseDuration(os.Getenv("DURATION"))
	if err != nil {
		t.Fatalf("DURATION: %v", err)
	}
	s, commit := seed(t), head()
	policies := []string{oracle.Grace, oracle.RetireOnUse, oracle.Strict, oracle.FamilyKill}
	runs := make([]*torture, len(policies))
	t.Run("policies", func(t *testing.T) {
		for i, policy := range policies {
			runs[i] = &torture{policy: policy, program: program, choices: rand.New(rand.NewPCG(s, uint64(i))), lost: map[int]bool{}}
			t.Run(policy, func(t *testing.T) {
				t.Parallel()
				runs[i].t = t
				runs[i].run(time.Now().Add(duration))
				runs[i].judge()
			})
		}
	})
	fmt.Printf("\ncommit %s, seed %d, %v on %d cores, %d grants per policy\n\n%s", commit, s, duration, runtime.NumCPU(), tortureGrants, tortureTable(runs))
}

// head is the commit that is checked out, while the program under test is new.
func head() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// torture is one policy's run.
type torture struct {
	t       *testing.T
	policy  string
	program string
	choices *rand.Rand
	oracle  *witness
	server  *server
	action  string    // of the fault that the running process is to see
	alive   time.Time // when it was last seen to run

	grants atomic.Int64 // businesses 0 to grants-1 were adopted
	mu     sync.Mutex
	lost   map[int]bool // of them, those that have to authorize again
	blows  []blow
	stalls stalls
	tally  tally

	recovering sync.WaitGroup
}

// tally is what a run counts.
type tally struct {
	kills, pauses, errors, terms int
	starts                       int          // that failed
	troubles                     atomic.Int64 // requests the provider answered badly or not at all
	used, expired, unusable      atomic.Int64 // tokens handed out; of them ended ones, and others that were refused
	recovery                     []time.Duration
	outlived                     int // recoveries that never came: the grant was lost
	report                       oracle.Report
	back                         int
	unexplained                  []string
	worst                        int // grants lost with one process
}

func (x *torture) faults() int64 {
	n := &x.tally
	return int64(n.kills+n.pauses+n.errors+n.terms) + n.troubles.Load()
}

// run makes things go wrong until a moment, and lets the last process come to rest.
func (x *torture) run(until time.Time) {
	x.oracle = newWitness(x.t, oracle.Options{Rotation: x.policy, Window: 30 * time.Minute, AccessLife: tortureLife})
	x.oracle.SetFault(x.trouble(rand.New(rand.NewPCG(x.choices.Uint64(), 0))))
	x.server = newServer(x.t)
	x.server.program = x.program
	x.server.configure(app(x.oracle.url, x.policy, "refresh: {min_interval: 1s}"), "")
	x.server.start()
	for range tortureGrants {
		x.adopt()
	}
	calling, stop := context.WithCancel(x.t.Context())
	go x.stalls.watch(calling)
	called := make(chan struct{})
	choice := x.choices.Uint64()
	go func() { defer close(called); x.call(calling, choice) }()
	for time.Now().Before(until) {
		x.blow()
	}
	if x.server.process != nil && x.action != "" {
		x.kill() // its fault may be still to come
	}
	x.server.env = nil
	if x.server.process == nil {
		x.server.start()
	}
	x.oracle.SetFault(nil)
	x.rest(time.Now())
	stop()
	<-called
	x.recovering.Wait()
}

// adopt gives the server another grant.
func (x *torture) adopt() {
	n := x.grants.Load()
	x.server.adopt(x.oracle.judge, int(n), 2+n%18)
	x.grants.Add(1)
}

// trouble is a provider that takes its time, fails, and loses requests and answers.
func (x *torture) trouble(choices *rand.Rand) func(oracle.Send) oracle.Fault {
	return func(oracle.Send) oracle.Fault { // under the oracle's lock
		switch p := choices.Float64(); {
		case p < 0.01:
			x.tally.troubles.Add(1)
			return oracle.Fault{LoseRequest: true}
		case p < 0.015:
			x.tally.troubles.Add(1)
			return oracle.Fault{LoseAnswer: true}
		case p < 0.035:
			x.tally.troubles.Add(1)
			return oracle.Fault{Status: 500, Body: "out of order"}
		}
		all := time.Duration(choices.Int64N(int64(150 * time.Millisecond)))
		before := time.Duration(choices.Int64N(int64(all) + 1))
		return oracle.Fault{Before: before, After: all - before}
	}
}

// blow lets a process live for a while with a fault to come, or ends that life
// in one of the ways a process ends.
func (x *torture) blow() {
	if x.server.process == nil {
		x.live()
	}
	switch x.watch(300*time.Millisecond + time.Duration(x.choices.Int64N(int64(2*time.Second)))) {
	case "ended":
		switch {
		case x.action == "kill":
			x.died(x.alive)
		case x.action == "error" && x.server.startFailed():
			// What the last process left could not be committed, so nothing was sent.
			x.tally.starts++
		default:
			x.t.Fatalf("the process ended by itself; it was to see %v", x.server.env)
		}
	case "stopped":
		x.freeze()
	default:
		x.end()
	}
}

// live starts a process, every second one with a fault to come.
func (x *torture) live() {
	x.server.env, x.action = nil, ""
	if x.choices.IntN(2) == 0 {
		var spec string
		spec, x.action = x.fault()
		x.server.env = []string{"EVERGRANT_FAULT=" + spec}
	}
	if x.action == "error" {
		x.tally.errors++
	}
	x.server.launch()
}

// fault picks an action and a durable step for it.
func (x *torture) fault() (spec, action string) {
	for {
		s := steps[x.choices.IntN(len(steps))]
		action = []string{"kill", "kill", "error", "pause"}[x.choices.IntN(4)]
		// An error while recovering ends the start; what leads to a step beside
		// the one fault is the matrix's.
		if strings.Contains(strings.Join(s.cannot, " "), action) || s.with != "" || s.first != "" && action != "kill" {
			continue
		}
		if x.choices.IntN(4) > 0 && action == "pause" {
			continue // they take long
		}
		return fmt.Sprintf("%s=%s@%d", s.point, action, 1+x.choices.IntN(4)), action
	}
}

// watch waits for d and reports whether the process ended or stopped meanwhile.
func (x *torture) watch(d time.Duration) string {
	x.alive = time.Now()
	over := time.NewTimer(d)
	defer over.Stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-x.server.exited:
			x.server.process = nil
			return "ended"
		case <-over.C:
			return "lives"
		case <-poll.C:
			now := time.Now()
			switch x.server.state() {
			case "T":
				return "stopped"
			case "", "Z": // dead, and about to be heard of
			default:
				x.alive = now
			}
		}
	}
}

// startFailed reports whether the process that has just ended never ran.
func (s *server) startFailed() bool {
	lines := bytes.Split(bytes.TrimSpace(s.logged()), []byte("\n"))
	return bytes.HasPrefix(lines[len(lines)-1], []byte("evergrant: start: "))
}

// died takes in that the process is gone, and did nothing any more from a moment on.
func (x *torture) died(from time.Time) {
	x.tally.kills++
	x.blows = append(x.blows, blow{process: x.server.lives, from: from})
	x.recover()
}

// freeze leaves a stopped process so for a while, and then lets it go on or ends it.
func (x *torture) freeze() {
	x.tally.pauses++
	from := x.alive
	x.wait(time.Second + time.Duration(x.choices.Int64N(int64(stopped))))
	if x.choices.IntN(2) == 0 {
		x.server.kill()
		x.died(from)
		return
	}
	x.signal(syscall.SIGCONT)
	x.blows = append(x.blows, blow{process: x.server.lives, from: from, to: time.Now()})
}

// end ends a life that no fault has ended, or has the next one begin with it.
func (x *torture) end() {
	switch p := x.choices.IntN(20); {
	case p < 1:
		x.signal(syscall.SIGSTOP)
		x.freeze()
	case p < 3 && x.action == "":
		x.ready()
		x.tally.terms++
		x.server.interrupt()
		x.server.ended()
	case p < 5 && x.action == "":
		x.ready()
		x.census()
	default:
		x.kill()
	}
}

// ready waits for a process to which no fault is to happen.
func (x *torture) ready() {
	eventually(x.t, time.Minute, "the server is ready", func() bool { return x.server.answers("/readyz") })
}

func (x *torture) signal(s syscall.Signal) {
	// A fault may have ended it a moment ago; then the next look finds it gone.
	if err := x.server.process.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		x.t.Fatal(err)
	}
}

func (x *torture) kill() {
	from := time.Now()
	if s := x.server.state(); s == "" || s == "Z" {
		from = x.alive // its fault was first
	}
	x.server.kill()
	x.died(from)
}

// wait lets time pass.
func (x *torture) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-x.t.Context().Done():
	}
}

// census replaces the grants that are lost. No fault is about to happen.
func (x *torture) census() {
	for n := range int(x.grants.Load()) {
		if !x.isLost(n) && x.server.grant(ref(n)).State == "needs_reauthorization" {
			x.lose(n)
			x.adopt()
		}
	}
}

func (x *torture) isLost(n int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.lost[n]
}

func (x *torture) lose(n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lost[n] = true
}

// recover measures how long it takes from now until a grant's token is handed
// out and works, whatever else happens meanwhile: more deaths and stops count
// too, because leaving those out would leave out the longest.
func (x *torture) recover() {
	n, from := x.choices.IntN(int(x.grants.Load())), time.Now()
	for x.isLost(n) { // before; there are always others
		n = x.choices.IntN(int(x.grants.Load()))
	}
	x.recovering.Go(func() {
		poll := time.NewTicker(10 * time.Millisecond)
		defer poll.Stop()
		for !x.isLost(n) && x.t.Context().Err() == nil {
			if _, ok := x.fetch(x.t.Context(), n); ok {
				x.mu.Lock()
				x.tally.recovery = append(x.tally.recovery, time.Since(from))
				x.mu.Unlock()
				return
			}
			<-poll.C
		}
		x.mu.Lock()
		x.tally.outlived++
		x.mu.Unlock()
	})
}

// call is an app that fetches tokens and uses them, through everything.
func (x *torture) call(ctx context.Context, choice uint64) {
	choices := rand.New(rand.NewPCG(choice, 1))
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
			x.fetch(ctx, choices.IntN(int(x.grants.Load())))
		}
	}
}

// fetch gets a token and uses it; the token must work.
func (x *torture) fetch(ctx context.Context, n int) (string, bool) {
	patience, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	token, err := x.server.Token(patience, ref(n), nil)
	if err != nil {
		return "", false // the server is down, or the grant is lost or not settled
	}
	x.tally.used.Add(1)
	if x.oracle.AccessValid(token.AccessToken) {
		return token.AccessToken, true
	}
	// A probe under family_kill may have ended the grant a moment ago.
	_, dead := x.oracle.Dead(business(n))
	switch {
	case !time.Now().Before(token.Expiry):
		x.tally.expired.Add(1)
	case !dead:
		x.tally.unusable.Add(1)
	}
	return "", false
}
