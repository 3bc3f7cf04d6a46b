// Package e2e_test judges the real binary from outside: real processes, real
// signals, real sockets on 127.0.0.1, and files that are looked at byte by byte.
// What it claims about refreshes comes from the authorization server's own log.
//
// The tests wait for processes, so they poll with a deadline instead of running
// on fake time, and no assertion depends on how fast the machine is.
package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/freeport"
)

// binary is the program under test, built once for the package.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "evergrant-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "evergrant")
	build := exec.Command("go", "build", "-o", binary, "github.com/evergrant/evergrant/cmd/evergrant")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the binary under test:", err)
		return 1
	}
	defer removeCluster()
	defer func() { closeChromium() }()
	return m.Run()
}

// eventually polls until cond holds, and fails the test if it does not within d.
// d is a bound for a machine under load, not a claim about speed.
func eventually(t *testing.T, d time.Duration, what string, cond func() bool) {
	t.Helper()
	every(t, 20*time.Millisecond, d, what, cond)
}

// every is eventually for conditions that cost something to look at.
func every(t *testing.T, pace, d time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	poll := time.NewTicker(pace)
	defer poll.Stop()
	for !cond() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %v", what, d)
		}
	}
}

// freePort returns the address of a port that nobody listens on, and that is still
// free when a server that was killed comes back to it.
func freePort(t *testing.T) string {
	t.Helper()
	address, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// seed returns the seed of a test's random choices: EVERGRANT_SEED, or a new one.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := rand.Uint64N(1 << 32)
	if text := os.Getenv("EVERGRANT_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("EVERGRANT_SEED: %v", err)
		}
	}
	t.Logf("to make the same choices again: EVERGRANT_SEED=%d", s)
	return s
}
