package cli

import (
	"fmt"
	"strings"

	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/words"
)

// exitDoctor is the exit code of a doctor that found errors.
const exitDoctor = 7

type doctorCmd struct {
	Offline bool `help:"Ask no provider."`
}

// The ratings of a check.
const (
	checkOK    = "ok"
	checkWarn  = "warn"
	checkError = "error"
)

// check is one thing that was looked at.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, warn or error
	Text   string `json:"text"`
	Next   string `json:"next,omitempty"`
}

// doctor gathers checks and tells each as it is made.
type doctor struct {
	s      *session
	checks []check
	err    error // of the output
}

func (d *doctor) tell(status, name, next, format string, args ...any) {
	c := check{Name: name, Status: status, Text: fmt.Sprintf(format, args...), Next: next}
	d.checks = append(d.checks, c)
	if d.s.root.JSON || d.err != nil {
		return
	}
	line := fmt.Sprintf("%-5s  %-14s %s", c.Status, c.Name, words.Printable(c.Text))
	if c.Next != "" {
		line += "; next: " + words.Printable(c.Next)
	}
	_, d.err = fmt.Fprintln(d.s.stdout, line)
}

func (d *doctor) ok(name, format string, args ...any) { d.tell(checkOK, name, "", format, args...) }
func (d *doctor) warn(name, next, format string, args ...any) {
	d.tell(checkWarn, name, next, format, args...)
}
func (d *doctor) fail(name, next, format string, args ...any) {
	d.tell(checkError, name, next, format, args...)
}

// Run looks at everything a server needs, without one and beside one, and
// changes nothing.
func (c *doctorCmd) Run(s *session) error {
	d := &doctor{s: s}
	file := s.configFile("")
	conf, err := config.Load(file, nil)
	if err != nil {
		d.problems(err)
		// What does not depend on secrets can be looked at all the same.
		conf, err = config.LoadWithoutSecrets(file)
	}
	if err == nil {
		if len(d.checks) == 0 {
			d.ok("configuration", "%s is valid", file)
		}
		d.secrets(conf)
		running := d.server(conf)
		d.store(conf)
		d.spool(conf)
		d.ports(conf, running)
		d.apps(conf, c.Offline)
	}
	return d.end()
}

// problems tells of a faulty configuration, a line each.
func (d *doctor) problems(err error) {
	for _, line := range strings.Split(err.Error(), "\n") {
		d.fail("configuration", "correct it, then evergrant config validate", "%s", line)
	}
}

// end sums up.
func (d *doctor) end() error {
	count := map[string]int{}
	for _, c := range d.checks {
		count[c.Status]++
	}
	switch {
	case d.err != nil:
		return d.err
	case d.s.root.JSON:
		if err := d.s.printValue(map[string]any{"ok": count[checkError] == 0, "checks": d.checks}); err != nil {
			return err
		}
	default:
		d.s.say("%s, %s, %d in order.", words.Counted(count[checkError], "error", "errors"), words.Counted(count[checkWarn], "warning", "warnings"), count[checkOK])
	}
	if count[checkError] > 0 {
		return exit(exitDoctor)
	}
	return nil
}
