package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOptionsThatCannotBeMeantAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"no directory", func(o *Options) { o.Dir = "" }, "spool: no directory; set spool to a directory on a local disk"},
		{"no ring", func(o *Options) { o.Ring = nil }, "spool: no ring to seal with"},
		{"a tiny segment", func(o *Options) { o.SegmentBytes = 1000 }, "spool: segments of 1000 bytes with at most 268435456 in all"},
		{"a huge segment", func(o *Options) { o.SegmentBytes, o.MaxBytes = 2<<30, 8<<30 }, "spool: segments of 2147483648 bytes"},
		{"a segment that fits only once", func(o *Options) { o.SegmentBytes, o.MaxBytes = 5<<20, 9<<20 }, "spool: segments of 5242880 bytes with at most 9437184 in all"},
		{"a tiny spool", func(o *Options) { o.MaxBytes = 1 << 20 }, "spool: segments of 524288 bytes with at most 1048576 in all"},
		{"a negative size", func(o *Options) { o.MaxBytes = -1 }, "spool: segments of 0 bytes with at most -1 in all"},
	} {
		b := newRig(t)
		tt.change(&b.o)
		if _, err := Open(b.o); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: error %v\nwant %s", tt.name, err, tt.want)
		}
	}
}

func TestTheZeroOptionsAreUsable(t *testing.T) {
	b := newRig(t)
	s, err := Open(Options{Dir: b.o.Dir, Ring: b.o.Ring})
	must(t, err)
	must(t, write(t, s, entry(1, 10)).Done())
	must(t, s.Close())
}

func TestOpenSaysWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		want    string
	}{
		{"the directory is a file", func(t *testing.T, dir string) {
			must(t, os.WriteFile(dir, nil, 0o600))
		}, "; name a directory"},
		{"a segment is a symbolic link", func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.Symlink("/dev/zero", filepath.Join(dir, firstSegment)))
		}, "; replace the symbolic link in it with the file"},
		{"the lock is a symbolic link", func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.Symlink(filepath.Join(dir, "victim"), filepath.Join(dir, "lock")))
		}, "; replace the symbolic link in it with the file"},
		{"a segment is a pipe", func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir, 0o700))
			must(t, unix.Mkfifo(filepath.Join(dir, firstSegment), 0o600))
		}, firstSegment + ": is not a spool segment; move it away; see that it is on a local disk in order"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newRig(t)
			tt.prepare(t, b.o.Dir)
			_, err := Open(b.o)
			if err == nil || !strings.HasPrefix(err.Error(), "spool directory "+b.o.Dir+": ") ||
				!strings.HasSuffix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v\nwant it to end in %q", err, tt.want)
			}
		})
	}
}

func TestErrorsOfTheSystemComeWithTheNextStep(t *testing.T) {
	for _, tt := range []struct {
		cause error
		next  string
	}{
		{unix.EACCES, "let the user that runs evergrant own it, with mode 0700"},
		{unix.EPERM, "let the user that runs evergrant own it, with mode 0700"},
		{unix.ENOSPC, "free some room, or move the spool to another disk"},
		{unix.EDQUOT, "free some room, or move the spool to another disk"},
		{unix.EROFS, "name a directory on a disk that can be written"},
		{unix.EIO, "see that it is on a local disk in order"},
	} {
		err := dirError("/spool", &fs.PathError{Op: "open", Path: "/spool/lock", Err: tt.cause})
		want := fmt.Sprintf("spool directory /spool: open /spool/lock: %v; %s", tt.cause, tt.next)
		if err.Error() != want || !errors.Is(err, tt.cause) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

func TestOtherFilesInTheDirectoryAreLeftAlone(t *testing.T) {
	b := newRig(t)
	must(t, os.Mkdir(b.o.Dir, 0o700))
	names := []string{"notes.txt", "1.spool", "x0000001.spool", "00000001.spool.bak", "-0000001.spool", "00000001.kept"}
	for _, name := range names {
		must(t, os.WriteFile(filepath.Join(b.o.Dir, name), []byte("mine"), 0o600))
	}
	s := b.open()
	must(t, write(t, s, entry(1, 10)).Done())
	must(t, s.Close())
	b.open()
	for _, name := range names {
		if got, err := os.ReadFile(filepath.Join(b.o.Dir, name)); err != nil || string(got) != "mine" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestAFailedOpenLeavesTheDirectoryUnlocked(t *testing.T) {
	b := newRig(t)
	must(t, os.Mkdir(b.o.Dir, 0o700))
	link := filepath.Join(b.o.Dir, "00000009.spool")
	must(t, os.Symlink("/dev/zero", link))
	if _, err := Open(b.o); err == nil {
		t.Fatal("a symbolic link is followed")
	}
	must(t, os.Remove(link))
	b.open()
}
