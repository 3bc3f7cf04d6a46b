package cli

import (
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"github.com/evergrant/evergrant/client"
)

type dashboardCmd struct {
	Role string `default:"operator" placeholder:"ROLE" help:"What the person may do: viewer, support or operator."`
	Name string `placeholder:"NAME" help:"What the person is called there and in the log; your user name if not given."`
	Open bool   `help:"Open it in a browser of this machine."`
}

// Run makes a one-time link. The link goes to standard output, the rest is talk.
func (c *dashboardCmd) Run(s *session) error {
	if c.Name == "" {
		c.Name, _ = s.lookupEnv("USER")
	}
	r, err := s.remote()
	if err != nil {
		return err
	}
	l, err := r.CreateDashboardLogin(s.ctx, client.NewDashboardLogin{Role: c.Role, Name: c.Name})
	if err != nil {
		return r.failed("", "evergrant dashboard --help", err)
	}
	if s.root.JSON {
		return s.printJSON(r.answers.last)
	}
	if _, err := fmt.Fprintln(s.stdout, l.URL); err != nil {
		return err
	}
	s.say("It lets one person in as %s, once, until %s.", c.Role, l.ExpiresAt.Local().Format(time.TimeOnly))
	if c.Open {
		return s.openBrowser(l.URL)
	}
	return nil
}

// openBrowser shows a page in the person's own browser.
func (s *session) openBrowser(url string) error {
	program := "xdg-open"
	if runtime.GOOS == "darwin" {
		program = "open"
	}
	path, err := exec.LookPath(program)
	if err != nil {
		s.say("There is no %s on this machine; open the link in a browser.", program)
		return nil
	}
	if err := exec.CommandContext(s.ctx, path, url).Run(); err != nil {
		return fmt.Errorf("open a browser: %w; the link works in any", err)
	}
	return nil
}
