package spool

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

// gate is a flush that tells when it begins and ends when told to.
type gate struct {
	written int64
	flushes int
	end     chan error
}

func (g *gate) flush() (int64, error) {
	upTo := g.written
	g.flushes++
	return upTo, <-g.end
}

func TestConcurrentCallersShareOneFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{written: 10, end: make(chan error)}
		y := newSyncer(g.flush)
		var flushes, callers sync.WaitGroup
		wait := func(offset int64) {
			callers.Go(func() {
				if err := y.wait(t.Context(), offset, &flushes); err != nil {
					t.Error(err)
				}
			})
		}
		wait(10)
		synctest.Wait() // the first flush is under way
		g.written = 60
		for i := range 50 {
			wait(int64(11 + i))
		}
		synctest.Wait()
		if g.flushes != 1 {
			t.Fatalf("%d flushes at once, want 1", g.flushes)
		}
		g.end <- nil
		g.end <- nil
		callers.Wait()
		flushes.Wait()
		wait(60) // durable already
		callers.Wait()
		if g.flushes != 2 {
			t.Errorf("%d flushes for 52 callers, want 2", g.flushes)
		}
	})
}

func TestACallerMayLeaveWithoutEndingTheFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{written: 10, end: make(chan error)}
		y := newSyncer(g.flush)
		var flushes sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { left <- y.wait(ctx, 10, &flushes) }()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
		g.end <- nil
		flushes.Wait()
		if err := y.wait(ctx, 10, &flushes); err != nil || g.flushes != 1 {
			t.Errorf("after the flush: %v, %d flushes", err, g.flushes)
		}
	})
}

func TestAFailedFlushIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{written: 10, end: make(chan error, 1)}
		y := newSyncer(g.flush)
		var flushes sync.WaitGroup
		g.end <- nil
		if err := y.wait(t.Context(), 10, &flushes); err != nil {
			t.Fatal(err)
		}
		failure := errors.New("input/output error")
		g.written = 20
		g.end <- failure
		for range 2 {
			if err := y.wait(t.Context(), 20, &flushes); !errors.Is(err, failure) {
				t.Errorf("error %v, want the flush's", err)
			}
		}
		if g.flushes != 2 {
			t.Errorf("%d flushes: a failed one was tried again", g.flushes)
		}
		if err := y.wait(t.Context(), 10, &flushes); err != nil {
			t.Errorf("what was durable before is lost: %v", err)
		}
		flushes.Wait()
	})
}
