package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/evergrant/evergrant"
)

// State is what a look at a sink came to.
type State string

// The states.
const (
	Written   State = "written"   // the file holds a token it did not hold before
	Unchanged State = "unchanged" // it held the token already
	Failed    State = "failed"    // see Report.Err; the file is as it was, unless Err is of its command
)

// Report is what a look at a sink came to.
type Report struct {
	Path        string
	Ref         evergrant.Ref
	State       State
	Fingerprint string    // of the token, "" if there is none
	Expiry      time.Time // of the token
	Err         error     // an *[evergrant.Error] if the source refused
}

// Options is what an agent is made from. Source, Sinks and Tell are required.
type Options struct {
	Source evergrant.Source
	Sinks  []Sink
	// Tell is called with what is worth telling: in [Run] what was written, and
	// what failed when it fails in another way than before; in [Once] everything. It
	// is called by one goroutine at a time.
	Tell func(Report)
	// Output takes what commands print; nil discards it.
	Output io.Writer
}

// Bounds of the agent.
const (
	askTimeout     = 90 * time.Second // a token may have to be refreshed first
	commandTimeout = time.Minute
	commandGrace   = 5 * time.Second
	mostBackoff    = time.Minute
	mostAtOnce     = 8 // questions
)

// agent is a run of all sinks.
type agent struct {
	o    Options
	tell sync.Mutex
	turn chan struct{}
}

func newAgent(o Options) *agent { return &agent{o: o, turn: make(chan struct{}, mostAtOnce)} }

// Once looks at every sink once and returns when all was told.
func Once(ctx context.Context, o Options) {
	a := newAgent(o)
	a.each(func(k *keeper) { a.say(k.look(ctx)) })
}

// Run keeps every sink up to date until ctx ends.
func Run(ctx context.Context, o Options) {
	a := newAgent(o)
	a.each(func(k *keeper) { k.keep(ctx) })
}

// each has every sink kept by a goroutine of its own and waits for all.
func (a *agent) each(f func(*keeper)) {
	var wg sync.WaitGroup
	for _, s := range a.o.Sinks {
		wg.Go(func() { f(&keeper{agent: a, sink: s}) })
	}
	wg.Wait()
}

func (a *agent) say(r Report) {
	a.tell.Lock()
	defer a.tell.Unlock()
	a.o.Tell(r)
}

// keeper keeps one sink.
type keeper struct {
	agent    *agent
	sink     Sink
	owed     bool // the file changed, and the command has not succeeded since
	failures int  // in a row
	told     string
}

// keep looks until ctx ends.
func (k *keeper) keep(ctx context.Context) {
	for {
		r := k.look(ctx)
		if ctx.Err() != nil {
			return // what failed because of it is no news
		}
		text := ""
		if r.Err != nil {
			text = r.Err.Error()
		}
		if r.State == Written || r.Err != nil && text != k.told {
			k.agent.say(r)
		}
		k.told = text
		t := time.NewTimer(k.next(r))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// next is how long to wait after a look. It is never the same twice, so that many
// agents do not ask in step.
func (k *keeper) next(r Report) time.Duration {
	if r.Err != nil {
		k.failures++
		wait := min(time.Second<<min(k.failures-1, 10), mostBackoff)
		var e *evergrant.Error
		if errors.As(r.Err, &e) {
			if !errors.Is(e, evergrant.ErrTemporary) {
				wait = mostBackoff // a person has to do something
			}
			wait = max(wait, e.RetryAfter)
		}
		return wait + rand.N(wait/4+1)
	}
	k.failures = 0
	wait := k.sink.Every*9/10 + rand.N(k.sink.Every/5+1)
	if due := time.Until(r.Expiry) - k.sink.MinValid; due < wait {
		wait = max(due, time.Second) + rand.N(k.sink.MinValid/10+1)
	}
	return wait
}

// look asks for the token and brings the file up to date.
func (k *keeper) look(ctx context.Context) Report {
	r := Report{Path: k.sink.Path, Ref: k.sink.Ref, State: Failed}
	t, err := k.ask(ctx)
	if err != nil {
		r.Err = err
		return r
	}
	r.Fingerprint, r.Expiry = t.Fingerprint, t.Expiry
	b, err := k.sink.render(content{*t, k.sink.Ref})
	if err != nil {
		r.Err = err
		return r
	}
	state := Unchanged
	if !k.sink.holds(b) {
		if err := k.sink.replace(b); err != nil {
			r.Err = fmt.Errorf("write: %w", err)
			return r
		}
		state, k.owed = Written, true
	}
	if k.owed {
		if err := k.run(ctx); err != nil {
			r.Err = err
			return r
		}
		k.owed = false
	}
	r.State = state
	return r
}

// ask waits for its turn and asks for the token.
func (k *keeper) ask(ctx context.Context) (*evergrant.Token, error) {
	select {
	case k.agent.turn <- struct{}{}:
		defer func() { <-k.agent.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return k.agent.o.Source.Token(ctx, k.sink.Ref, &evergrant.TokenOptions{MinValid: k.sink.MinValid, Location: k.sink.Location})
}

// run runs the sink's command, which is told the file and not the token.
func (k *keeper) run(ctx context.Context) error {
	if len(k.sink.Command) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, k.sink.Command[0], k.sink.Command[1:]...)
	cmd.Env = append(os.Environ(), "EVERGRANT_FILE="+k.sink.Path, "EVERGRANT_REF="+string(k.sink.Ref))
	cmd.Stdout, cmd.Stderr = k.agent.o.Output, k.agent.o.Output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = commandGrace
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("command %s: %w; it is run again", k.sink.Command[0], err)
	}
	return nil
}
