//go:build torture

package e2e_test

import (
	"context"
	"sync"
	"time"
)

// stalls knows when the machine was too busy to let this process run. It is told
// beside a loss that nothing explains, and excuses none.
type stalls struct {
	mu      sync.Mutex
	longest map[int64]time.Duration // by second
}

// watch measures until ctx ends.
func (s *stalls) watch(ctx context.Context) {
	const every = 20 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		late := now.Sub(last) - every
		s.mu.Lock()
		if s.longest == nil {
			s.longest = make(map[int64]time.Duration)
		}
		for second := last.Unix(); second <= now.Unix(); second++ {
			s.longest[second] = max(s.longest[second], late)
		}
		s.mu.Unlock()
		last = now
	}
}

// near returns the longest stall within a few seconds of a moment.
func (s *stalls) near(t time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var longest time.Duration
	for second := t.Unix() - 2; second <= t.Unix()+3; second++ {
		longest = max(longest, s.longest[second])
	}
	return longest
}
