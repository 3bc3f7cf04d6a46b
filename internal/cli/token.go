package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/words"
)

type tokenCmd struct {
	Ref      string `arg:"" help:"Connection, like biz_42@k-series."`
	Location string `placeholder:"ID" help:"Location the token must reach."`
	MinValid string `placeholder:"5m" help:"How long the token must still be valid."`
	Header   bool   `xor:"form" help:"Print an Authorization header."`
	Env      bool   `xor:"form" help:"Print shell assignments: eval \"$(evergrant token REF --env)\"."`
}

// Run prints the token. It goes to standard output and nowhere else.
func (c *tokenCmd) Run(s *session) error {
	if s.root.JSON && (c.Header || c.Env) {
		return usage("--json goes with neither --header nor --env")
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
	var more struct {
		Warnings []string `json:"warnings"`
	}
	if json.Unmarshal(r.answers.last, &more) == nil {
		for _, w := range more.Warnings {
			s.say("warning: %s", words.Printable(w))
		}
	}
	switch {
	case s.root.JSON:
		return s.printJSON(r.answers.last)
	case c.Header:
		_, err = fmt.Fprintf(s.stdout, "Authorization: %s %s\n", t.Type, t.AccessToken)
	case c.Env:
		for _, v := range tokenVariables(t) {
			name, value, _ := strings.Cut(v, "=")
			if _, err = fmt.Fprintf(s.stdout, "export %s=%s\n", name, shellQuote(value)); err != nil {
				return err
			}
		}
	default:
		_, err = fmt.Fprintln(s.stdout, t.AccessToken)
	}
	return err
}

// shellQuote quotes s for a POSIX shell.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
