//go:build unix && !linux

package spool

import (
	"errors"
	"os"
)

// errNoFallocate means that the system cannot preallocate.
var errNoFallocate = errors.New("no fallocate")

func fallocate(int, int64) error { return errNoFallocate }

// datasync makes what was written to f durable.
func datasync(f *os.File) error { return f.Sync() }
