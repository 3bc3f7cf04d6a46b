package spool

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// The environment of a child process. It names a role, a directory, and the
// wrapped keyset with its master key, so that parent and child share a ring.
const (
	envRole    = "SPOOL_TEST_CHILD"
	envDir     = "SPOOL_TEST_DIR"
	envMaster  = "SPOOL_TEST_MASTER"
	envWrapped = "SPOOL_TEST_WRAPPED"
)

// keyset is a store.DataKeys in memory.
type keyset struct{ wrapped []byte }

func (k *keyset) DataKey(context.Context) (string, []byte, error) {
	if k.wrapped == nil {
		return "", nil, store.ErrNotFound
	}
	return "k1", k.wrapped, nil
}

func (k *keyset) SetDataKey(_ context.Context, _ []byte, _ string, wrapped []byte) error {
	k.wrapped = wrapped
	return nil
}

// command returns this test binary in a role, on the rig's directory. It gives
// the rig a ring that the child has too.
func (b *rig) command(role string) *exec.Cmd {
	b.t.Helper()
	exe, err := os.Executable()
	must(b.t, err)
	master, keys := seal.GenerateMaster(), &keyset{}
	b.o.Ring, err = seal.Open(b.t.Context(), keys, []seal.Master{{ID: "k1", Key: master}})
	must(b.t, err)
	cmd := exec.CommandContext(b.t.Context(), exe)
	cmd.Env = append(os.Environ(), envRole+"="+role, envDir+"="+b.o.Dir, envMaster+"="+master.Reveal(),
		envWrapped+"="+base64.StdEncoding.EncodeToString(keys.wrapped))
	cmd.Stderr = os.Stderr
	return cmd
}

// child plays a role and returns its exit code.
func child(role string) int {
	wrapped, err := base64.StdEncoding.DecodeString(os.Getenv(envWrapped))
	if err != nil {
		return fail(err)
	}
	ring, err := seal.Open(context.Background(), &keyset{wrapped},
		[]seal.Master{{ID: "k1", Key: secret.New(os.Getenv(envMaster))}})
	if err != nil {
		return fail(err)
	}
	o := Options{Dir: os.Getenv(envDir), Ring: ring}
	switch role {
	case "write":
		err = writeUntilKilled(o)
	case "open":
		_, err = Open(o)
		fmt.Println(err)
		return 0
	case "full disk":
		err = fillDisk(o)
	default:
		err = fmt.Errorf("no role %q", role)
	}
	if err != nil {
		return fail(err)
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "child:", err)
	return 1
}

// writeUntilKilled reports each entry after it was written, and every third
// after it was done.
func writeUntilKilled(o Options) error {
	s, err := Open(o)
	if err != nil {
		return err
	}
	for i := range 100_000 {
		e := entry(i, 1500+i%7000)
		l, err := s.Reserve()
		if err != nil {
			return err
		}
		if err := l.Write(e); err != nil {
			return err
		}
		fmt.Println("written", e.AttemptID)
		if i%3 == 0 {
			if err := l.Done(); err != nil {
				return err
			}
			fmt.Println("done", e.AttemptID)
		}
	}
	return errors.New("nobody killed the child")
}

func TestWhatWasReportedWrittenSurvivesKill9(t *testing.T) {
	b := newRig(t)
	cmd := b.command("write")
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	written, done, killed := map[string]bool{}, map[string]bool{}, false
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		what, id, _ := strings.Cut(lines.Text(), " ")
		map[string]map[string]bool{"written": written, "done": done}[what][id] = true
		if len(written) == 4000 && !killed { // the child is in its second segment
			killed = true
			must(t, cmd.Process.Kill())
		}
	}
	if err := cmd.Wait(); err == nil || !killed {
		t.Fatalf("the child ended by itself: %v", err)
	}

	s := b.open()
	pending := map[string]bool{}
	for _, e := range s.Pending() {
		var i int
		_, err := fmt.Sscanf(e.AttemptID, "att_%d", &i)
		must(t, err)
		if d := diff(entry(i, 1500+i%7000), e); d != "" {
			t.Fatalf("entry %s (-want +got):\n%s", e.AttemptID, d)
		}
		pending[e.AttemptID] = true
	}
	last := slices.Max(slices.Collect(maps.Keys(written))) // may be done without having said so
	for id := range written {
		if pending[id] == done[id] && id != last {
			t.Errorf("%s: pending %t, reported done %t", id, pending[id], done[id])
		}
	}
}

func TestASecondProcessIsRefused(t *testing.T) {
	b := newRig(t)
	cmd := b.command("open")
	s := b.open()
	out, err := cmd.Output()
	must(t, err)
	want := fmt.Sprintf("spool directory %s: another process uses it; stop the other evergrant, or give this one a spool of its own\n", b.o.Dir)
	if string(out) != want {
		t.Errorf("the second process says %q\nwant %q", out, want)
	}
	must(t, s.Close())
	b.open() // the lock ends with Close
}

// fillDisk limits the size of files to half a segment, which the kernel reports
// like a full disk: existing room stays usable, no more can be had.
func fillDisk(o Options) error {
	s, err := Open(o)
	if err != nil {
		return err
	}
	var slots []*Slot
	for range 100 {
		l, err := s.Reserve()
		if err != nil {
			return err
		}
		slots = append(slots, l)
	}
	signal.Ignore(unix.SIGXFSZ)
	limit := unix.Rlimit{Cur: defaultSegment / 2, Max: defaultSegment / 2}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for len(slots) < 1000 && err == nil {
		var l *Slot
		if l, err = s.Reserve(); err == nil {
			slots = append(slots, l)
		}
	}
	fmt.Println("reserve:", errors.Is(err, ErrFull), err)
	for i, l := range slots {
		if err := l.Write(entry(i, 20_000)); err != nil {
			return fmt.Errorf("reserved slot %d of %d: %w", i, len(slots), err)
		}
	}
	o.Dir += "-other"
	_, err = Open(o)
	fmt.Println("open:", errors.Is(err, ErrFull), err)
	return nil
}

func TestOnAFullDiskReserveRefusesAndWhatIsReservedIsWritten(t *testing.T) {
	b := newRig(t)
	out, err := b.command("full disk").Output()
	must(t, err)
	const says = "%s has no room for another 16777216 bytes; free some, or move the spool to another disk: "
	lines := bytes.SplitAfter(out, []byte("\n"))
	for i, prefix := range []string{"reserve: true spool is full: ", "open: true spool is full: "} {
		want := prefix + fmt.Sprintf(says, b.o.Dir+[]string{"", "-other"}[i])
		if !bytes.HasPrefix(lines[i], []byte(want)) {
			t.Errorf("line %q\nwant %q…", lines[i], want)
		}
	}
	s := b.open()
	if n := len(s.Pending()); n < 100 {
		t.Errorf("%d entries are pending, want at least the 100 reserved before the disk was full", n)
	}
	if s.Stats().Damaged != 0 {
		t.Error("the full disk damaged something")
	}
}
