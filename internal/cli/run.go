package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/evergrant/evergrant"
)

type runCmd struct {
	Ref      string   `arg:"" help:"Connection, like biz_42@k-series."`
	Location string   `placeholder:"ID" help:"Location the token must reach."`
	MinValid string   `placeholder:"5m" help:"How long the token must still be valid."`
	Command  []string `arg:"" passthrough:"partial" help:"Program and its arguments, after --."`
}

// Run becomes the program, with the token in its environment. There is no
// process of ours in between, so its signals, its terminal and its exit code
// are its own.
func (c *runCmd) Run(s *session) error {
	command := c.Command
	if command[0] == "--" {
		command = command[1:]
	}
	if len(command) == 0 {
		return usage("name the program to run: evergrant run %s -- PROGRAM", c.Ref)
	}
	// Before a token is asked for: whoever mistyped learns it without a server.
	path, err := exec.LookPath(command[0])
	if err != nil {
		return usage("%s cannot be run: %v", command[0], errors.Unwrap(err))
	}
	minValid, err := duration("--min-valid", c.MinValid)
	if err != nil {
		return err
	}
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	t, err := r.Token(s.ctx, evergrant.Ref(c.Ref), &evergrant.TokenOptions{MinValid: minValid, Location: c.Location})
	if err != nil {
		return r.failedRef(c.Ref, err)
	}
	r.CloseIdleConnections()
	err = syscall.Exec(path, command, withVariables(os.Environ(), tokenVariables(t)))
	return fmt.Errorf("run %s: %w", command[0], err) // it does not return otherwise
}

// tokenVariables are what a program finds a token in, as NAME=VALUE.
func tokenVariables(t *evergrant.Token) []string {
	return []string{"EVERGRANT_TOKEN=" + t.AccessToken, "EVERGRANT_BASE_URL=" + t.BaseURL}
}

// withVariables returns an environment with variables set instead of what it has
// under their names.
func withVariables(env, set []string) []string {
	out := slices.DeleteFunc(slices.Clone(env), func(old string) bool {
		name, _, _ := strings.Cut(old, "=")
		return slices.ContainsFunc(set, func(v string) bool { return strings.HasPrefix(v, name+"=") })
	})
	return append(out, set...)
}
