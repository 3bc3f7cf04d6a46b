//go:build linux

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

const (
	moveGrants = 60 // of them, those below are special
	moveUnread = moveGrants - 1
	moveParked = moveGrants - 2
)

// moveSteps are the points of a copy at which it is killed, in their order.
var moveSteps = []string{"move.begun", "move.started", "move.batch", "move.batch@2", "move.batch", "move.copied", "move.verified", "move.marked"}

// TestAFleetTakesOverFromAFile moves a server's database to PostgreSQL, killing
// the move at each of its steps and at random moments, and goes on there. Under
// family_kill a refresh token that was left behind, or sent from both sides, would
// end its grant.
func TestAFleetTakesOverFromAFile(t *testing.T) {
	t.Parallel()
	program, err := faulty()
	if err != nil {
		t.Fatal(err)
	}
	j := newJudge(t, oracle.Options{Rotation: oracle.FamilyKill, AccessLife: time.Hour})
	s := newServer(t)
	apps := app(j.url, oracle.FamilyKill, "refresh: {min_interval: 1s}")
	s.configure(apps, "")
	s.program = program
	s.start()
	s.history(j)
	key, err := s.CreateKey(t.Context(), client.NewKey{Name: "kept", Scopes: []string{"events"}})
	if err != nil {
		t.Fatal(err)
	}
	url := database(t)
	s.secret("database", url)
	next := newReplica(t, url, s)
	next.configure(apps, "")

	copying := []string{"db", "copy", "--config", s.config, "--to-config", next.config}
	if out := mustRefuse(t, program, copying...); !strings.Contains(out, "open; stop it") {
		t.Errorf("beside a server it says %s", out)
	}
	s.crash("spool.written=kill", func() { _, _ = s.Refresh(t.Context(), ref(0)) })
	if out := mustRefuse(t, program, copying...); !strings.Contains(out, "1 received answers that are not in") {
		t.Errorf("behind its spool it says %s", out)
	}
	s.start()
	before := s.wholeLog(t)
	s.interrupt()
	s.ended()
	special := status(t, s.config)
	if special.OpenAttempts != 1 || special.Rows["orphans"] != 1 {
		t.Errorf("nothing special is in the database: %+v", special)
	}
	twin := s.twin(t)

	// Killed at each step it goes on from there; never can both be served.
	killed(t, program, moveSteps[0], copying...) // nothing is in the database yet
	for _, point := range moveSteps[1 : len(moveSteps)-1] {
		killed(t, program, point, copying...)
		if out := mustRefuse(t, binary, "serve", "--config", next.config); !strings.Contains(out, "holds an unfinished copy") {
			t.Errorf("killed at %s, a server on the copy says %s", point, out)
		}
	}
	killed(t, program, moveSteps[len(moveSteps)-1], copying...)
	if out := mustRefuse(t, binary, "serve", "--config", next.config); !strings.Contains(out, "holds an unfinished copy") {
		t.Errorf("before the end a server on the copy says %s", out)
	}
	if out := mustRefuse(t, binary, "serve", "--config", s.config); !strings.Contains(out, "DROP TABLE move") {
		t.Errorf("after the move a server on the file says %s", out)
	}
	moved := copied(t, copying...)
	if !moved.Resumed || moved.Rows["grants"] != moveGrants {
		t.Errorf("the move came to %+v", moved)
	}
	if out := mustRefuse(t, binary, "serve", "--config", s.config); !strings.Contains(out, "was moved to database") {
		t.Errorf("in the end a server on the file says %s", out)
	}
	if again := copied(t, copying...); !again.Before {
		t.Errorf("moved again: %+v", again)
	}
	if other := twin.moveTwinAtRandom(t); other.Digest != moved.Digest {
		t.Errorf("killed at random moments it came to %+v, and at each step to %+v", other, moved)
	}

	next.start()
	next.takesOver(j, before)
	next.key = key.Key
	next.call()
	if _, err := next.Events(t.Context(), client.EventFilter{}); err != nil {
		t.Errorf("an API key of before does not work: %v", err)
	}
	for _, args := range [][]string{{"db", "check"}, {"db", "status"}} {
		t.Logf("%s:\n%s", strings.Join(args, " "), next.run(args...))
	}
}

// history gives a server grants of many kinds: some renewed, some due soon, one
// whose last request may have been read or not, one whose last answer came too
// late.
func (s *server) history(j *judge) {
	t := s.t
	t.Helper()
	unread := false
	j.SetFault(func(send oracle.Send) oracle.Fault { // under the oracle's lock
		switch {
		case send.Grant == business(moveUnread) && !unread:
			unread = true
			return oracle.Fault{LoseRequest: true}
		case send.Grant == business(moveParked):
			return oracle.Fault{After: 3 * time.Second}
		}
		return oracle.Fault{}
	})
	for n := range moveGrants {
		life := int64(3600)
		if n%6 == 1 || n == moveUnread {
			life = 50 + int64(n)
		}
		s.adopt(j, n, life)
	}
	for n := 0; n < moveParked; n += 3 {
		if res, err := s.Refresh(t.Context(), ref(n)); err != nil || !res[0].Refreshed {
			t.Fatalf("%s: %+v, %v", ref(n), res, err)
		}
	}
	_, _ = s.Refresh(t.Context(), ref(moveUnread))
	eventually(t, time.Minute, "the answer to one is lost", func() bool { return s.grant(ref(moveUnread)).Reason == "answer_lost" })
	late := make(chan struct{})
	go func() { defer close(late); _, _ = s.Refresh(t.Context(), ref(moveParked)) }()
	eventually(t, time.Minute, "another is on its way", func() bool {
		for _, send := range j.Sends() {
			if send.Grant == business(moveParked) {
				return true
			}
		}
		return false
	})
	if _, err := s.Disconnect(t.Context(), ref(moveParked)); err != nil {
		t.Fatal(err)
	}
	<-late
	j.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{} })
}

// takesOver proves that a server has everything: each grant can be renewed with
// the token it had, and the log goes on behind what it was.
func (s *server) takesOver(j *judge, before []client.Event) {
	t := s.t
	t.Helper()
	for n := range moveGrants {
		if n == moveParked {
			if g := s.grant(ref(n)); g.State != "disconnected" {
				t.Errorf("%s is %s", ref(n), g.State)
			}
			continue
		}
		was := s.grant(ref(n)).Seq
		every(t, glance, 3*time.Minute, string(ref(n))+" is renewed", func() bool {
			res, err := s.Refresh(t.Context(), ref(n))
			return err == nil && len(res) == 1 && res[0].Refreshed || s.grant(ref(n)).Seq > was
		})
		token, err := s.Token(t.Context(), ref(n), nil)
		if err != nil || !j.AccessValid(token.AccessToken) {
			t.Errorf("%s has no working token: %v", ref(n), err)
		}
	}
	r := j.Report()
	if r.Sends != r.Rotations+1 || r.Overlaps != 0 || r.TwoLate != 0 || r.Unknown != 0 || len(r.Dead) != 0 || wentBack(j.Sends()) != 0 {
		t.Errorf("the provider saw %+v", r)
	}
	after := s.wholeLog(t)
	if d := cmp.Diff(before, after[:min(len(before), len(after))]); d != "" {
		t.Errorf("the log begins in another way: %s", d)
	}
	if len(after) <= len(before) {
		t.Error("the log does not go on")
	}
}

// wholeLog is the whole log.
func (s *server) wholeLog(t *testing.T) []client.Event {
	t.Helper()
	page, err := s.Events(t.Context(), client.EventFilter{Limit: 1000})
	if err != nil || page.NextCursor != "" {
		t.Fatalf("%d events and more, %v", len(page.Data), err)
	}
	return page.Data
}

// crash restarts a server with a fault and waits until that has killed it.
func (s *server) crash(fault string, provoke func()) {
	s.t.Helper()
	s.interrupt()
	s.ended()
	s.env = []string{"EVERGRANT_FAULT=" + fault}
	s.start()
	provoke()
	select {
	case <-s.exited:
		s.process = nil
	case <-time.After(time.Minute):
		s.t.Fatal("the process lives on")
	}
	s.env = nil
}

// twin copies a stopped server with its files.
func (s *server) twin(t *testing.T) *server {
	t.Helper()
	other := newServer(t)
	if err := os.RemoveAll(other.secrets); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{s.data: other.data, s.secrets: other.secrets} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return other
}

// moveTwinAtRandom moves twins of a stopped server, killing the move at random
// moments, until one says what it moved.
func (s *server) moveTwinAtRandom(t *testing.T) copyResult {
	t.Helper()
	choices := rand.New(rand.NewPCG(seed(t), 0))
	for {
		if moved, told := s.twin(t).moveAtRandom(t, choices); told {
			return moved
		}
	}
}

// moveAtRandom moves a database, killing the move at random moments until it gets
// to its end. It has not told what it moved if it was killed between its end and
// the telling.
func (s *server) moveAtRandom(t *testing.T, choices *rand.Rand) (moved copyResult, told bool) {
	t.Helper()
	url := database(t)
	s.secret("database", url)
	next := newReplica(t, url, s)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(s.storage), []byte(next.storage), 1)
	if err := os.WriteFile(next.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	copying := []string{"db", "copy", "--json", "--config", s.config, "--to-config", next.config}
	patience := 50 * time.Millisecond
	for kills := 0; ; kills++ {
		ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(choices.Int64N(int64(patience))))
		out, err := exec.CommandContext(ctx, binary, copying...).Output()
		cancel()
		patience += patience / 4
		if err == nil {
			if err := json.Unmarshal(out, &moved); err != nil || (moved.Digest == "") != moved.Before {
				t.Fatalf("it ended with %s", out)
			}
			t.Logf("moved after %d kills; told: %t", kills, !moved.Before)
			return moved, !moved.Before
		}
		var exit *exec.ExitError
		switch {
		case errors.Is(err, context.DeadlineExceeded): // it ended as it was killed
		case !errors.As(err, &exit):
			t.Fatal(err)
		case exit.Exited():
			t.Fatalf("it failed: %v\n%s", err, exit.Stderr)
		}
	}
}

// copyResult is what db copy says.
type copyResult struct {
	Before  bool             `json:"moved_before"`
	Resumed bool             `json:"resumed"`
	Digest  string           `json:"sha256"`
	Rows    map[string]int64 `json:"rows"`
}

// copied runs a copy, which must succeed.
func copied(t *testing.T, args ...string) (r copyResult) {
	t.Helper()
	cmd := exec.Command(binary, append(args, "--json")...)
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			out = exit.Stderr
		}
		t.Fatalf("%v\n%s", err, out)
	}
	return r
}

// killed runs a program that ends itself at a point.
func killed(t *testing.T, program, point string, args ...string) {
	t.Helper()
	name, n, _ := strings.Cut(point, "@")
	fault := name + "=kill"
	if n != "" {
		fault += "@" + n
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "EVERGRANT_FAULT="+fault)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("at %s it was not killed: %v\n%s", point, err, out)
	}
}

// mustRefuse runs a program that must refuse what it is told.
func mustRefuse(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// dbStatus is what db status says.
type dbStatus struct {
	Rows         map[string]int64 `json:"rows"`
	OpenAttempts int64            `json:"open_attempts"`
}

func status(t *testing.T, config string) (st dbStatus) {
	t.Helper()
	out, err := exec.Command(binary, "db", "status", "--json", "--config", config).Output()
	if err == nil {
		err = json.Unmarshal(out, &st)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return st
}
