package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/provider"
	"github.com/evergrant/evergrant/provider/builtin"
)

type initCmd struct {
	Dir         string   `placeholder:"DIR" default:"." help:"Folder to write to; made if it does not exist."`
	App         string   `placeholder:"NAME" help:"What to call the app, like k-series."`
	Provider    string   `placeholder:"NAME" help:"lightspeed-k, lightspeed-k-v1, lightspeed-r, lightspeed-x, generic or another of docs/providers.md."`
	Environment string   `placeholder:"ENV" help:"production, trial or sandbox."`
	ClientID    string   `placeholder:"ID" help:"Client id that the provider gave you."`
	Scope       []string `placeholder:"SCOPE" help:"Scope to ask merchants for; may be repeated."`
	Issuer      string   `placeholder:"URL" help:"Issuer of a generic provider."`
	PublicURL   string   `placeholder:"URL" help:"Where merchants reach this server."`
	Yes         bool     `short:"y" help:"Ask nothing; take the defaults for what is not given."`
}

// Run writes a configuration, a master key, and a file for the client secret. It
// overwrites nothing.
func (c *initCmd) Run(s *session) error {
	secret, err := c.ask(s)
	if err != nil {
		return err
	}
	if c.ClientID == "" {
		return usage("a client id is needed; give --client-id ID, or --environment sandbox to try it out")
	}
	file := filepath.Join(c.Dir, localConfig)
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s exists already; move it away or give another --dir", file)
	}
	text := c.yaml()
	// What is written must work, so it is read back before anything is on the disk.
	if err := c.check(text); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	secretFile := c.App + "-secret"
	for _, f := range []struct{ name, content string }{
		{"master.key", seal.GenerateMaster().Reveal() + "\n"}, {secretFile, secret}, {localConfig, text},
	} {
		if f.content == "" {
			continue
		}
		if err := writeNew(filepath.Join(c.Dir, f.name), f.content); err != nil {
			return err
		}
	}
	return c.report(s, file, filepath.Join(c.Dir, secretFile), secret != "")
}

// report says what was made and what is left to do.
func (c *initCmd) report(s *session, file, secretFile string, haveSecret bool) error {
	redirect := strings.TrimRight(c.PublicURL, "/") + "/oauth/callback/" + c.App
	if s.root.JSON {
		return s.printValue(map[string]string{"config": file, "redirect_uri": redirect})
	}
	s.say("Wrote %s and a master key. Keep a copy of the key where the database's backup is not.\n", file)
	s.say("Register this redirect URI at the provider, exactly:")
	if _, err := fmt.Fprintln(s.stdout, redirect); err != nil {
		return err
	}
	if !haveSecret {
		s.say("\nPut the client secret into %s (mode 0600).", secretFile)
	}
	if c.Environment == "sandbox" {
		s.say("\nThe sandbox runs with: evergrant sandbox")
	}
	s.say("\nNext: evergrant serve --config %s", file)
	return nil
}

// ask fills in what no flag gave, from a person or from defaults, and returns
// the content of the client secret's file, "" if it is left to the operator.
func (c *initCmd) ask(s *session) (secret string, err error) {
	q := &questions{out: s.stderr, in: bufio.NewReader(s.stdin), silent: c.Yes || !interactive(s.stdin)}
	names := slices.Sorted(maps.Keys(builtin.Recipes()))
	q.ask(&c.Provider, "Provider ("+strings.Join(names, ", ")+")", "lightspeed-k")
	q.ask(&c.Environment, "Environment (production, trial, sandbox)", c.defaultEnvironment())
	q.ask(&c.App, "Name of the app", c.defaultApp())
	defaultID := ""
	if c.Environment == "sandbox" {
		defaultID = "devp-v2-demo-evergrant"
		if c.Provider == "lightspeed-k-v1" {
			defaultID = "devp-demo-evergrant"
		}
	}
	q.ask(&c.ClientID, "Client id", defaultID)
	if c.Provider == "generic" {
		q.ask(&c.Issuer, "Issuer (https://…)", "")
	}
	q.ask(&c.PublicURL, "Address merchants reach this server at", "http://localhost:8420")
	if len(c.Scope) == 0 {
		c.Scope = c.defaultScopes()
	}
	switch {
	case q.err != nil:
		return "", q.err
	case c.Environment == "sandbox":
		return access.NewSecret().Reveal() + "\n", nil // the sandbox takes any
	case q.silent:
		return "", nil
	}
	return readSecret(s)
}

// defaultApp names the app after Lightspeed's series.
func (c *initCmd) defaultApp() string {
	series, ok := strings.CutPrefix(c.Provider, "lightspeed-")
	if !ok || series == "" {
		return c.Provider
	}
	return series[:1] + "-series" + series[1:]
}

// defaultScopes are enough to read who connected and what was sold.
func (c *initCmd) defaultScopes() []string {
	switch c.Provider {
	case "generic":
		return []string{"openid", "offline_access"}
	case "lightspeed-k", "lightspeed-k-v1":
		return []string{"financial-api", "orders-api", "offline_access"}
	case "lightspeed-r":
		return []string{"employee:register_read"}
	case "lightspeed-x":
		return []string{"outlets:read", "retailer:read", "payment_types:read", "sales:read"}
	}
	return nil
}

func (c *initCmd) defaultEnvironment() string {
	if r, ok := builtin.Recipes()[c.Provider]; ok {
		if _, ok := r.Environments[provider.Sandbox]; !ok {
			return "production"
		}
	}
	return "sandbox" // a provider that is not known is told as that, not as what it lacks
}

// readSecret reads the client secret without showing it. An empty one is left
// for later.
func readSecret(s *session) (string, error) {
	f, ok := s.stdin.(*os.File)
	if !ok {
		return "", nil
	}
	fmt.Fprint(s.stderr, "Client secret (not shown; empty: later): ")
	b, err := term.ReadPassword(int(f.Fd()))
	s.say("")
	if err != nil {
		return "", fmt.Errorf("read the client secret: %w", err)
	}
	if v := strings.TrimSpace(string(b)); v != "" {
		return v + "\n", nil
	}
	return "", nil
}

// interactive reports whether a person can be asked.
func interactive(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// questions asks a person, or nobody.
type questions struct {
	out    io.Writer
	in     *bufio.Reader
	silent bool
	err    error
}

// ask fills in v if it is empty.
func (q *questions) ask(v *string, question, preset string) {
	if *v != "" || q.err != nil {
		return
	}
	*v = preset
	if q.silent {
		return
	}
	if preset != "" {
		question += " [" + preset + "]"
	}
	fmt.Fprint(q.out, question+": ")
	line, err := q.in.ReadString('\n')
	if err != nil {
		q.err = usage("the questions were not answered; nothing was written")
		return
	}
	if line = strings.TrimSpace(line); line != "" {
		*v = line
	}
}

// yaml writes the configuration.
func (c *initCmd) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
server:
  public_url: %s
encryption:
  keys: [{id: k1, file: ./master.key}]
apps:
  %s:
    provider: %s
    environment: %s
    client_id: %s
    client_secret: {file: ./%s-secret}
    scopes: [%s]
`, c.PublicURL, c.App, c.Provider, c.Environment, c.ClientID, c.App, strings.Join(c.Scope, ", "))
	if c.Issuer != "" {
		fmt.Fprintf(&b, "    issuer: %s\n", c.Issuer)
	}
	return b.String()
}

// check reads the configuration as serve would, with secrets that do.
func (c *initCmd) check(text string) error {
	_, err := config.Parse([]byte(text), config.Source{
		Dir:       string(filepath.Separator),
		LookupEnv: func(string) (string, bool) { return "", false },
		ReadFile:  func(string) ([]byte, error) { return []byte(seal.GenerateMaster().Reveal()), nil },
	})
	var ps config.Problems
	if errors.As(err, &ps) {
		for i := range ps {
			ps[i].Line = 0 // there is no file yet
		}
		return &failure{code: exitUsage, err: ps}
	}
	return err
}
