package spool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestASlotIsUsedInOrder(t *testing.T) {
	s := newRig(t).open()
	l, err := s.Reserve()
	must(t, err)
	if err := l.Sync(t.Context()); !errors.Is(err, errNotWritten) {
		t.Errorf("Sync before Write = %v", err)
	}
	if err := l.Done(); !errors.Is(err, errNotWritten) {
		t.Errorf("Done before Write = %v", err)
	}
	must(t, l.Write(entry(1, 10)))
	if err := l.Write(entry(2, 10)); !errors.Is(err, errSpent) {
		t.Errorf("second Write = %v", err)
	}
	must(t, l.Sync(t.Context()))
	must(t, l.Done())
	must(t, l.Done())
	must(t, l.Sync(t.Context())) // committed: nothing left to wait for
	l.Release()
	l.Release()
	if got := s.Stats(); got.Reserved != 0 || got.Entries != 0 {
		t.Errorf("Stats() = %+v", got)
	}

	l, err = s.Reserve()
	must(t, err)
	l.Release()
	if err := l.Write(entry(3, 10)); !errors.Is(err, errSpent) {
		t.Errorf("Write after Release = %v", err)
	}
}

func TestAWrittenEntryThatIsReleasedCanStillBeDone(t *testing.T) {
	b := newRig(t)
	s := b.open()
	l := write(t, s, entry(1, 10))
	l.Release()
	must(t, l.Done())
	write(t, s, entry(2, 10)).Release()
	must(t, s.Done("att_000002"))
	must(t, s.Close())
	if got := b.open().Pending(); got != nil {
		t.Errorf("Pending() = %v", got)
	}
}

func TestOneAttemptMayHaveSeveralEntries(t *testing.T) {
	b := newRig(t)
	s := b.open()
	first := write(t, s, entry(1, 10))
	write(t, s, entry(1, 20)).Release()
	must(t, first.Done())
	if got := s.Stats().Entries; got != 1 {
		t.Errorf("%d entries, want the second", got)
	}
	write(t, s, entry(1, 30)).Release()
	must(t, s.Done("att_000001"))
	if got := s.Stats().Entries; got != 0 {
		t.Errorf("%d entries after Done of the attempt", got)
	}
}

func TestAnEntryThatCannotBeWrittenLeavesTheReservation(t *testing.T) {
	s := newRig(t).open()
	l, err := s.Reserve()
	must(t, err)
	long := strings.Repeat("x", maxID+1)
	for name, change := range map[string]func(*Entry){
		"no attempt id":         func(e *Entry) { e.AttemptID = "" },
		"a long attempt id":     func(e *Entry) { e.AttemptID = long },
		"a long grant id":       func(e *Entry) { e.GrantID = long },
		"a long app name":       func(e *Entry) { e.App = long },
		"a long kind":           func(e *Entry) { e.Kind = Kind(long) },
		"a body over the limit": func(e *Entry) { e.Body = make([]byte, MaxBody+1) },
	} {
		e := entry(1, 10)
		change(&e)
		if err := l.Write(e); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if got := s.Stats(); got.Reserved != 1 || got.Entries != 0 {
		t.Errorf("Stats() = %+v", got)
	}
	must(t, l.Write(entry(1, 10)))
}

func TestAClosedSpoolRefusesEverything(t *testing.T) {
	b := newRig(t)
	s := b.open()
	reserved, err := s.Reserve()
	must(t, err)
	written := write(t, s, entry(1, 10))
	must(t, s.Close())
	must(t, s.Close())
	_, err = s.Reserve()
	for name, err := range map[string]error{
		"Reserve": err, "Write": reserved.Write(entry(2, 10)), "Sync": written.Sync(t.Context()),
		"Slot.Done": written.Done(), "Spool.Done": s.Done("att_000001"),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close = %v, want ErrClosed", name, err)
		}
	}
	reserved.Release()
	if got := b.open().Pending(); len(got) != 1 {
		t.Errorf("Pending() = %v, want the entry written before Close", got)
	}
}

func TestSyncReturnsWhenItsContextHasEnded(t *testing.T) {
	s := newRig(t).open()
	l := write(t, s, entry(1, 10))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Sync(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Sync = %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	b := newRig(t)
	b.o.SegmentBytes = minSegment
	s := b.open()
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 60 {
				e := entry(g*1000+i, 20_000)
				l, err := s.Reserve()
				if err != nil {
					t.Error(err)
					return
				}
				err = l.Write(e)
				if i%10 == 0 {
					err = errors.Join(err, l.Sync(t.Context()))
				}
				if i%2 == 0 {
					err = errors.Join(err, l.Done())
				}
				l.Release()
				_ = s.Stats()
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	must(t, s.Close())
	got := map[string]bool{}
	for _, e := range b.open().Pending() {
		got[e.AttemptID] = true
	}
	for g := range 16 {
		for i := range 60 {
			if id := fmt.Sprintf("att_%06d", g*1000+i); got[id] != (i%2 == 1) {
				t.Errorf("%s is pending: %t", id, got[id])
			}
		}
	}
}

func BenchmarkWriteAndDone1500Bytes(b *testing.B) {
	s := newRig(b).open()
	e := entry(1, 1500)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		must(b, write(b, s, e).Done())
	}
}

func BenchmarkWriteSyncAndDoneByManyAtOnce(b *testing.B) {
	s := newRig(b).open()
	e := entry(1, 1500)
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l := write(b, s, e)
			must(b, l.Sync(b.Context()))
			must(b, l.Done())
		}
	})
}
