package spool

import (
	"testing"
)

func TestAnEntryIsPendingUntilItIsDone(t *testing.T) {
	b := newRig(t)
	s := b.open()
	first, second := entry(1, 1500), entry(2, 900)
	write(t, s, first).Release()
	done := write(t, s, second)
	must(t, done.Done())
	if got, want := s.Stats(), (Stats{Entries: 1, Bytes: defaultSegment}); got != want {
		t.Errorf("Stats() = %+v, want %+v", got, want)
	}
	if got := s.Pending(); got != nil {
		t.Errorf("Pending() returns what this process wrote: %v", got)
	}
	must(t, s.Close())

	s = b.open()
	if d := diff([]Entry{first}, s.Pending()); d != "" {
		t.Errorf("Pending() after a restart (-want +got):\n%s", d)
	}
	must(t, s.Done(first.AttemptID))
	must(t, s.Done(first.AttemptID))
	if got := s.Pending(); got != nil {
		t.Errorf("Pending() after Done = %v", got)
	}
	must(t, s.Close())

	s = b.open()
	if got := s.Pending(); got != nil {
		t.Errorf("Pending() returns what was done before the restart: %v", got)
	}
}
