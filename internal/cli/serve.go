package cli

import (
	"fmt"
	"io"
	"log/slog"

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
	a, err := app.New(s.ctx, app.Options{Config: conf, Version: s.version, Logger: log})
	if err != nil {
		return err
	}
	return a.Run(s.ctx)
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
