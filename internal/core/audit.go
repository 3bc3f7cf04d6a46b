package core

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
)

// openAudit opens the file that uses of the API are written to, nil if path is "".
// It is only ever added to, so it may be rotated by copying and truncating it.
func (c *Core) openAudit(path string, log *slog.Logger) (*slog.Logger, error) {
	if path == "" {
		return nil, nil
	}
	if err := makeFolder(filepath.Dir(path), "telemetry.audit"); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open telemetry.audit: %w", err)
	}
	c.undo.Add("audit log", func(context.Context) error { return f.Close() })
	return slog.New(slog.NewJSONHandler(&auditFile{f: f, log: log}, nil)), nil
}

// auditFile says once that lines are lost, and once that they no longer are: a
// full disk keeps nobody from a token.
type auditFile struct {
	f      *os.File
	log    *slog.Logger
	failed atomic.Bool
}

// Write implements [io.Writer].
func (a *auditFile) Write(line []byte) (int, error) {
	n, err := a.f.Write(line)
	if failed := err != nil; a.failed.Swap(failed) != failed {
		if failed {
			a.log.Error("lines of the audit log are lost", "file", a.f.Name(), "error", err)
		} else {
			a.log.Info("the audit log is written again", "file", a.f.Name())
		}
	}
	return n, err
}
