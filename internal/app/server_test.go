package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestASocketIsPrivateAndReplacesOnlyADeadOne(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "eg")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s.sock")
	// A socket that a killed process left behind.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Close(fd)); err != nil {
		t.Fatal(err)
	}
	l, err := Listen("unix:"+path, "server.private_listen")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != privateMode {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	_, err = Listen("unix:"+path, "server.private_listen")
	if err == nil || !strings.Contains(err.Error(), "address in use; stop the other program or set server.private_listen") {
		t.Errorf("a second listener: %v", err)
	}
	if err := errors.Join(closeListener(l), closeListener(l)); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	_, err = Listen("unix:"+filepath.Join(dir, strings.Repeat("x", 120)), "server.private_listen")
	if err == nil || !strings.Contains(err.Error(), "too long for a socket") {
		t.Errorf("a path that is too long: %v", err)
	}
}

func TestHardenKeepsMemoryOutOfCoreFiles(t *testing.T) {
	t.Parallel()
	if err := Harden(); err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("core files may have %+v bytes, %v", limit, err)
	}
}
