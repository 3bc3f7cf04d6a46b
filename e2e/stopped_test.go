package e2e_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

// TestAProcessThatIsStoppedForLongLosesNothingAndKeepsItsSuccessorOut stops a
// process that awaits answers for longer than any timeout it knows, has another
// try to take over, and lets the first one go on. The answers came meanwhile.
func TestAProcessThatIsStoppedForLongLosesNothingAndKeepsItsSuccessorOut(t *testing.T) {
	t.Parallel()
	var all []policyCase
	for _, policy := range []string{oracle.FamilyKill, oracle.Strict, oracle.Grace, oracle.RetireOnUse} {
		all = append(all, policyCase(policy))
	}
	together(t, all, atOnce, func(t *testing.T, c policyCase) { stoppedForLong(t, string(c)) })
}

type policyCase string

func (c policyCase) String() string { return string(c) }

func stoppedForLong(t *testing.T, policy string) {
	// A caller waits for 25 s, a strict probe for 20 s, a drain for 30 s.
	const longest, awaited, due = 31 * time.Second, 8, 8
	o := oracle.New(oracle.Options{Rotation: policy, Window: 30 * time.Minute, AccessLife: time.Hour})
	j, arrived, answer := held(t, o)
	s := newServer(t)
	s.configure(app(j.url, policy, "refresh: {min_interval: 1s}"), "")
	s.start()
	for n := range awaited {
		s.adopt(j, n, 3600)
	}
	var callers sync.WaitGroup
	for n := range awaited {
		callers.Go(func() { _, _ = s.Refresh(t.Context(), ref(n)) })
	}
	eventually(t, time.Minute, "the requests are under way", func() bool { return arrived.Load() == awaited })
	for n := range due { // these come due while it stands still
		s.adopt(j, awaited+n, 20)
	}

	s.signal(syscall.SIGSTOP)
	eventually(t, time.Minute, "the process stands still", func() bool { return s.state() == "T" })
	answer()
	still := time.NewTimer(longest)
	defer still.Stop()
	eventually(t, time.Minute, "the provider has answered", func() bool { return o.Rotations() == awaited })
	text, err := s.second(t)
	if err == nil || !strings.Contains(text, "another process") {
		t.Errorf("a second process beside one that stands still: %v\n%s", err, text)
	}
	<-still.C
	if n := o.Report().Sends; n != awaited {
		t.Errorf("%d requests while the process stood still, want the %d from before", n, awaited)
	}
	s.signal(syscall.SIGCONT)
	callers.Wait()
	settled := func(n int) bool {
		g := s.grant(ref(n))
		return g.State == "needs_reauthorization" || g.State == "connected" && g.Seq > 0 && g.OpenAttempt == nil
	}
	every(t, 200*time.Millisecond, 90*time.Second, "every grant is settled", func() bool {
		for n := range awaited + due {
			if !settled(n) {
				return false
			}
		}
		return true
	})
	for n := range awaited + due {
		if g := s.grant(ref(n)); g.State != "connected" {
			t.Errorf("%s is %s (%s)", ref(n), g.State, g.Reason)
			continue
		}
		if token, err := s.Token(t.Context(), ref(n), nil); err != nil || !o.AccessValid(token.AccessToken) {
			t.Errorf("%s has no working token: %v", ref(n), err)
		}
	}
	r := o.Report()
	if r.Sends != awaited+due || r.Overlaps != 0 || r.TwoLate != 0 || wentBack(o.Sends()) != 0 {
		t.Errorf("the provider saw %+v, want %d sends", r, awaited+due)
	}
	if bytes.Contains(s.logged(), []byte("panic")) {
		t.Error("the log has a panic")
	}
}

// signal sends the process a signal.
func (s *server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// second starts another process over the same files, at other ports, and returns
// what it says and how it ended.
func (s *server) second(t *testing.T) (string, error) {
	t.Helper()
	patience, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(patience, s.program, "serve", "--config", s.config, "--listen", "127.0.0.1:0", "--private-listen", "127.0.0.1:0")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.data}, s.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
