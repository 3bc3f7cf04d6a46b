package simulation

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// The source of randomness that a seed replaces is one per process. So worlds
// that run beside each other do so in processes of their own: this test's binary
// again, with a part of the seeds, which tells what it does in lines of JSON.

// line is what a shard tells of a seed: that it begins, then what came of it.
type line struct {
	Seed   uint64
	Ended  bool `json:",omitempty"`
	Failed bool `json:",omitempty"`
	Got    figures
}

// shardPipe is the file that a shard writes to: the first after the standard ones.
const shardPipe = 3

// sharded reports whether this process is a shard.
func sharded() bool { return os.Getenv("EVERGRANT_SHARD") != "" }

// inShards runs the small worlds of some seeds in so many processes.
func inShards(t *testing.T, first, seeds, processes uint64) (all figures) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := memory(t, processes)
	var (
		mu      sync.Mutex
		working sync.WaitGroup
	)
	for i := range processes {
		from, to := first+seeds*i/processes, first+seeds*(i+1)/processes
		working.Go(func() {
			cmd := exec.CommandContext(t.Context(), program, "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.timeout=0")
			cmd.Env = append(os.Environ(), "EVERGRANT_SHARD=1", "GOMAXPROCS=1", "TMPDIR="+folder,
				"EVERGRANT_SEED="+strconv.FormatUint(from, 10), "EVERGRANT_SEEDS="+strconv.FormatUint(to-from, 10))
			got, last, out, err := shard(t, cmd)
			mu.Lock()
			defer mu.Unlock()
			all.add(got)
			if err != nil {
				t.Errorf("the process whose last seed was %d (%s): %v\n%s", last, replaySmallWorld(last), err, out)
			}
		})
	}
	working.Wait()
	if t.Failed() {
		return all
	}
	if all.Seeds != int(seeds) {
		t.Errorf("%d seeds were run, want %d", all.Seeds, seeds)
	}
	return all
}

// shard runs a shard to its end and returns what it told, the last seed it
// began, and what it printed. Seeds that failed are named as they do.
func shard(t *testing.T, cmd *exec.Cmd) (got figures, last uint64, out string, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return got, 0, "", err
	}
	defer func() { _ = r.Close() }()
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &printed, &printed, []*os.File{w}
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return got, 0, "", err
	}
	for told := json.NewDecoder(r); ; {
		var l line
		if derr := told.Decode(&l); derr != nil {
			if derr != io.EOF {
				err = derr
			}
			break
		}
		if last = l.Seed; !l.Ended {
			continue
		}
		got.add(l.Got)
		if l.Failed {
			t.Errorf("seed %d failed; to repeat it: %s", l.Seed, replaySmallWorld(l.Seed))
		}
	}
	return got, last, printed.String(), errors.Join(err, cmd.Wait())
}

// teller tells the process that started this one how far it is. It tells nobody
// where there is none.
type teller struct {
	t  *testing.T
	to *json.Encoder
}

func newTeller(t *testing.T) *teller {
	if !sharded() {
		return &teller{}
	}
	f := os.NewFile(shardPipe, "shard")
	t.Cleanup(func() { _ = f.Close() })
	return &teller{t, json.NewEncoder(f)}
}

func (t *teller) tell(l line) {
	if t.to == nil {
		return
	}
	if err := t.to.Encode(l); err != nil {
		t.t.Fatal(err) // whoever wanted to know has gone
	}
}

// memory is a folder for files that nobody waits for a disk for, which has room
// for so many worlds, or else the usual one.
func memory(t *testing.T, worlds uint64) string {
	t.Helper()
	const (
		folder = "/dev/shm"
		world  = 64 << 20 // at most: its journal, and its database twice
	)
	var fs syscall.Statfs_t
	if err := syscall.Statfs(folder, &fs); err != nil || uint64(fs.Bavail)*uint64(fs.Bsize) < worlds*world {
		return os.TempDir()
	}
	dir, err := os.MkdirTemp(folder, "evergrant")
	if err != nil {
		return os.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
