package spool

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/seal"
)

const firstSegment = "00000001.spool"

// left writes entries 0 to n-1 and closes the spool, as an earlier process would
// have left it.
func (b *rig) left(n int) []Entry {
	b.t.Helper()
	s := b.open()
	var entries []Entry
	for i := range n {
		entries = append(entries, entry(i, 1000))
		write(b.t, s, entries[i]).Release()
	}
	must(b.t, s.Close())
	return entries
}

func TestPendingEntriesComeOldestFirstAcrossSegments(t *testing.T) {
	b := newRig(t)
	b.o.SegmentBytes = minSegment
	var want []Entry
	for i := range 3 { // three processes
		s := b.open()
		for j := range 9 {
			e := entry(i*9+j, MaxBody/2)
			want = append(want, e)
			write(t, s, e)
		}
		must(t, s.Close())
	}
	if d := diff(want, b.open().Pending()); d != "" {
		t.Errorf("Pending() (-want +got):\n%s", d)
	}
}

func TestATornLastFrameCostsOnlyItself(t *testing.T) {
	for _, cut := range []int{1, 16, 900, 1000} {
		t.Run(fmt.Sprint(cut, " bytes are missing"), func(t *testing.T) {
			b := newRig(t)
			entries := b.left(3)
			b.edit(firstSegment, func(c []byte) []byte {
				clear(c[len(c)-cut:])
				return append(c, make([]byte, 1<<20)...) // preallocated, as a crash leaves it
			})
			s := b.open()
			if d := diff(entries[:2], s.Pending()); d != "" {
				t.Errorf("Pending() (-want +got):\n%s", d)
			}
			if got := s.Stats().Damaged; got != 1 {
				t.Errorf("Damaged = %d, want 1", got)
			}
			if log := b.logs.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "level=INFO") {
				t.Errorf("logged\n%swant one line of level INFO", log)
			}
		})
	}
}

func TestDamageInTheMiddleCostsOnlyWhatItHit(t *testing.T) {
	b := newRig(t)
	b.left(1)
	content, err := os.ReadFile(filepath.Join(b.o.Dir, firstSegment))
	must(t, err)
	size := len(content)
	for name, at := range map[string]int{
		"magic": 0, "id length": 5, "payload length, high": 6, "payload length, low": 9,
		"epoch": 17, "seq": 25, "checksum": crcAt, "attempt id": headBytes + 3, "payload": size - 1,
	} {
		t.Run(name, func(t *testing.T) {
			b := newRig(t)
			entries := b.left(3)
			b.edit(firstSegment, func(c []byte) []byte { c[size+at] ^= 0x40; return c })
			s := b.open()
			if d := diff([]Entry{entries[0], entries[2]}, s.Pending()); d != "" {
				t.Errorf("Pending() (-want +got):\n%s", d)
			}
			if got := s.Stats().Damaged; got != 1 {
				t.Errorf("Damaged = %d, want 1", got)
			}
			if log := b.logs.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "level=WARN") {
				t.Errorf("logged\n%swant one line of level WARN", log)
			}
		})
	}
}

func TestADamagedStateMeansPending(t *testing.T) {
	b := newRig(t)
	entries := b.left(1)
	b.edit(firstSegment, func(c []byte) []byte { c[stateAt] = 'x'; return c })
	if d := diff(entries, b.open().Pending()); d != "" {
		t.Errorf("Pending() (-want +got):\n%s", d)
	}
}

func TestWhatCannotBeReadIsKeptAside(t *testing.T) {
	b := newRig(t)
	entries := b.left(3)
	b.edit(firstSegment, func(c []byte) []byte { c[len(c)/2] ^= 1; return c })
	before, err := os.ReadFile(filepath.Join(b.o.Dir, firstSegment))
	must(t, err)
	s := b.open()
	b.now = time.Now().Add(2 * defaultRetention) // recovered segments carry the file system's time
	must(t, s.Done(entries[0].AttemptID))
	must(t, s.Done(entries[2].AttemptID))
	b.now = b.now.Add(defaultRetention)
	must(t, write(t, s, entry(9, 10)).Done())
	if got, want := b.segments(), []string{firstSegment + keptSuffix, "00000002.spool"}; !slices.Equal(got, want) {
		t.Fatalf("segments %v, want %v", got, want)
	}
	after, err := os.ReadFile(filepath.Join(b.o.Dir, firstSegment+keptSuffix))
	must(t, err)
	for _, mark := range [][]byte{before, after} { // but for the marks of done
		for i := range mark {
			if bytes.HasPrefix(mark[i:], []byte(magic)) {
				mark[i+stateAt] = 0
			}
		}
	}
	if !bytes.Equal(before, after) {
		t.Error("what is kept aside was changed")
	}
	must(t, s.Close())
	s = b.open()
	if got := s.Stats(); got.Damaged != 0 || got.Entries != 0 {
		t.Errorf("what is kept aside is read again: %+v", got)
	}
	if got := b.segments(); !slices.Contains(got, firstSegment+keptSuffix) {
		t.Errorf("segments %v: what was kept is gone", got)
	}
}

func TestWithAnotherDataKeyNothingOpensAndNothingIsLost(t *testing.T) {
	b := newRig(t)
	entries := b.left(3)
	right := b.o.Ring
	var err error
	b.o.Ring, err = seal.Ephemeral()
	must(t, err)
	s := b.open()
	if got := s.Stats(); got.Damaged != 3 || got.Entries != 0 || s.Pending() != nil {
		t.Errorf("with the wrong key: %+v, pending %v", got, s.Pending())
	}
	must(t, s.Close())
	b.o.Ring = right
	if d := diff(entries, b.open().Pending()); d != "" {
		t.Errorf("with the right key again (-want +got):\n%s", d)
	}
}

func TestAFrameMovedToAnotherAttemptDoesNotOpen(t *testing.T) {
	b := newRig(t)
	b.left(1)
	b.edit(firstSegment, func(c []byte) []byte {
		f, ok := frameAt(c, 0)
		if !ok {
			t.Fatal("no frame")
		}
		forged := appendFrame(nil, f.id, f.of.Next(), f.sealed)
		forged = appendFrame(forged, "att_other", f.of, f.sealed)
		return appendFrame(forged, f.id, grant.Version{Epoch: f.of.Epoch + 1, Seq: f.of.Seq}, f.sealed)
	})
	s := b.open()
	if got := s.Stats(); s.Pending() != nil || got.Damaged != 3 {
		t.Errorf("pending %v, %+v", s.Pending(), got)
	}
}

func TestIdleRestartsLeaveOneSegment(t *testing.T) {
	b := newRig(t)
	for range 5 {
		must(t, b.open().Close())
	}
	s := b.open()
	if got := b.segments(); len(got) != 1 || s.Stats().Bytes != defaultSegment {
		t.Errorf("segments %v, %d bytes", got, s.Stats().Bytes)
	}
	// A crash leaves the preallocated segment.
	must(t, s.Close())
	must(t, os.WriteFile(filepath.Join(b.o.Dir, "00000042.spool"), make([]byte, minSegment), 0o600))
	b.open()
	if got, want := b.segments(), []string{"00000043.spool"}; !slices.Equal(got, want) {
		t.Errorf("segments %v, want %v", got, want)
	}
}

func TestARestartCostsNoMoreDiskThanWhatWasWritten(t *testing.T) {
	b := newRig(t)
	b.left(3)
	s := b.open()
	if got := s.Stats().Bytes - defaultSegment; got > 3*1300 {
		t.Errorf("three entries of 1000 bytes take %d bytes", got)
	}
}

func TestMoreThanMaxBytesLeftByAnEarlierProcessCanBeDrained(t *testing.T) {
	b := newRig(t)
	b.o.SegmentBytes = minSegment
	s := b.open()
	for i := range 20 {
		write(t, s, entry(i, MaxBody))
	}
	must(t, s.Close())
	b.small()
	s = b.open()
	if _, err := s.Reserve(); err != nil { // the first segment has room for some
		t.Errorf("Reserve = %v", err)
	}
	for _, e := range s.Pending() {
		must(t, s.Done(e.AttemptID))
	}
	for range 40 {
		_, err := s.Reserve()
		must(t, err)
	}
	if got := s.Stats().Bytes; got > b.o.MaxBytes {
		t.Errorf("%d bytes after draining, more than MaxBytes", got)
	}
}
