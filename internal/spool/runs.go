package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// runsFile holds the ids of the runs of the store that the entries belong to.
const runsFile = "runs"

// maxRunsFile bounds what is read of it.
const maxRunsFile = 4 << 10

// Runs returns the ids that SetRuns kept last, none in a new directory.
func (s *Spool) Runs() ([]string, error) {
	f, err := os.OpenFile(filepath.Join(s.o.Dir, runsFile), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, dirError(s.o.Dir, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRunsFile))
	if err != nil {
		return nil, dirError(s.o.Dir, err)
	}
	return strings.Fields(string(b)), nil
}

// SetRuns keeps the ids, which have no white space in them, durably and at once
// instead of those before.
func (s *Spool) SetRuns(ids ...string) error {
	path := filepath.Join(s.o.Dir, runsFile)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return dirError(s.o.Dir, err)
	}
	_, err = fmt.Fprintln(f, strings.Join(ids, "\n"))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return dirError(s.o.Dir, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return dirError(s.o.Dir, err)
	}
	if err := syncDir(s.o.Dir); err != nil {
		return dirError(s.o.Dir, err)
	}
	return nil
}
