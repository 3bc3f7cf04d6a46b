package core

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheAuditIsAddedToAndItsLossIsToldOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log", "audit.log")
	var told bytes.Buffer
	var c Core
	for range 2 { // a start, and another one
		audit, err := c.openAudit(path, slog.New(slog.NewTextHandler(&told, nil)))
		if err != nil {
			t.Fatal(err)
		}
		audit.Info("call", "key", "key_1")
		if err := c.undo.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		c.undo = Undo{}
		if told.Len() > 0 {
			t.Fatalf("the log says %s", &told)
		}
		audit.Info("call", "key", "late") // the file is closed
		audit.Info("call", "key", "later")
		if n := strings.Count(told.String(), "lines of the audit log are lost"); n != 1 {
			t.Errorf("told %d times of lost lines: %s", n, &told)
		}
		told.Reset()
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), `"key":"key_1"`) != 2 || strings.Contains(string(text), "late") {
		t.Errorf("%v: %s", err, text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
