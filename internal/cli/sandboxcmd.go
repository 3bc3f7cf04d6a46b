package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/app"
	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/sandbox"
)

type sandboxCmd struct {
	URL string `name:"sandbox" placeholder:"URL" default:"http://127.0.0.1:8422" env:"EVERGRANT_SANDBOX_URL" help:"The sandbox to control."`

	Start  sandboxStartCmd  `cmd:"" default:"withargs" help:"Run the sandbox; what happens without a further word."`
	Break  sandboxBreakCmd  `cmd:"" help:"Make trouble: lose_answer, slow, status_500, status_429, revoke, invalid_client, …"`
	Heal   sandboxHealCmd   `cmd:"" help:"End trouble."`
	Clock  sandboxClockCmd  `cmd:"" help:"Show or advance the sandbox's clock."`
	Log    sandboxLogCmd    `cmd:"" help:"Show the requests it has seen."`
	Assert sandboxAssertCmd `cmd:"" help:"Fail if the judge found violations."`
}

type sandboxStartCmd struct {
	Listen          string `placeholder:"ADDR" default:"127.0.0.1:8422" help:"Where to listen."`
	AccessLifetime  string `placeholder:"25m" help:"How long access tokens live; like the real ones if not given."`
	RefreshLifetime string `placeholder:"40d" help:"How long refresh tokens live; like the real ones if not given."`
}

// Run runs a sandbox until it is told to stop.
func (c *sandboxStartCmd) Run(s *session) error {
	conf := sandbox.Config{Logger: newLogger(s.stderr, config.Log{Format: "text", Level: "info"})}
	var err error
	if conf.AccessLifetime, err = duration("--access-lifetime", c.AccessLifetime); err != nil {
		return err
	}
	if conf.RefreshLifetime, err = duration("--refresh-lifetime", c.RefreshLifetime); err != nil {
		return err
	}
	l, err := app.Listen(c.Listen, "--listen")
	if err != nil {
		return err
	}
	conf.URL = "http://" + l.Addr().String()
	if s.root.JSON {
		if err := s.printValue(map[string]string{"sandbox": conf.URL}); err != nil {
			return err
		}
	} else {
		s.say("The Lightspeed sandbox is at %s; its page says who can log in. Ctrl-C ends it.", conf.URL)
	}
	return serveSandbox(s.ctx, l, sandbox.New(conf), conf.Logger)
}

// serveSandbox serves until ctx ends.
func serveSandbox(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	// A fault may hold a request for as long as a test likes; nothing is drained.
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the sandbox: %w", err)
	}
	return nil
}

type sandboxBreakCmd struct {
	Fault string `arg:"" help:"What to make, like lose_answer."`
	App   string `placeholder:"ID" help:"Only for this client id or series."`
	Times int    `placeholder:"N" help:"So many times; always if not given."`
	For   string `placeholder:"10m" help:"So long by the sandbox's clock."`
}

// Run adds a fault.
func (c *sandboxBreakCmd) Run(s *session) error {
	body := map[string]any{"fault": strings.ReplaceAll(c.Fault, "-", "_")}
	if c.App != "" {
		body["app"] = c.App
	}
	if c.Times > 0 {
		body["times"] = c.Times
	}
	if c.For != "" {
		body["for"] = c.For
	}
	return s.control(http.MethodPost, "/faults", body, func([]byte) error {
		s.say("Broken: %s. To end it: evergrant sandbox heal", body["fault"])
		return nil
	})
}

type sandboxHealCmd struct {
	Fault string `arg:"" optional:"" help:"Only this kind of trouble."`
	App   string `placeholder:"ID" help:"Only for this client id or series."`
}

// Run removes faults.
func (c *sandboxHealCmd) Run(s *session) error {
	q := url.Values{}
	if c.Fault != "" {
		q.Set("fault", strings.ReplaceAll(c.Fault, "-", "_"))
	}
	if c.App != "" {
		q.Set("app", c.App)
	}
	path := "/faults"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return s.control(http.MethodDelete, path, nil, func([]byte) error { s.say("Healed."); return nil })
}

type sandboxClockCmd struct {
	Show    sandboxClockShowCmd    `cmd:"" default:"1" hidden:"" help:"Show the time."`
	Advance sandboxClockAdvanceCmd `cmd:"" help:"Move the clock forward."`
}

type sandboxClockShowCmd struct{}

// Run shows the sandbox's time.
func (c *sandboxClockShowCmd) Run(s *session) error {
	return s.control(http.MethodGet, "/state", nil, s.printNow)
}

type sandboxClockAdvanceCmd struct {
	By string `arg:"" help:"How far, like 1h or 13d."`
}

// Run advances the clock.
func (c *sandboxClockAdvanceCmd) Run(s *session) error {
	return s.control(http.MethodPost, "/clock", map[string]string{"advance": c.By}, s.printNow)
}

// printNow prints the time of an answer that tells it.
func (s *session) printNow(b []byte) error {
	var v struct {
		Now time.Time `json:"now"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("read the sandbox's answer: %w", err)
	}
	_, err := fmt.Fprintln(s.stdout, v.Now.UTC().Format(time.RFC3339))
	return err
}

type sandboxLogCmd struct {
	Limit int `placeholder:"N" default:"50" help:"At most so many, the newest."`
}

// Run prints the requests seen.
func (c *sandboxLogCmd) Run(s *session) error {
	return s.control(http.MethodGet, "/log?limit="+strconv.Itoa(c.Limit), nil, func(b []byte) error {
		var v struct {
			Data []sandbox.LogEntry `json:"data"`
		}
		if err := json.Unmarshal(b, &v); err != nil {
			return fmt.Errorf("read the sandbox's answer: %w", err)
		}
		var rows [][]string
		for _, e := range v.Data {
			rows = append(rows, []string{moment(e.Time), strconv.Itoa(e.Status), e.Method, e.Path, e.GrantType, e.Outcome, e.Fault})
		}
		return s.table([]string{"TIME", "STATUS", "METHOD", "PATH", "GRANT", "OUTCOME", "FAULT"}, rows)
	})
}

type sandboxAssertCmd struct {
	Violations int `placeholder:"N" default:"0" help:"How many violations are allowed."`
}

// Run fails if the judge has found more violations than allowed.
func (c *sandboxAssertCmd) Run(s *session) error {
	var report sandbox.Report
	err := s.control(http.MethodGet, "/report", nil, func(b []byte) error {
		if err := json.Unmarshal(b, &report); err != nil {
			return fmt.Errorf("read the sandbox's answer: %w", err)
		}
		_, err := fmt.Fprintf(s.stdout, "%d violations, %d exchanges, %d refreshes\n",
			len(report.Violations), report.Exchanges, report.Refreshes)
		return err
	})
	if err != nil {
		return err
	}
	if n := len(report.Violations); n > c.Violations {
		return fmt.Errorf("the judge found %d violations and %d are allowed; see: evergrant sandbox log", n, c.Violations)
	}
	return nil
}

// control calls the sandbox's control API. With --json it prints the answer as
// it came, otherwise it has show print it.
func (s *session) control(method, path string, body any, show func([]byte) error) error {
	base := strings.TrimRight(s.root.Sandbox.URL, "/")
	content := []byte{}
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, base+"/_sandbox"+path, bytes.NewReader(content))
	if err != nil {
		return usage("the sandbox's address must be like http://127.0.0.1:8422")
	}
	res, err := (&http.Client{}).Do(req)
	if err != nil {
		return &failure{code: exitTemporary, err: fmt.Errorf("no sandbox answers at %s; start one with: evergrant sandbox, or name another with --sandbox URL", base)}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return fmt.Errorf("read the sandbox's answer: %w", err)
	}
	if res.StatusCode >= 300 {
		var refused struct {
			Error string `json:"error"`
		}
		if err := json.Unmarshal(b, &refused); err != nil || refused.Error == "" {
			return fmt.Errorf("%s is no sandbox; name another with --sandbox URL", base)
		}
		return usage("%s", refused.Error)
	}
	if s.root.JSON {
		return s.printJSON(b)
	}
	return show(b)
}
