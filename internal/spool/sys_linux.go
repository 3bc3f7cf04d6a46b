package spool

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// errNoFallocate means that the file system cannot preallocate.
var errNoFallocate = errors.New("no fallocate")

func fallocate(fd int, size int64) error {
	switch err := unix.Fallocate(fd, 0, 0, size); err {
	case unix.EOPNOTSUPP, unix.ENOSYS:
		return errNoFallocate
	default:
		return err
	}
}

// datasync makes what was written to f durable.
func datasync(f *os.File) error { return withFD(f, unix.Fdatasync) }
