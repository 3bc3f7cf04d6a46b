package evergranttest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
)

// exampleT is a testing.TB for examples, which are given none.
type exampleT struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
}

// testingT returns a testing.TB and what ends it.
func testingT() (t testing.TB, end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	e := &exampleT{ctx: ctx}
	return e, func() {
		cancel()
		for i := len(e.cleanups) - 1; i >= 0; i-- {
			e.cleanups[i]()
		}
	}
}

func (e *exampleT) Helper()                           {}
func (e *exampleT) Context() context.Context          { return e.ctx }
func (e *exampleT) Output() io.Writer                 { return io.Discard }
func (e *exampleT) Cleanup(f func())                  { e.cleanups = append(e.cleanups, f) }
func (e *exampleT) Error(args ...any)                 { fmt.Println(args...) }
func (e *exampleT) Fatal(args ...any)                 { panic(fmt.Sprintln(args...)) }
func (e *exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (e *exampleT) TempDir() string {
	dir, err := os.MkdirTemp("", "evergranttest")
	if err != nil {
		panic(err)
	}
	e.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
