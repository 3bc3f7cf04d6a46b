package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// score is how many of some changes were noticed.
type score struct{ noticed, of int }

func (s *score) add(noticed bool) {
	if s.of++; noticed {
		s.noticed++
	}
}

// percent is 100 where there was nothing to notice.
func (s score) percent() float64 {
	if s.of == 0 {
		return 100
	}
	return 100 * float64(s.noticed) / float64(s.of)
}

func (s score) atLeast(percent float64) bool { return s.percent() >= percent }

func (s score) String() string {
	return fmt.Sprintf("%d of %d changes were noticed, %.1f %%", s.noticed, s.of, s.percent())
}

// scores is what came of a package.
type scores struct {
	all, changed score
	survivors    []mutant
	overtime     int // of those noticed, the ones that made the tests run too long
	spared       int
}

func (s scores) tell(w io.Writer, folder string) {
	for _, m := range s.survivors {
		fmt.Fprintf(w, "not noticed: %s:%d:%d: %s: %s\n", filepath.Join(folder, m.file), m.line, m.column, m.what, m.code)
	}
	fmt.Fprintf(w, "%s: %s; %d of them by time; %d lines could not be changed\n", folder, s.all, s.overtime, s.spared)
	if s.changed.of > 0 {
		fmt.Fprintf(w, "%s: in the lines that changed %s\n", folder, s.changed)
	}
}

// try runs a package's tests once for each change.
func try(folder, since string) (s scores, err error) {
	work, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	p, err := build(folder, work)
	if err != nil {
		return s, err
	}
	touched, err := changedLines(p.folder, since)
	if err != nil {
		return s, err
	}
	// Tests that fail may leave something beside what they test.
	if err := os.CopyFS(filepath.Join(work, "package"), os.DirFS(p.folder)); err != nil {
		return s, err
	}
	p.folder = filepath.Join(work, "package")

	began := time.Now()
	if said, err := p.run(context.Background(), 0); err != nil {
		return s, fmt.Errorf("its tests fail without any change: %w\n%s", err, said)
	}
	enough := 20*time.Since(began) + 10*time.Second

	var (
		mu      sync.Mutex
		working sync.WaitGroup
	)
	s.spared = p.spared
	next := make(chan mutant)
	for range runtime.GOMAXPROCS(0) {
		working.Go(func() {
			for m := range next {
				ctx, cancel := context.WithTimeout(context.Background(), enough)
				_, failed := p.run(ctx, m.id)
				overtime := ctx.Err() != nil
				cancel()
				mu.Lock()
				s.all.add(failed != nil)
				if touched[place{m.file, m.line}] {
					s.changed.add(failed != nil)
				}
				switch {
				case failed == nil:
					s.survivors = append(s.survivors, m)
				case overtime:
					s.overtime++
				}
				mu.Unlock()
			}
		})
	}
	for _, m := range p.mutants {
		next <- m
	}
	close(next)
	working.Wait()
	return s, nil
}

// run runs the tests with a change made, 0 for none.
func (p *program) run(ctx context.Context, id int) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.file, "-test.failfast", "-test.timeout=0")
	cmd.Dir = p.folder
	cmd.Env = append(os.Environ(), environment+"="+strconv.Itoa(id))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	return said.Bytes(), err
}
