package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/evergrant/evergrant/internal/store"
)

// fileLock is an exclusive lock on a file beside the database. The kernel lets
// go of it when the process dies, however it dies, so whoever holds it knows
// that every other owner of an attempt is dead.
type fileLock struct{ f *os.File }

// Replicas implements [store.Attempts]: the lock lets one process in.
func (s *Store) Replicas(ctx context.Context, _ string) (store.Fleet, error) {
	select {
	case <-s.w.closing:
		return store.Fleet{}, errClosed
	default:
		return store.Fleet{Size: 1}, ctx.Err()
	}
}

// Redone implements [store.Attempts].
func (s *Store) Redone(ctx context.Context, owner, _ string) error {
	_, err := s.Replicas(ctx, owner)
	return err
}

// lockFile takes the lock, or says who has it.
func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, &lockedError{pid: readPID(f)}
	}
	l := &fileLock{f}
	if err := l.writePID(); err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// lockedError says that another process holds the lock.
type lockedError struct{ pid int }

func (e *lockedError) Error() string {
	if e.pid == 0 {
		return "another process has it open"
	}
	return fmt.Sprintf("another process (pid %d) has it open", e.pid)
}

// writePID names the holder for whoever finds the lock taken.
func (l *fileLock) writePID() error {
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err := l.f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// readPID returns 0 if the holder has not written its pid yet.
func readPID(f *os.File) int {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

// release lets go. The file stays: removing it would let two processes each
// hold a lock on a file of that name.
func (l *fileLock) release() error { return l.f.Close() }
