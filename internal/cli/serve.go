package cli

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"

	"github.com/evergrant/evergrant/internal/app"
	"github.com/evergrant/evergrant/internal/config"
)

type serveCmd struct {
	PublicURL     string `placeholder:"URL" help:"Instead of server.public_url."`
	Listen        string `placeholder:"ADDR" help:"Instead of server.listen."`
	PrivateListen string `placeholder:"ADDR" help:"Instead of server.private_listen."`
	LogFormat     string `placeholder:"json|text" help:"Instead of telemetry.log.format."`
	LogLevel      string `placeholder:"LEVEL" help:"Instead of telemetry.log.level."`
}

// garbage is how much a server may leave lying about before it is collected,
// however little it holds. A server that holds a few MiB would spend a fifth of its
// time on collecting them. The ballast that sees to it is never touched, so the
// system gives it no memory.
const garbage = 32 << 20

// Run runs the server until it is told to stop.
func (c *serveCmd) Run(s *session) error {
	set := map[string]string{}
	for key, v := range map[string]string{
		"server.public_url": c.PublicURL, "server.listen": c.Listen, "server.private_listen": c.PrivateListen,
		"telemetry.log.format": c.LogFormat, "telemetry.log.level": c.LogLevel,
	} {
		if v != "" {
			set[key] = v
		}
	}
	conf, err := config.Load(s.configFile(""), set)
	if err != nil {
		return err
	}
	if err := app.Harden(); err != nil {
		return err
	}
	log := newLogger(s.stderr, conf.Telemetry.Log)
	ballast := make([]byte, garbage)
	a, err := app.New(s.ctx, app.Options{Config: conf, Version: s.version, Logger: log})
	if err != nil {
		return err
	}
	err = a.Run(s.ctx)
	runtime.KeepAlive(ballast)
	return err
}

// newLogger returns a logger in the configured form.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // the configuration was checked; this is for none
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

type versionCmd struct{}

// Run prints the version.
func (c *versionCmd) Run(s *session) error {
	if s.root.JSON {
		return s.printValue(map[string]string{"version": s.version})
	}
	_, err := fmt.Fprintln(s.stdout, "evergrant "+s.version)
	return err
}
