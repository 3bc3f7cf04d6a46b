package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/agent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source hands out tokens that live an hour, and fails while it has an error.
type source struct {
	mu    sync.Mutex
	err   error
	n     int
	until time.Time
	asked []time.Time
}

func (s *source) Token(_ context.Context, ref evergrant.Ref, o *evergrant.TokenOptions) (*evergrant.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, time.Now())
	if s.err != nil {
		return nil, s.err
	}
	if time.Until(s.until) < o.MinValid {
		s.n++
		s.until = time.Now().Add(time.Hour)
	}
	return &evergrant.Token{AccessToken: fmt.Sprintf("secret-%d", s.n), Type: "Bearer", Fingerprint: fmt.Sprint("fp", s.n), Expiry: s.until}, nil
}

func (s *source) Reject(context.Context, evergrant.Ref, string) (*evergrant.Token, error) {
	return nil, errors.New("not asked for here")
}

// given returns how many tokens there were, until when the last one lives, and
// how often it was asked for.
func (s *source) given() (n int, until time.Time, asked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n, s.until, len(s.asked)
}

func (s *source) set(err error) { s.mu.Lock(); s.err = err; s.mu.Unlock() }

func sinks(t *testing.T, text string) (dir string, out []agent.Sink) {
	t.Helper()
	dir = t.TempDir()
	c, err := agent.Parse([]byte(text), dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, c.Sinks
}

func content(t *testing.T, path string, mode fs.FileMode) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != mode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	return string(b)
}

func TestAFileHoldsAWorkingTokenAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, all := sinks(t, "version: 1\nsinks: [{path: token, ref: a@b, min_valid: 2m}]")
		src := &source{}
		var told []agent.Report
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			agent.Run(ctx, agent.Options{Source: src, Sinks: all, Tell: func(r agent.Report) { told = append(told, r) }})
			close(done)
		}()
		for range 24 * 60 {
			time.Sleep(time.Minute)
			synctest.Wait()
			n, until, _ := src.given()
			if got, want := content(t, filepath.Join(dir, "token"), 0o400), fmt.Sprintf("secret-%d", n); got != want {
				t.Fatalf("the file holds %q, want %q", got, want)
			}
			// Its reader has the time that was asked for, less how long a look may be put off.
			if left := time.Until(until); left < 100*time.Second {
				t.Fatalf("the token in the file has %s left", left)
			}
		}
		cancel()
		<-done
		tokens, _, n := src.given()
		if len(told) != tokens || tokens < 24 || tokens > 26 {
			t.Errorf("%d reports of %d tokens", len(told), tokens)
		}
		if n < 24*60*2*9/10 || n > 24*60*2*12/10 {
			t.Errorf("asked %d times in a day", n)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("%d files are left, %v", len(entries), err)
		}
	})
}

func TestTroubleIsToldOnceAndTheFileStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, all := sinks(t, "version: 1\nsinks: [{path: token, ref: a@b}]")
		src := &source{}
		var told []string
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			agent.Run(ctx, agent.Options{Source: src, Sinks: all, Tell: func(r agent.Report) { told = append(told, fmt.Sprint(r.State, " ", r.Err)) }})
			close(done)
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		src.set(&evergrant.Error{Code: "temporarily_unavailable", Message: "wait", RetryAfter: 5 * time.Minute, Err: evergrant.ErrTemporary})
		_, _, before := src.given()
		time.Sleep(time.Hour)
		synctest.Wait()
		// Retry-After is kept, and a quarter of it at most is added.
		_, _, n := src.given()
		if n -= before; n < 9 || n > 13 {
			t.Errorf("asked %d times in an hour", n)
		}
		if got := content(t, filepath.Join(dir, "token"), 0o400); got != "secret-1" {
			t.Errorf("the file holds %q", got)
		}
		src.set(&evergrant.Error{Code: "needs_reauthorization", Message: "log in", Err: evergrant.ErrReauthorize})
		time.Sleep(time.Hour)
		src.set(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		cancel()
		<-done
		want := []string{"written <nil>", "failed evergrant: : wait", "failed evergrant: : log in", "written <nil>"}
		if d := cmp.Diff(want, told); d != "" {
			t.Error(d)
		}
	})
}

func TestOnceWritesWhatDiffersAndRunsTheCommandThen(t *testing.T) {
	dir, all := sinks(t, `
version: 1
sinks:
  - path: env
    ref: a@b
    mode: "0440"
    template: "TOKEN={{json .AccessToken}} of {{.Ref}}, {{.}}\n"
    command: [sh, -c, 'echo "$EVERGRANT_REF" >> "$EVERGRANT_FILE.ran"; test -e ok']
`)
	t.Chdir(dir)
	src := &source{until: time.Now().Add(time.Hour), n: 7}
	once := func(want agent.State, wrong string) {
		t.Helper()
		var got agent.Report
		agent.Once(t.Context(), agent.Options{Source: src, Sinks: all, Tell: func(r agent.Report) { got = r }})
		if got.State != want || (got.Err == nil) != (wrong == "") || got.Err != nil && !strings.Contains(got.Err.Error(), wrong) {
			t.Errorf("%s, %v; want %s, %q", got.State, got.Err, want, wrong)
		}
	}
	once(agent.Failed, "command sh: exit status 1")
	if got := content(t, filepath.Join(dir, "env"), 0o440); got != "TOKEN=\"secret-7\" of a@b, token:fp7\n" {
		t.Errorf("%q", got)
	}
	once(agent.Unchanged, "")
	if err := os.WriteFile("ok", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	src.n = 8
	once(agent.Written, "")
	if got, err := os.ReadFile("env.ran"); err != nil || strings.Count(string(got), "a@b\n") != 2 {
		t.Errorf("the command ran: %q, %v", got, err)
	}
	if err := os.Chmod("env", 0o644); err != nil {
		t.Fatal(err)
	}
	once(agent.Written, "") // its mode was wrong
	if err := os.WriteFile("env.new", []byte("left behind"), 0o600); err != nil {
		t.Fatal(err)
	}
	src.n = 9
	once(agent.Written, "")
}
