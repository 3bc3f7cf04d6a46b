package spool

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/seal"
)

// TestMain runs the tests, or plays the process that a test kills.
func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		os.Exit(child(role))
	}
	goleak.VerifyTestMain(m)
}

var epoch = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// rig is a directory to open spools in, with one ring, clock and log.
type rig struct {
	t    testing.TB
	o    Options
	now  time.Time
	logs bytes.Buffer
}

func newRig(t testing.TB) *rig {
	t.Helper()
	ring, err := seal.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	b := &rig{t: t, now: epoch}
	b.o = Options{
		Dir: filepath.Join(t.TempDir(), "spool"), Ring: ring,
		Now:    func() time.Time { return b.now },
		Logger: slog.New(slog.NewTextHandler(&b.logs, nil)),
	}
	return b
}

// small lets two small segments be all there is.
func (b *rig) small() *rig {
	b.o.SegmentBytes, b.o.MaxBytes = minSegment, 2*minSegment
	return b
}

func (b *rig) open() *Spool {
	b.t.Helper()
	s, err := Open(b.o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { must(b.t, s.Close()) })
	return s
}

// segments lists the segment files.
func (b *rig) segments() []string {
	b.t.Helper()
	names, err := filepath.Glob(filepath.Join(b.o.Dir, "*"+suffix+"*"))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	return names
}

// edit changes a segment file as a fault would.
func (b *rig) edit(name string, change func([]byte) []byte) {
	b.t.Helper()
	path := filepath.Join(b.o.Dir, name)
	content, err := os.ReadFile(path)
	must(b.t, err)
	must(b.t, os.WriteFile(path, change(content), 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// diff compares bodies as a whole: byte by byte takes seconds.
func diff(want, got any) string { return cmp.Diff(want, got, cmp.Comparer(bytes.Equal)) }

// entry is a plausible entry; its body has size bytes.
func entry(i, size int) Entry {
	body := strings.Repeat(fmt.Sprintf("entry %d. ", i), size/9+1)[:size]
	return Entry{
		Kind: Refresh, AttemptID: fmt.Sprintf("att_%06d", i), GrantID: fmt.Sprintf("grant_%d", i), App: "k-series",
		Of: grant.Version{Epoch: 3, Seq: int64(i)}, SentAt: epoch.Add(time.Duration(i) * time.Millisecond),
		Status: 200, Type: "application/json", Body: []byte(body),
	}
}

// write reserves and writes one entry.
func write(t testing.TB, s *Spool, e Entry) *Slot {
	t.Helper()
	l, err := s.Reserve()
	must(t, err)
	must(t, l.Write(e))
	return l
}
