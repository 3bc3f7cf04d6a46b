package spool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRunsAreKeptUntilOthersAre(t *testing.T) {
	b := newRig(t)
	s := b.open()
	if got, err := s.Runs(); err != nil || len(got) != 0 {
		t.Errorf("a new spool has runs %v, %v", got, err)
	}
	for _, ids := range [][]string{{"own_1"}, {"own_1", "own_2"}, {"own_3"}} {
		must(t, s.SetRuns(ids...))
		must(t, s.Close())
		s = b.open()
		if got, err := s.Runs(); err != nil || !slices.Equal(got, ids) {
			t.Errorf("runs are %v, %v; want %v", got, err, ids)
		}
	}
}

func TestRunsAreNotReadThroughALink(t *testing.T) {
	b := newRig(t)
	s := b.open()
	must(t, os.Symlink("elsewhere", filepath.Join(b.o.Dir, runsFile)))
	if _, err := s.Runs(); !errors.Is(err, unix.ELOOP) {
		t.Errorf("error is %v", err)
	}
}
