package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

type tokenCmd struct {
	Ref      string `arg:"" help:"Connection, like biz_42@k-series."`
	Location string `placeholder:"ID" help:"Location the token must reach."`
	MinValid string `placeholder:"5m" help:"How long the token must still be valid."`
	Header   bool   `xor:"form" help:"Print an Authorization header."`
	Env      bool   `xor:"form" help:"Print shell assignments: eval \"$(evergrant token REF --env)\"."`
}

// tokenAnswer is the API's answer with the token, which goes to standard output
// and nowhere else.
type tokenAnswer struct {
	AccessToken string   `json:"access_token"`
	TokenType   string   `json:"token_type"`
	BaseURL     string   `json:"base_url"`
	Warnings    []string `json:"warnings"`
}

// Run prints the token.
func (c *tokenCmd) Run(s *session) error {
	if s.root.JSON && (c.Header || c.Env) {
		return usage("--json goes with neither --header nor --env")
	}
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	q := url.Values{}
	if c.Location != "" {
		q.Set("location", c.Location)
	}
	if c.MinValid != "" {
		q.Set("min_valid", c.MinValid)
	}
	path := connectionPath(c.Ref) + "/token"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	t, raw, err := fetch[tokenAnswer](s.ctx, r, http.MethodGet, path, nil)
	if err != nil {
		return about(c.Ref, err)
	}
	for _, w := range t.Warnings {
		s.say("warning: %s", printable(w))
	}
	switch {
	case s.root.JSON:
		return s.printJSON(raw)
	case c.Header:
		_, err = fmt.Fprintf(s.stdout, "Authorization: %s %s\n", t.TokenType, t.AccessToken)
	case c.Env:
		_, err = fmt.Fprintf(s.stdout, "export EVERGRANT_TOKEN=%s\nexport EVERGRANT_BASE_URL=%s\n",
			shellQuote(t.AccessToken), shellQuote(t.BaseURL))
	default:
		_, err = fmt.Fprintln(s.stdout, t.AccessToken)
	}
	return err
}

// shellQuote quotes s for a POSIX shell.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// remoteFor finds the server for a command about one connection.
func (s *session) remoteFor(ref string) (*remote, error) {
	if err := checkRef(ref); err != nil {
		return nil, err
	}
	return s.remote()
}

// connectionPath is a connection's path in the API.
func connectionPath(ref string) string { return "/v1/connections/" + url.PathEscape(ref) }
