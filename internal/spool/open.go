package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Open opens the spool in o.Dir, reads what an earlier process left, and takes
// the disk for the first segment. Its errors are one line with what to do next.
func Open(o Options) (*Spool, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, dirError(o.Dir, err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, dirError(o.Dir, err)
	}
	s := &Spool{o: o, lock: lock, undone: map[string][]*record{}}
	if err := s.start(); err != nil {
		for _, g := range s.old {
			_ = g.f.Close()
		}
		_ = lock.Close()
		return nil, err
	}
	return s, nil
}

// start reads the old segments and adds the first new one.
func (s *Spool) start() error {
	if err := s.recover(); err != nil {
		return dirError(s.o.Dir, err)
	}
	// Whatever an earlier process left must be committed before it can go, and
	// what is only kept may be all that a restored store can be redone from. Both
	// need an open spool: MaxBytes does not bind the first segment.
	if err := s.grow(noLimit); err != nil {
		return dirError(s.o.Dir, err)
	}
	return nil
}

var errInUse = errors.New("another process uses it")

// lockDir makes sure that no other process uses the directory. The lock ends
// with the process, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = withFD(f, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errInUse
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// dirError words an error of Open for operators.
func dirError(dir string, err error) error {
	next := "see that it is on a local disk in order"
	switch {
	case errors.Is(err, errInUse):
		next = "stop the other evergrant, or give this one a spool of its own"
	case errors.Is(err, ErrFull): // says so itself
		return err
	case errors.Is(err, fs.ErrPermission):
		next = "let the user that runs evergrant own it, with mode 0700"
	case errors.Is(err, unix.ENOTDIR):
		next = "name a directory"
	case errors.Is(err, unix.ELOOP):
		next = "replace the symbolic link in it with the file"
	case errors.Is(err, unix.EROFS):
		next = "name a directory on a disk that can be written"
	case isDiskFull(err):
		next = "free some room, or move the spool to another disk"
	}
	return fmt.Errorf("spool directory %s: %w; %s", dir, err, next)
}

// recover reads the segments of earlier processes, oldest first.
func (s *Spool) recover() error {
	names, err := os.ReadDir(s.o.Dir) // sorted by name, which is by number
	if err != nil {
		return err
	}
	var d damage
	for _, entry := range names {
		n, kept, ok := segmentNumber(entry.Name())
		if !ok {
			continue
		}
		s.number = max(s.number, n)
		if kept {
			continue
		}
		if err := s.read(filepath.Join(s.o.Dir, entry.Name()), &d); err != nil {
			return err
		}
	}
	s.damaged = d.torn + d.unreadable
	d.log(s.o.Logger)
	return nil
}

// read takes over one segment. Only an error that hides its content is returned.
func (s *Spool) read(path string, d *damage) error {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	b, info, err := readSegment(f)
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	found := scan(b)
	g := newSegment(path, f, info.Size())
	g.used, g.doneAt = int64(found.used), info.ModTime()
	s.bytes += g.size
	if found.used == 0 { // preallocated and never written to
		s.drop(g)
		return nil
	}
	s.retire(g)
	unreadable := found.gaps
	for _, fr := range found.frames {
		if !fr.done && !s.take(g, fr) {
			unreadable++
		}
	}
	g.damaged = found.torn || unreadable > 0
	d.add(g, found.torn, unreadable)
	return nil
}

// readSegment reads a whole segment.
func readSegment(f *os.File) ([]byte, fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSegment {
		return nil, nil, errors.New("is not a spool segment; move it away")
	}
	b := make([]byte, info.Size())
	_, err = io.ReadFull(f, b)
	return b, info, err
}

// take makes a frame that is not done a pending entry. It reports whether the
// frame opens.
func (s *Spool) take(g *segment, f frame) bool {
	plaintext, err := s.o.Ring.Open(f.slot(), f.sealed)
	if err != nil {
		return false
	}
	e, err := parseEntry(f.id, f.of, plaintext)
	if err != nil {
		return false
	}
	r := &record{seg: g, off: int64(f.off), end: int64(f.end), id: f.id, entry: &e}
	s.track(r)
	s.found = append(s.found, r)
	return true
}

// damage is what could not be read.
type damage struct {
	torn       int // segments that end in the middle of a frame
	unreadable int // other places
	files      []string
}

func (d *damage) add(g *segment, torn bool, unreadable int) {
	if torn {
		d.torn++
	}
	d.unreadable += unreadable
	if g.damaged {
		d.files = append(d.files, filepath.Base(g.path))
	}
}

// log says it once. A torn end is what a crash in the middle of a write leaves;
// nobody was told that such an entry is safe.
func (d *damage) log(l *slog.Logger) {
	switch {
	case d.unreadable > 0:
		l.Warn("the spool holds responses that cannot be read: damaged, or sealed with another data key; their files are kept",
			"unreadable", d.unreadable, "torn", d.torn, "files", d.files)
	case d.torn > 0:
		l.Info("a crash interrupted a write to the spool; the file is kept", "torn", d.torn, "files", d.files)
	}
}
