package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant"
)

type credentialCmd struct {
	Args     []string `arg:"" optional:"" name:"ref" help:"Connection, like biz_42@k-series, if standard input does not name it; then get, store or erase."`
	Format   string   `enum:"json,git" required:"" placeholder:"json|git" help:"json for exec plugins and programs, git for git."`
	Location string   `placeholder:"ID" help:"Location the token must reach."`
	MinValid string   `placeholder:"5m" help:"How long the token must still be valid."`
	Host     []string `placeholder:"HOST" help:"Host that git may send the token to, instead of that of the API; may be repeated."`
}

// mostInput bounds what is read of a program that asks for a credential.
const mostInput = 64 << 10

// Run answers a program that asks for a credential in the way it is used to.
func (c *credentialCmd) Run(s *session) error {
	action := "get"
	if n := len(c.Args); n > 0 && slices.Contains([]string{"get", "store", "erase"}, c.Args[n-1]) {
		action, c.Args = c.Args[n-1], c.Args[:n-1]
	}
	ref := ""
	switch len(c.Args) {
	case 0:
	case 1:
		ref = c.Args[0]
	default:
		return usage("one connection only, and get, store or erase behind it")
	}
	minValid, err := duration("--min-valid", c.MinValid)
	if err != nil {
		return err
	}
	opts := &evergrant.TokenOptions{MinValid: minValid, Location: c.Location}
	if c.Format == "git" {
		return c.git(s, action, ref, opts)
	}
	if action != "get" {
		return usage("%s is for --format git", action)
	}
	return execCredential(s, ref, opts)
}

// credentialJSON is the answer for programs: what kubectl and its like read
// (client.authentication.k8s.io, ExecCredential), and beside it the token's
// facts under the names the API has for them.
type credentialJSON struct {
	APIVersion  string           `json:"apiVersion"`
	Kind        string           `json:"kind"`
	Status      credentialStatus `json:"status"`
	AccessToken string           `json:"access_token"`
	TokenType   string           `json:"token_type"`
	ExpiresAt   time.Time        `json:"expires_at"`
	BaseURL     string           `json:"base_url"`
	Fingerprint string           `json:"fingerprint"`
	Ref         string           `json:"ref"`
}

type credentialStatus struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expirationTimestamp"`
}

// execCredential answers with JSON. The connection may come on standard input,
// alone on a line or as {"ref": "…"}.
func execCredential(s *session, ref string, opts *evergrant.TokenOptions) error {
	if ref == "" {
		b, err := io.ReadAll(io.LimitReader(s.stdin, mostInput))
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		var asked struct {
			Ref      string `json:"ref"`
			Location string `json:"location"`
		}
		if ref = strings.TrimSpace(string(b)); strings.HasPrefix(ref, "{") {
			if json.Unmarshal(b, &asked) != nil {
				return usage(`standard input is not like {"ref": "biz_42@k-series"}`)
			}
			ref = asked.Ref
			if asked.Location != "" {
				opts.Location = asked.Location
			}
		}
		if ref == "" {
			return usage(`name the connection: evergrant credential --format json biz_42@k-series, or {"ref": "biz_42@k-series"} on standard input`)
		}
	}
	t, err := s.credential(ref, opts)
	if err != nil {
		return err
	}
	expires := t.Expiry.UTC().Truncate(time.Second)
	return s.printValue(credentialJSON{
		APIVersion: s.execVersion(), Kind: "ExecCredential", Status: credentialStatus{t.AccessToken, expires},
		AccessToken: t.AccessToken, TokenType: t.Type, ExpiresAt: expires, BaseURL: t.BaseURL, Fingerprint: t.Fingerprint, Ref: ref,
	})
}

// execVersion is the version of the answer that the program asks for; kubectl
// takes no other.
func (s *session) execVersion() string {
	const group, standard = "client.authentication.k8s.io/", "client.authentication.k8s.io/v1"
	info, _ := s.lookupEnv("KUBERNETES_EXEC_INFO")
	var asked struct {
		APIVersion string `json:"apiVersion"`
	}
	if json.Unmarshal([]byte(info), &asked) != nil || !strings.HasPrefix(asked.APIVersion, group) {
		return standard
	}
	return asked.APIVersion
}

// credential asks for a token.
func (s *session) credential(ref string, opts *evergrant.TokenOptions) (*evergrant.Token, error) {
	r, err := s.remoteFor(ref)
	if err != nil {
		return nil, err
	}
	t, err := r.Token(s.ctx, evergrant.Ref(ref), opts)
	return t, r.failedRef(ref, err)
}

// gitAsk is what git says about the credential it wants (gitcredentials(7), "INPUT/OUTPUT FORMAT"
// of git-credential(1)).
type gitAsk struct {
	protocol, host, username string
	secret                   string // of erase: the password or the token that was refused
	bearer                   bool   // git can send a token as it is, since 2.46
}

// readGit reads what git says: lines of name=value up to an empty line.
func readGit(in io.Reader) (gitAsk, error) {
	var a gitAsk
	lines := bufio.NewScanner(io.LimitReader(in, mostInput))
	for lines.Scan() && lines.Text() != "" {
		name, value, ok := strings.Cut(lines.Text(), "=")
		if !ok {
			return gitAsk{}, usage("standard input is not git's: a line has no =")
		}
		switch name {
		case "protocol":
			a.protocol = value
		case "host":
			a.host = value
		case "username":
			a.username = value
		case "password", "credential":
			a.secret = value
		case "capability[]":
			a.bearer = a.bearer || value == "authtype"
		}
	}
	if err := lines.Err(); err != nil {
		return gitAsk{}, fmt.Errorf("read standard input: %w", err)
	}
	return a, nil
}
