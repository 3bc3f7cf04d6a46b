package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evergrant/evergrant/internal/fault"
)

// segment is one file of the spool. Spool.mu guards its fields, except that the
// syncer reads written.
type segment struct {
	path   string
	f      *os.File
	size   int64 // of the file
	used   int64 // where the next frame goes
	undone int
	doneAt time.Time // when its last entry was done
	// damaged is set if Open could not read all of it; then it is kept aside
	// and never deleted.
	damaged bool
	failed  atomic.Bool  // a write or a sync failed; nothing more is appended
	written atomic.Int64 // used, for the syncer
	sync    *syncer
}

const suffix = ".spool"

// segmentName is the file name of the segment with a number.
func segmentName(n uint64) string { return fmt.Sprintf("%08d%s", n, suffix) }

// segmentNumber is the inverse. Files kept aside have a number too, so that it
// is not given again.
func segmentNumber(name string) (n uint64, kept, ok bool) {
	name, kept = strings.CutSuffix(name, keptSuffix)
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) < 8 {
		return 0, kept, false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, kept, err == nil
}

// createSegment makes a file of size bytes whose room is taken now, so that no
// later write into it can find the disk full. It leaves nothing behind when it
// fails.
func createSegment(dir string, n uint64, size int64) (*segment, error) {
	path := filepath.Join(dir, segmentName(n))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = preallocate(f, size)
	if err == nil {
		err = syncDir(dir) // or a synced entry would be in a file that has no name
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return nil, err
	}
	return newSegment(path, f, size), nil
}

func newSegment(path string, f *os.File, size int64) *segment {
	g := &segment{path: path, f: f, size: size}
	g.sync = newSyncer(func() (int64, error) {
		upTo := g.written.Load() // before the call: what comes later may be missed
		err := flush(f)
		if err != nil {
			g.failed.Store(true)
		}
		return upTo, err
	})
	return g
}

// flush makes what was written to f survive the loss of power.
func flush(f *os.File) error {
	if err := fault.Point("spool.before-sync"); err != nil {
		return err
	}
	if err := datasync(f); err != nil {
		return err
	}
	return fault.Point("spool.synced")
}

// preallocate takes size bytes of disk for f, which is empty.
func preallocate(f *os.File, size int64) error {
	err := withFD(f, func(fd int) error { return fallocate(fd, size) })
	if !errors.Is(err, errNoFallocate) {
		return err
	}
	return fill(f, size)
}

// fill writes size zeros, which is the other way to take disk.
func fill(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off); err != nil {
			return err
		}
	}
	return nil
}

// append writes one frame in one system call.
func (g *segment) append(frame []byte) (off int64, err error) {
	if err := g.write(frame); err != nil {
		// What is at used now is unknown: go on in another segment.
		g.failed.Store(true)
		return 0, err
	}
	off = g.used
	g.used += int64(len(frame))
	g.written.Store(g.used)
	return off, nil
}

// write writes a frame where the next one goes.
func (g *segment) write(frame []byte) error {
	if err := fault.Point("spool.before-write"); err != nil {
		return err
	}
	if _, err := g.f.WriteAt(frame, g.used); err != nil {
		return err
	}
	return fault.Point("spool.written")
}

// left is how many bytes can still be appended.
func (g *segment) left() int64 {
	if g.failed.Load() {
		return 0
	}
	return g.size - g.used
}

// trim gives the unused end of the file back to the disk. Failing to is harmless.
func (g *segment) trim() {
	if g.size > g.used && g.f.Truncate(g.used) == nil {
		g.size = g.used
	}
}

// withFD calls fn with f's descriptor, which stays open meanwhile.
func withFD(f *os.File, fn func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := c.Control(func(fd uintptr) { inner = retryEINTR(func() error { return fn(int(fd)) }) }); err != nil {
		return err
	}
	return inner
}

// retryEINTR repeats a system call that a signal interrupted.
func retryEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}
