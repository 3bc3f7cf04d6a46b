package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/agent"
	"github.com/evergrant/evergrant/internal/words"
)

type agentCmd struct {
	Once bool `help:"Bring every file up to date once, say how each is, and end."`
}

// Run keeps files filled with tokens until it is interrupted.
func (c *agentCmd) Run(s *session) error {
	if s.root.Config == "" {
		return usage("--config FILE is needed: what the agent is to keep up to date; see docs/cli.md#agent")
	}
	conf, err := agent.Load(s.root.Config)
	if err != nil {
		return &failure{code: exitUsage, err: err}
	}
	r, err := s.agentRemote(conf)
	if err != nil {
		return err
	}
	r.answers.through = true // several files are asked for at once
	code := exitDone
	o := agent.Options{Source: r, Sinks: conf.Sinks, Output: s.stderr, Tell: func(report agent.Report) {
		if failed := s.tellSink(r, report); failed != exitDone && code == exitDone {
			code = failed
		}
	}}
	if !c.Once {
		s.say("Keeping %s up to date; Ctrl-C ends it.", words.Counted(len(conf.Sinks), "file", "files"))
		agent.Run(s.ctx, o)
		return nil
	}
	if agent.Once(s.ctx, o); code != exitDone {
		return exit(code)
	}
	return nil
}

// agentRemote finds the server as other commands do, and last by the agent's
// file: --config names that one here.
func (s *session) agentRemote(conf *agent.Config) (*remote, error) {
	key, _ := s.lookupEnv("EVERGRANT_API_KEY")
	if key == "" {
		k, err := conf.Key.Read(conf.Dir)
		if err != nil {
			return nil, usage("api_key: %v", err)
		}
		key = k.Reveal()
	}
	address, _ := s.lookupEnv("EVERGRANT_SERVER")
	switch {
	case s.root.Server != "":
		address = s.root.Server
	case address == "":
		address = conf.Server
	}
	if address == "" {
		return nil, usage("no server to talk to; write server: http://127.0.0.1:8421 into %s, or set EVERGRANT_SERVER", s.root.Config)
	}
	return s.remoteWith(address, key)
}

// sinkJSON is a report as --json prints it, a line each.
type sinkJSON struct {
	Path        string    `json:"path"`
	Ref         string    `json:"ref"`
	State       string    `json:"state"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	Error       string    `json:"error,omitempty"`
}

// tellSink tells how a file is and returns the exit code that it stands for.
func (s *session) tellSink(r *remote, report agent.Report) int {
	line := sinkJSON{Path: report.Path, Ref: string(report.Ref), State: string(report.State), Fingerprint: report.Fingerprint}
	if !report.Expiry.IsZero() {
		line.ExpiresAt = report.Expiry.UTC().Truncate(time.Second)
	}
	code, err := exitDone, report.Err
	if err != nil {
		code = exitFailed
		var f *failure
		if err = r.failedRef(line.Ref, err); errors.As(err, &f) {
			code = f.code
		}
		line.Error = err.Error()
	}
	var lost error
	switch {
	case s.root.JSON:
		lost = s.printLine(line)
	case err != nil:
		s.say("%s: %s", words.Printable(line.Path), words.Printable(line.Error))
	default:
		_, lost = fmt.Fprintf(s.stdout, "%s  %s  token:%s of %s, good until %s\n", words.Printable(line.Path), line.State,
			words.Printable(line.Fingerprint), words.Printable(line.Ref), moment(line.ExpiresAt))
	}
	if lost != nil && code == exitDone {
		code = exitFailed
	}
	return code
}
