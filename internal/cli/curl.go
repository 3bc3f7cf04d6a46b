package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

type curlCmd struct {
	Ref      string   `arg:"" help:"Connection, like biz_42@k-series."`
	Path     string   `arg:"" help:"Path below the API's address, with its query."`
	Request  string   `short:"X" placeholder:"METHOD" help:"Method; GET, or POST if there is data."`
	Data     []string `short:"d" sep:"none" placeholder:"DATA" help:"Data to send, @FILE for a file's content, @- for standard input; may be repeated and is joined with &."`
	Header   []string `short:"H" sep:"none" placeholder:"NAME: VALUE" help:"Header to send; may be repeated."`
	Include  bool     `short:"i" help:"Print the answer's status and headers too."`
	Location string   `placeholder:"ID" help:"Location the token must reach."`
}

// Run sends a request to a provider's API with a business's token, which it
// never sees: the server adds it. The answer goes to standard output as it
// comes, and a status from 400 on is a failure.
func (c *curlCmd) Run(s *session) error {
	a, err := c.request(s)
	if err != nil {
		return err
	}
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	r.answers.through = true
	res, err := r.Send(s.ctx, a)
	if err != nil {
		return r.failedRef(c.Ref, err)
	}
	defer res.Body.Close()
	if c.Include {
		if _, err := fmt.Fprintf(s.stdout, "%s %s\r\n", res.Proto, res.Status); err != nil {
			return err
		}
		if err := res.Header.Write(s.stdout); err != nil {
			return err
		}
		if _, err := io.WriteString(s.stdout, "\r\n"); err != nil {
			return err
		}
	}
	if _, err := io.Copy(s.stdout, res.Body); err != nil {
		return &failure{code: exitTemporary, err: fmt.Errorf("%s: the answer broke off: %w", c.Ref, err)}
	}
	if res.StatusCode >= http.StatusBadRequest {
		return &failure{code: statusExit(res.StatusCode), err: fmt.Errorf("%s: the provider answered %s", c.Ref, words.Printable(res.Status))}
	}
	return nil
}

// request puts together what is to be sent.
func (c *curlCmd) request(s *session) (client.APIRequest, error) {
	a := client.APIRequest{Ref: evergrant.Ref(c.Ref), Method: c.Request, Path: c.Path, Location: c.Location, Header: http.Header{}}
	if strings.Contains(c.Path, "://") {
		return a, usage("give the path only, like /f/data/businesses; the host is that of %s's app", c.Ref)
	}
	if !strings.HasPrefix(a.Path, "/") {
		a.Path = "/" + a.Path
	}
	if len(c.Data) > 0 {
		body, err := c.body(s)
		if err != nil {
			return a, err
		}
		a.Body = strings.NewReader(body)
		a.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if json.Valid([]byte(body)) {
			a.Header.Set("Content-Type", "application/json")
		}
		if a.Method == "" {
			a.Method = http.MethodPost
		}
	}
	own := http.Header{}
	for _, h := range c.Header {
		name, value, ok := strings.Cut(h, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return a, usage("--header %q is not like 'Accept: text/csv'", h)
		}
		own.Add(name, strings.TrimSpace(value))
	}
	for name, values := range own {
		a.Header[name] = values
	}
	return a, nil
}

// body is the data of all flags.
func (c *curlCmd) body(s *session) (string, error) {
	parts := make([]string, len(c.Data))
	for i, d := range c.Data {
		file, isFile := strings.CutPrefix(d, "@")
		var b []byte
		var err error
		switch {
		case !isFile:
			b = []byte(d)
		case file == "-":
			b, err = io.ReadAll(s.stdin)
		default:
			b, err = os.ReadFile(file)
		}
		if err != nil {
			return "", usage("--data: %v", err)
		}
		parts[i] = string(b)
	}
	return strings.Join(parts, "&"), nil
}

// statusExit maps a provider's status to what scripts decide by.
func statusExit(status int) int {
	switch {
	case status == http.StatusNotFound:
		return exitNotFound
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return exitNotAllowed
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return exitTemporary
	}
	return exitFailed
}
