package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// recoveries measures how long after a death a token that works is handed out
// again. Further deaths meanwhile count too, because leaving those out would
// leave out the longest. The zero value is ready.
type recoveries struct {
	pending sync.WaitGroup

	mu   sync.Mutex
	took []time.Duration
}

// watch asks until usable holds, and takes down how long after from that was,
// unless ctx ends first.
func (r *recoveries) watch(ctx context.Context, from time.Time, usable func() bool) {
	r.pending.Go(func() {
		poll := time.NewTicker(10 * time.Millisecond)
		defer poll.Stop()
		for !usable() {
			select {
			case <-ctx.Done():
				return
			case <-poll.C:
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.took = append(r.took, time.Since(from))
	})
}

// add takes over what another one measured.
func (r *recoveries) add(o *recoveries) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.took = append(r.took, o.took...)
}

// String tells the figures; nothing may be pending.
func (r *recoveries) String() string {
	if len(r.took) == 0 {
		return "not measured"
	}
	sorted := slices.SortedFunc(slices.Values(r.took), cmp.Compare)
	at := func(p float64) time.Duration {
		return sorted[int(p*float64(len(sorted)-1))].Round(time.Millisecond)
	}
	return fmt.Sprintf("p50 %v, p99 %v, longest %v of %d", at(0.50), at(0.99), at(1), len(sorted))
}
