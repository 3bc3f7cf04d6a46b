package spool

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// kept is what Kept yields, each entry as its number and its mark.
func kept(s *Spool) []string {
	var all []string
	for e, done := range s.Kept() {
		all = append(all, fmt.Sprint(e.GrantID, " ", done))
	}
	return all
}

func TestWhatEarlierProcessesLeftIsKeptNewestFirst(t *testing.T) {
	b := newRig(t)
	for i := range 3 { // processes
		s := b.open()
		if i == 0 && len(kept(s)) != 0 {
			t.Error("a new spool holds something")
		}
		must(t, write(t, s, entry(2*i, 100)).Done())
		write(t, s, entry(2*i+1, 100))
		must(t, s.Close())
	}
	s := b.open()
	must(t, write(t, s, entry(9, 100)).Done()) // this process's own
	want := []string{"grant_9 true", "grant_5 false", "grant_4 true", "grant_3 false", "grant_2 true", "grant_1 false", "grant_0 true"}
	if got := kept(s); !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	for range s.Kept() {
		break // a reader may stop early
	}
}

func TestWhatIsKeptOutlivesAnyPauseUntilTheNextEntryIsDone(t *testing.T) {
	b := newRig(t)
	s := b.open()
	must(t, write(t, s, entry(0, 100)).Done())
	must(t, s.Close())
	b.now = b.now.Add(1000 * time.Hour)
	s = b.open()
	if got := kept(s); len(got) != 1 {
		t.Fatalf("kept %v, want one entry", got)
	}
	must(t, write(t, s, entry(1, 100)).Done())
	if got, want := kept(s), []string{"grant_1 true"}; !slices.Equal(got, want) {
		t.Errorf("kept %v after its retention, want %v", got, want)
	}
}

func TestForgottenEntriesAreGoneAndPendingOnesStay(t *testing.T) {
	b := newRig(t)
	s := b.open()
	must(t, write(t, s, entry(0, 100)).Done())
	must(t, s.Close())
	s = b.open()
	write(t, s, entry(1, 100))
	must(t, s.Close())
	s = b.open()
	must(t, s.Forget())
	if got, want := kept(s), []string{"grant_1 false"}; !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	if n := len(s.Pending()); n != 1 {
		t.Errorf("%d entries are pending, want 1", n)
	}
}
