//go:build faults

package fault

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// current is the process's plan. A process has one environment and so one plan,
// and points are reached where nothing can hand it in; only test builds have it.
var current = sync.OnceValue(func() *plan {
	p, err := parse(os.Getenv("EVERGRANT_FAULT"))
	if err != nil {
		// A fault that is misspelt and never happens would prove what is not so.
		fmt.Fprintln(os.Stderr, "fault:", err)
		os.Exit(2)
	}
	return p
})

// Point does what the environment says is to happen at the point of this name,
// and returns an error if that is what it says. It is safe for concurrent use.
func Point(name string) error {
	f, ok := current().reach(name, time.Now())
	if !ok {
		return nil
	}
	fmt.Fprintf(os.Stderr, "fault: %s=%s\n", name, f)
	switch f {
	case kill:
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {} // the signal is on its way
	case pause:
		// To this very thread: it stops before it returns from the call, and the
		// others with it. Linux only, as these tests are.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGSTOP)
		return nil
	case bug:
		panic("fault at " + name)
	}
	return fmt.Errorf("fault at %s", name)
}

// action is what happens at a point.
type action string

const (
	kill  action = "kill"
	pause action = "pause"
	fail  action = "error"
	bug   action = "panic"
)

// spec is one fault.
type spec struct {
	after, point string
	action       action
	n            int           // at which time
	on           bool          // and at every later one
	lasts        time.Duration // for so long; 0 is for ever

	armed bool      // after was reached, or is not given
	times int       // that the point was reached since
	began time.Time // the n-th time
}

// due reports whether the fault happens now that its point is reached again.
func (s *spec) due(now time.Time) bool {
	s.times++
	if s.times == s.n {
		s.began = now
		return true
	}
	return s.on && s.times > s.n && (s.lasts == 0 || now.Sub(s.began) < s.lasts)
}

// plan is all that is to happen.
type plan struct {
	mu    sync.Mutex
	specs []*spec
}

// reach counts that a point was reached and returns what is to happen there.
func (p *plan) reach(name string, now time.Time) (action, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var todo action
	for _, s := range p.specs {
		if s.armed && s.point == name && s.due(now) {
			todo = s.action
		}
		s.armed = s.armed || s.after == name
	}
	return todo, todo != ""
}

func parse(text string) (*plan, error) {
	p := &plan{}
	if text == "" {
		return p, nil
	}
	for one := range strings.SplitSeq(text, ",") {
		s, err := parseSpec(one)
		if err != nil {
			return nil, fmt.Errorf("EVERGRANT_FAULT %q: %w", one, err)
		}
		p.specs = append(p.specs, s)
	}
	return p, nil
}

func parseSpec(text string) (*spec, error) {
	s := &spec{n: 1}
	where, what, ok := strings.Cut(text, "=")
	if !ok {
		return nil, errors.New("no action; write point=kill, point=pause, point=error or point=panic")
	}
	if s.point = where; strings.Contains(where, ">") {
		s.after, s.point, _ = strings.Cut(where, ">")
	}
	s.armed = s.after == ""
	verb, count, counted := strings.Cut(what, "@")
	switch s.action = action(verb); s.action {
	case kill, pause, fail, bug:
	default:
		return nil, fmt.Errorf("action %q is not one of kill, pause, error, panic", verb)
	}
	if !counted {
		return s, nil
	}
	count, lasts, on := strings.Cut(count, "+")
	s.on = on
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("%q is not which time; write @ and a number from 1 on", count)
	}
	s.n = n
	if lasts != "" {
		if s.lasts, err = time.ParseDuration(lasts); err != nil || s.lasts <= 0 {
			return nil, fmt.Errorf("%q is not how long; write + alone, or + and a time such as 3s", lasts)
		}
	}
	return s, nil
}
