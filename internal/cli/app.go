package cli

import (
	"fmt"
	"strings"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

type appCmd struct {
	List   appListCmd   `cmd:"" help:"List apps."`
	Show   appShowCmd   `cmd:"" help:"Show an app."`
	Pause  appPauseCmd  `cmd:"" help:"Stop all refreshes of an app; its tokens are served as long as they last."`
	Resume appResumeCmd `cmd:"" help:"End the pause of an app, whatever caused it."`
}

type appListCmd struct{}

// Run lists apps.
func (c *appListCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	err = list(s, r, 0, []string{"NAME", "PROVIDER", "ENVIRONMENT", "ROTATION", "STATE"}, appRow,
		func(int, string) (client.Page[client.App], error) { // apps come all at once
			apps, err := r.Apps(s.ctx)
			return client.Page[client.App]{Data: apps}, err
		})
	return r.failed("", "", err)
}

// appRow is an app in a table.
func appRow(a client.App) []string {
	return []string{a.Name, a.Provider, a.Environment, a.Rotation, appState(a)}
}

// appState says in a few words whether an app's grants are renewed.
func appState(a client.App) string {
	switch {
	case a.PausedBecause == "operator":
		return "paused by us"
	case a.PausedBecause == "refusals":
		return "paused: too many grants were refused at once"
	case a.PausedBecause == "restore":
		return "paused: its tokens may be spent, since the database was restored"
	case !a.CredentialsOK:
		return "the provider refuses its client id or secret"
	}
	return "works"
}

type appShowCmd struct {
	Name string `arg:"" help:"App, like k-series."`
}

// Run shows an app.
func (c *appShowCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	a, err := r.App(s.ctx, c.Name)
	if err != nil {
		return r.failed(c.Name, "evergrant app list", err)
	}
	if s.root.JSON {
		return s.printJSON(r.answers.last)
	}
	return s.printApp(a)
}

func (s *session) printApp(a client.App) error {
	rows := [][2]string{
		{"app", a.Name}, {"state", appState(a)}, {"provider", a.Title + " (" + a.Provider + ", " + a.Environment + ")"},
		{"client id", a.ClientID}, {"scopes", strings.Join(a.Scopes, " ")}, {"required", strings.Join(a.RequiredScopes, " ")},
		{"redirect", a.RedirectURI}, {"rotation", a.Rotation},
	}
	if a.Reason != "ok" {
		rows = append(rows, [2]string{"since", when(a.Since)})
	}
	for _, row := range rows {
		if row[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(s.stdout, "%-9s %s\n", row[0], words.Printable(row[1])); err != nil {
			return err
		}
	}
	return nil
}

type appPauseCmd struct {
	Name string `arg:"" help:"App, like k-series."`
}

// Run pauses an app.
func (c *appPauseCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	if _, err := r.PauseApp(s.ctx, c.Name); err != nil {
		return r.failed(c.Name, "evergrant app list", err)
	}
	if s.root.JSON {
		return s.printJSON(r.answers.last)
	}
	s.say("Nothing is refreshed for %s now; tokens are served as long as they last. To go on: evergrant app resume %s", c.Name, c.Name)
	return nil
}

type appResumeCmd struct {
	Name string `arg:"" help:"App, like k-series."`
}

// Run resumes an app.
func (c *appResumeCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	if _, err := r.ResumeApp(s.ctx, c.Name); err != nil {
		return r.failed(c.Name, "evergrant app list", err)
	}
	if s.root.JSON {
		return s.printJSON(r.answers.last)
	}
	s.say("%s is refreshed again.", c.Name)
	return nil
}
