package spool

import (
	"context"
	"sync"
)

// syncer makes one file's writes durable, many callers with one flush. Whoever
// comes while a flush runs waits for the next one, which serves all who came.
type syncer struct {
	flush func() (upTo int64, err error) // makes everything before upTo durable

	mu      sync.Mutex
	durable int64         // everything before it is
	running chan struct{} // closed when the flush under way ends; nil if none is
	err     error         // of the flush that failed
}

func newSyncer(flush func() (int64, error)) *syncer { return &syncer{flush: flush} }

// wait returns when everything before offset is durable, when a flush has
// failed, or when ctx ends, which ends no flush. The kernel may drop what it
// could not write and report that once only, so a failed flush is final: what
// was not durable by then never is.
func (y *syncer) wait(ctx context.Context, offset int64, flushes *sync.WaitGroup) error {
	for {
		y.mu.Lock()
		if y.durable >= offset {
			y.mu.Unlock()
			return nil
		}
		if y.err != nil {
			defer y.mu.Unlock()
			return y.err
		}
		ended := y.running
		if ended == nil {
			ended = make(chan struct{})
			y.running = ended
			flushes.Go(func() { y.run(ended) })
		}
		y.mu.Unlock()
		select {
		case <-ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (y *syncer) run(ended chan struct{}) {
	upTo, err := y.flush()
	y.mu.Lock()
	defer y.mu.Unlock()
	if err != nil {
		y.err = err
	} else {
		y.durable = max(y.durable, upTo)
	}
	y.running = nil
	close(ended)
}
