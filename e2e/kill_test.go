package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

const (
	kills      = 84 // of each run: more than 500 of each store
	killGrants = 50
)

// TestKill is the promise in one test: a process that is killed at any moment
// costs no grant where the provider lets a refresh be repeated, and where a
// refresh token works once only those whose answer was cut off on its way.
//
// Of tokens of 20 s many have ended when a server comes back. Those of a minute
// are renewed within the half minute before they end, the adopted ones too.
func TestKill(t *testing.T) { killAtRandom(t, newServer, 0) }

// TestKillOnPostgreSQL is TestKill where the store outlives the process and has
// to find out that it is gone. For the two seconds in which it may live still a
// new process sends nothing.
func TestKillOnPostgreSQL(t *testing.T) {
	killAtRandom(t, func(t *testing.T) *server { return newReplica(t, database(t), nil) }, 2*time.Second)
}

// killAtRandom kills processes that live for a while, and for up to 0.9 s more.
func killAtRandom(t *testing.T, server func(*testing.T) *server, while time.Duration) {
	t.Helper()
	s := seed(t)
	short := lives{full: 20 * time.Second, least: 2 * time.Second}
	long := lives{full: time.Minute, least: 40 * time.Second, renewal: "refresh: {window: 30s}"}
	all := []*killing{
		{policy: oracle.Static, lives: long},
		{policy: oracle.Lenient, lives: long},
		{policy: oracle.Grace, lives: short},
		{policy: oracle.RetireOnUse, lives: short},
		{policy: oracle.Strict, lives: short},
		{policy: oracle.FamilyKill, lives: short},
	}
	for i, k := range all {
		k.choices = rand.New(rand.NewPCG(s, uint64(i)))
	}
	together(t, all, atOnce, func(t *testing.T, k *killing) {
		k.t, k.server, k.while = t, server(t), while
		k.run()
		k.judge()
	})
	for _, l := range []lives{long, short} {
		var r recoveries
		for _, k := range all {
			if k.lives == l {
				r.add(&k.recoveries)
			}
		}
		t.Logf("from a kill to a token that works, with tokens of %v: %v", l.full, &r)
	}
}

// lives is how long access tokens live.
type lives struct {
	full    time.Duration
	least   time.Duration // what an adopted one has left at least
	renewal string        // configures it; "" leaves it to the server
}

// adopted is what the n-th adopted token has left, in seconds.
func (l lives) adopted(n int) int64 {
	return int64(l.least/time.Second) + int64(n)%int64((l.full-l.least)/time.Second)
}

// killing is one policy's run.
type killing struct {
	policy  string
	lives   lives
	while   time.Duration
	choices *rand.Rand

	t      *testing.T
	oracle *witness
	server *server
	deaths []time.Time // of the processes, in their order
	lost   []string    // businesses that have to authorize again

	recoveries     recoveries   // where no grant can be lost
	used, unusable atomic.Int64 // tokens a caller was handed, and of them those the API refused
}

func (k *killing) String() string { return k.policy }

// resendable reports whether the policy never costs a grant.
func (k *killing) resendable() bool {
	return k.policy != oracle.Strict && k.policy != oracle.FamilyKill
}

// run kills the server again and again, and lets the last process come to rest.
func (k *killing) run() {
	k.oracle = newWitness(k.t, oracle.Options{
		// A repetition brings a new pair. The oracle could repeat the pair it gave
		// before, but after two kills that pair has ended, and no real server
		// answers with a token that has.
		Rotation: k.policy, Window: 30 * time.Minute, AccessLife: k.lives.full,
	})
	delays := rand.New(rand.NewPCG(k.choices.Uint64(), 0))
	k.oracle.SetFault(func(oracle.Send) oracle.Fault { // under the oracle's lock
		all := time.Duration(delays.Int64N(int64(150 * time.Millisecond)))
		before := time.Duration(delays.Int64N(int64(all) + 1))
		return oracle.Fault{Before: before, After: all - before}
	})
	k.server.configure(app(k.oracle.url, k.policy, k.lives.renewal), "")
	k.server.start()
	for n := range killGrants {
		k.server.adopt(k.oracle.judge, n, k.lives.adopted(n))
	}
	calling, stop := context.WithCancel(k.t.Context())
	called := make(chan struct{})
	choices := k.choices.Uint64()
	go func() { defer close(called); k.call(calling, choices) }()
	for range kills {
		k.wait(k.while + 50*time.Millisecond + time.Duration(k.choices.Int64N(int64(850*time.Millisecond))))
		death := time.Now()
		k.deaths = append(k.deaths, death)
		k.server.kill()
		if n := k.choices.IntN(killGrants); k.resendable() {
			k.recoveries.watch(calling, death, func() bool { return k.fetch(calling, n) })
		}
		k.server.start()
	}
	last := time.Now()
	settled := make(map[int]bool)
	eventually(k.t, 90*time.Second, "every grant is renewed or given up after the last kill", func() bool {
		for n := range killGrants {
			if !settled[n] {
				settled[n] = k.settled(n, last)
			}
			if !settled[n] {
				return false
			}
		}
		return true
	})
	if len(k.lost) == 0 {
		k.recoveries.pending.Wait()
	}
	stop()
	k.recoveries.pending.Wait()
	<-called
}

// wait lets the processes run for d.
func (k *killing) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-k.t.Context().Done():
	}
}

// call is an app that fetches tokens and uses them, through all the kills.
func (k *killing) call(ctx context.Context, choice uint64) {
	choices := rand.New(rand.NewPCG(choice, 1))
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		k.fetch(ctx, choices.IntN(killGrants))
	}
}

// fetch gets a token and uses it, and reports whether there was one that works.
func (k *killing) fetch(ctx context.Context, n int) bool {
	patience, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	token, err := k.server.Token(patience, ref(n), nil)
	if err != nil {
		return false // the server is down, or the grant is lost or not settled
	}
	k.used.Add(1)
	if !k.oracle.AccessValid(token.AccessToken) {
		k.unusable.Add(1)
		return false
	}
	return true
}

// settled reports whether a grant was renewed after a moment, and gives a token
// that works, or is lost.
func (k *killing) settled(n int, after time.Time) bool {
	g := k.server.grant(ref(n))
	switch {
	case g.State == "needs_reauthorization":
		k.lost = append(k.lost, business(n))
		return true
	case g.State != "connected" || g.IssuedAt.Before(after):
		return false
	}
	token, err := k.server.Token(k.t.Context(), ref(n), nil)
	if err != nil {
		k.t.Fatalf("%s is connected and has no token: %v", ref(n), err)
	}
	if !k.oracle.AccessValid(token.AccessToken) {
		k.t.Errorf("%s is connected and its token does not work", ref(n))
	}
	return true
}

// judge compares what happened with what the oracle saw.
func (k *killing) judge() {
	t, r := k.t, k.oracle.Report()
	explained := map[string]int{}
	for _, name := range k.lost {
		cut, ok := k.oracle.Cut(name)
		if !ok {
			t.Errorf("%s is lost and no rotation of it was cut off", name)
			continue
		}
		how, ok := k.explain(cut)
		if !ok {
			t.Errorf("%s is lost and no kill explains it: %s\nthe log says of it:\n%s", name, how, k.about(name, cut))
			continue
		}
		explained[how]++
	}
	repetitions := fmt.Sprintf("%d repeated one whose answer was cut off", repeated(k.oracle.Sends()))
	if k.policy == oracle.Static { // every send presents the one token
		repetitions = "those that repeated one cannot be told apart"
	}
	t.Logf("%s: %d kills, %d rotations, %d sends (%s), %d answers recovered from the journal, "+
		"%d tokens used; %d grants of %d lost, their answers %v; "+
		"from a kill to a token that works: %v",
		k.policy, kills, r.Rotations, r.Sends, repetitions, k.recovered(), k.used.Load(),
		len(k.lost), killGrants, explained, &k.recoveries)
	if k.resendable() && len(k.lost) > 0 {
		t.Errorf("lost %v under %s", k.lost, k.policy)
	}
	if r.Overlaps != 0 || r.Unknown != 0 {
		t.Errorf("%d sends overlapped and %d tokens were never issued", r.Overlaps, r.Unknown)
	}
	if n := wentBack(k.oracle.Sends()); n != 0 {
		t.Errorf("%d refresh tokens were presented after one of their successors", n)
	}
	// Where every repetition brings a new pair, a token whose answers were cut off
	// twice is two generations late through nobody's fault.
	if r.TwoLate != 0 && !k.resendable() {
		t.Errorf("%d refresh tokens were presented two generations late", r.TwoLate)
	}
	if n := k.unusable.Load(); n != 0 {
		t.Errorf("%d tokens of %d that were handed out did not work", n, k.used.Load())
	}
	if r.Rotations < kills {
		t.Errorf("only %d rotations in %d lives: the test proves little", r.Rotations, kills)
	}
}

// explain tells how a death cost the answer to a send, and false if none did.
func (k *killing) explain(s oracle.Send) (how string, ok bool) {
	process := k.oracle.process(s)
	if process < 1 || process > len(k.deaths) {
		return fmt.Sprintf("process %d of %d that were killed", process, len(k.deaths)), false
	}
	return k.oracle.explain(s, k.deaths[process-1])
}

// about returns the log's lines about a business from when a send began.
func (k *killing) about(name string, cut oracle.Send) string {
	var b strings.Builder
	for line := range strings.Lines(string(k.server.logged())) {
		var entry struct {
			Time time.Time
			Ref  string
		}
		if json.Unmarshal([]byte(line), &entry) == nil && !entry.Time.Before(cut.Start.Add(-time.Second)) &&
			(entry.Ref == name+"@app" || strings.Contains(line, `"level":"ERROR"`)) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// recovered counts the answers that a process found in the journal of one that
// was killed.
func (k *killing) recovered() int {
	n := 0
	for e, err := range client.All(func(cursor string) (client.Page[client.Event], error) {
		return k.server.Events(k.t.Context(), client.EventFilter{Types: []string{"grant.refreshed"}, Limit: 1000, Cursor: cursor})
	}) {
		if err != nil {
			k.t.Fatal(err)
		}
		if e.Data["recovered"] == "journal" {
			n++
		}
	}
	return n
}

// repeated counts refresh tokens that were presented again.
func repeated(sends []oracle.Send) int {
	n, seen := 0, map[oracle.Send]bool{}
	for _, s := range sends {
		id := oracle.Send{Grant: s.Grant, Generation: s.Generation}
		if seen[id] {
			n++
		}
		seen[id] = true
	}
	return n
}

// wentBack counts refresh tokens that were presented although a later one of the
// same grant had been presented before.
func wentBack(sends []oracle.Send) int {
	n, newest := 0, map[string]int{}
	for _, s := range sends {
		if s.Generation < newest[s.Grant] {
			n++
		}
		newest[s.Grant] = max(newest[s.Grant], s.Generation)
	}
	return n
}
