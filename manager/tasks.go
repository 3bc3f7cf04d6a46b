package manager

import (
	"context"
	"sync"
)

// mostTasks bounds what runs beside requests.
const mostTasks = 4

// tasks runs small background work that nobody waits for, such as reading what
// adopted tokens reach. Work that finds no room, or comes after stop, is
// dropped; none of it is needed for a promise.
type tasks struct {
	mu      sync.Mutex
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	room    chan struct{}
}

func (t *tasks) start() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil {
		t.ctx, t.cancel = context.WithCancel(context.Background())
		t.room = make(chan struct{}, mostTasks)
	}
}

func (t *tasks) do(f func(context.Context)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil || t.ctx.Err() != nil {
		return
	}
	select {
	case t.room <- struct{}{}:
	default:
		return
	}
	t.running.Go(func() {
		defer func() { <-t.room }()
		f(t.ctx)
	})
}

func (t *tasks) stop() {
	t.mu.Lock()
	if t.cancel != nil {
		t.cancel()
	}
	t.mu.Unlock()
	t.running.Wait()
}
