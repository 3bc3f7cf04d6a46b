package spool

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/oauth"
)

// reserveAll takes every slot there is.
func reserveAll(t *testing.T, s *Spool) []*Slot {
	t.Helper()
	var slots []*Slot
	for {
		l, err := s.Reserve()
		if errors.Is(err, ErrFull) {
			return slots
		}
		must(t, err)
		slots = append(slots, l)
	}
}

func TestReserveIsFullAtMaxBytesAndEverySlotCanBeWritten(t *testing.T) {
	b := newRig(t).small()
	s := b.open()
	slots := reserveAll(t, s)
	if got := s.Stats(); got.Reserved != len(slots) || got.Bytes > b.o.MaxBytes || len(slots) < 50 {
		t.Errorf("Stats() = %+v with %d slots and %d bytes allowed", got, len(slots), b.o.MaxBytes)
	}
	segments := s.number
	for i, l := range slots {
		must(t, l.Write(entry(i, 64<<10)))
	}
	if s.number != segments {
		t.Error("writing what was reserved took more disk")
	}
}

func TestTwoAnswersOfAnySizeFitInAFullyReservedSpool(t *testing.T) {
	for _, first := range []int{0, 20} { // so many of the others come before
		s := newRig(t).small().open()
		segments := s.number + 1
		for i, l := range reserveAll(t, s) {
			size := 64 << 10
			if i == first || i == first+1 {
				size = MaxBody
			}
			must(t, l.Write(entry(i, size)))
		}
		if s.number != segments {
			t.Errorf("%d segments, want %d: two long answers took more disk", s.number, segments)
		}
	}
}

func TestAThirdLongAnswerTakesMoreDiskAndNotTheRoomOfOthers(t *testing.T) {
	b := newRig(t).small()
	s := b.open()
	slots := reserveAll(t, s)
	for i, l := range slots[:8] {
		must(t, l.Write(entry(i, MaxBody)))
	}
	if got := s.Stats().Bytes; got <= b.o.MaxBytes {
		t.Errorf("eight answers of 1 MiB besides %d slots take %d bytes", len(slots)-8, got)
	}
	segments := s.number
	for i, l := range slots[8:] {
		must(t, l.Write(entry(i+8, 64<<10)))
	}
	if s.number != segments {
		t.Error("the long answers took the others' room")
	}
	if _, err := s.Reserve(); !errors.Is(err, ErrFull) {
		t.Errorf("Reserve beyond MaxBytes = %v, want ErrFull", err)
	}
}

func TestReleasedRoomIsGivenAgain(t *testing.T) {
	s := newRig(t).small().open()
	for range 1000 {
		l, err := s.Reserve()
		must(t, err)
		l.Release()
		l.Release()
	}
	if got := s.Stats().Reserved; got != 0 {
		t.Errorf("%d slots are reserved", got)
	}
}

func TestHundredsOfRequestsFitTheDefaultsAndLeaveNoFootprint(t *testing.T) {
	b := newRig(t)
	s := b.open()
	var slots []*Slot
	for range 800 {
		l, err := s.Reserve()
		must(t, err)
		slots = append(slots, l)
	}
	if got := s.Stats().Bytes; got > defaultMax/4 {
		t.Errorf("800 slots take %d bytes of disk", got)
	}
	for i, l := range slots {
		must(t, l.Write(entry(i, 2000)))
		must(t, l.Done())
	}
	if got := s.Stats(); got != (Stats{Bytes: defaultSegment}) {
		t.Errorf("after the burst: %+v, want one segment", got)
	}
}

func TestASpoolKeepsWorkingWhenItHasBeenFilledManyTimes(t *testing.T) {
	b := newRig(t).small()
	s := b.open()
	for i := range 600 {
		must(t, write(t, s, entry(i, 60_000)).Done())
		if got := s.Stats().Bytes; got > b.o.MaxBytes {
			t.Fatalf("%d bytes after %d entries, more than MaxBytes", got, i)
		}
	}
}

func TestTheLongestEntryFits(t *testing.T) {
	if MaxBody != oauth.MaxBody {
		t.Errorf("MaxBody is %d, oauth's is %d", MaxBody, oauth.MaxBody)
	}
	b := newRig(t)
	s := b.open()
	name := string(slices.Repeat([]byte{'<'}, maxID)) // JSON takes six bytes for each
	e := entry(1, MaxBody)
	e.Kind, e.AttemptID, e.GrantID, e.App = Kind(name), name, name, name
	e.Type = string(slices.Repeat([]byte{'<'}, maxType))
	e.Of.Epoch, e.Of.Seq, e.Status = -1<<63, -1<<63, -1<<63
	write(t, s, e)
	must(t, s.Close())
	if d := diff([]Entry{e}, b.open().Pending()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestDoneSegmentsAreKeptForTheirRetentionAndThenGo(t *testing.T) {
	b := newRig(t)
	b.o.SegmentBytes = minSegment
	s := b.open()
	for i := range 8 {
		must(t, write(t, s, entry(i, MaxBody/2)).Done())
	}
	last := write(t, s, entry(8, 100))
	if got, want := b.segments(), []string{"00000001.spool", "00000002.spool"}; !slices.Equal(got, want) {
		t.Fatalf("segments %v, want %v", got, want)
	}
	b.now = b.now.Add(defaultRetention - time.Second)
	must(t, last.Done())
	if got := b.segments(); len(got) != 2 {
		t.Errorf("segments %v before the retention has passed", got)
	}
	last = write(t, s, entry(9, 100))
	b.now = b.now.Add(time.Second)
	must(t, last.Done())
	if got, want := b.segments(), []string{"00000002.spool"}; !slices.Equal(got, want) {
		t.Errorf("segments %v, want %v", got, want)
	}
}

func TestASegmentWithAnEntryThatIsNotDoneStays(t *testing.T) {
	b := newRig(t)
	b.o.SegmentBytes = minSegment
	s := b.open()
	stays := write(t, s, entry(0, 100))
	for i := range 200 {
		must(t, write(t, s, entry(i+1, 60_000)).Done())
		b.now = b.now.Add(defaultRetention)
	}
	if got := b.segments(); !slices.Contains(got, firstSegment) || slices.Contains(got, "00000002.spool") {
		t.Fatalf("segments %v: want that of the pending entry and not the second", got)
	}
	must(t, stays.Done())
	b.now = b.now.Add(defaultRetention)
	must(t, write(t, s, entry(999, 100)).Done())
	if slices.Contains(b.segments(), firstSegment) {
		t.Errorf("segments %v: the first is kept for no entry", b.segments())
	}
}

func TestASegmentThatFailsIsGivenUp(t *testing.T) {
	b := newRig(t)
	s := b.open()
	must(t, write(t, s, entry(1, 1000)).Done())
	l, err := s.Reserve()
	must(t, err)
	must(t, s.active[0].f.Close()) // the disk's answer from now on is an error
	must(t, l.Write(entry(2, 1000)))
	must(t, l.Sync(t.Context()))
	if got, want := b.segments(), []string{"00000001.spool", "00000002.spool"}; !slices.Equal(got, want) {
		t.Errorf("segments %v, want %v", got, want)
	}
	s.old = nil // its file is closed already
}

func TestDiskIsTakenInAdvanceAndPrivate(t *testing.T) {
	b := newRig(t)
	b.open()
	for name, want := range map[string]os.FileMode{".": 0o700 | os.ModeDir, "lock": 0o600, "00000001.spool": 0o600} {
		info, err := os.Stat(filepath.Join(b.o.Dir, name))
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(b.o.Dir, "00000001.spool"), &st))
	if st.Size != defaultSegment || st.Blocks*512 < defaultSegment {
		t.Errorf("the segment has %d bytes and %d on disk, want %d", st.Size, st.Blocks*512, defaultSegment)
	}
}

func TestWhereTheDiskCannotPreallocateZerosAreWritten(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "segment"))
	must(t, err)
	defer func() { must(t, f.Close()) }()
	const size = 5<<20 + 123
	must(t, fill(f, size))
	b, err := os.ReadFile(f.Name())
	must(t, err)
	if got := scan(b); len(b) != size || got.used != 0 {
		t.Errorf("%d bytes, %d of them used; want %d zeros", len(b), got.used, size)
	}
}

// TestNoOrderOfOperationsBreaksTheGuarantee runs random operations against a
// model: what is undone, and how many long answers came since a Reserve.
func TestNoOrderOfOperationsBreaksTheGuarantee(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newRig(t).small()
		s, err := Open(b.o)
		must(t, err)
		undone := map[string]Entry{}
		var reserved, written []*Slot
		long, next := 0, 0
		pick := func(slots *[]*Slot) *Slot {
			if len(*slots) == 0 {
				return nil
			}
			i := rapid.IntRange(0, len(*slots)-1).Draw(rt, "slot")
			l := (*slots)[i]
			*slots = slices.Delete(*slots, i, i+1)
			return l
		}
		put := func(size int) {
			l := pick(&reserved)
			if l == nil {
				return
			}
			e := entry(next, size)
			next++
			if err := l.Write(e); err != nil {
				rt.Fatalf("Write of %d bytes to a reserved slot: %v", size, err)
			}
			undone[e.AttemptID], written = e, append(written, l)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"reserve": func(rt *rapid.T) {
				for range rapid.IntRange(1, 120).Draw(rt, "n") {
					l, err := s.Reserve()
					if errors.Is(err, ErrFull) {
						return
					}
					must(t, err)
					reserved, long = append(reserved, l), 0
				}
			},
			"write": func(rt *rapid.T) {
				segments := s.number
				put(rapid.SampledFrom([]int{0, 1500, 30_000, 64 << 10}).Draw(rt, "size"))
				if s.number != segments && long <= 2 {
					rt.Fatal("an answer of at most 64 KiB took more disk")
				}
			},
			"write long": func(rt *rapid.T) {
				segments := s.number
				if len(reserved) == 0 {
					return
				}
				put(rapid.IntRange(64<<10+1, MaxBody).Draw(rt, "size"))
				if long++; s.number != segments && long <= 2 {
					rt.Fatalf("long answer %d since Reserve took more disk", long)
				}
			},
			"done": func(rt *rapid.T) {
				if l := pick(&written); l != nil {
					must(t, l.Done())
					delete(undone, l.rec.id)
				}
			},
			"release": func(*rapid.T) {
				if l := pick(&reserved); l != nil {
					l.Release()
				}
			},
			"restart": func(rt *rapid.T) {
				must(t, s.Close())
				s, err = Open(b.o)
				must(t, err)
				got := map[string]Entry{}
				for _, e := range s.Pending() {
					got[e.AttemptID] = e
				}
				if d := diff(undone, got); d != "" {
					rt.Fatalf("pending after a restart (-want +got):\n%s", d)
				}
				reserved, written, long = nil, nil, 0
				for _, id := range slices.Sorted(maps.Keys(undone)) {
					if rapid.Bool().Draw(rt, "done") {
						must(t, s.Done(id))
						delete(undone, id)
					}
				}
			},
			"": func(rt *rapid.T) {
				got := s.Stats()
				if got.Entries != len(undone) || got.Reserved != len(reserved) || got.Damaged != 0 {
					rt.Fatalf("Stats() = %+v with %d entries and %d slots", got, len(undone), len(reserved))
				}
				if disk := diskBytes(t, b.o.Dir); got.Bytes != disk {
					rt.Fatalf("Stats().Bytes = %d, on disk %d", got.Bytes, disk)
				}
			},
		})
		must(t, s.Close())
		must(t, os.RemoveAll(b.o.Dir))
	})
}

// diskBytes adds up the segment files.
func diskBytes(t testing.TB, dir string) int64 {
	t.Helper()
	names, err := os.ReadDir(dir)
	must(t, err)
	var n int64
	for _, d := range names {
		if filepath.Ext(d.Name()) == suffix {
			info, err := d.Info()
			must(t, err)
			n += info.Size()
		}
	}
	return n
}
