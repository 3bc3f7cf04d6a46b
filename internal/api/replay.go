package api

import (
	"container/list"
	"context"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

// The bounds of what is remembered for repeated requests.
const (
	replayFor    = 24 * time.Hour
	mostReplays  = 10000
	replayBytes  = 64 << 20
	maxReplayKey = 255
)

// replays remembers the successful answers to POST requests that carry an
// Idempotency-Key, so that a request that is sent again is not done again. It is
// in memory: after a restart, what keeps a repeated request harmless is that a
// connection is named by its address. Failures are not remembered, because
// trying again is what they ask for. It is safe for concurrent use.
type replays struct {
	now func() time.Time

	mu    sync.Mutex
	byKey map[replayKey]*list.Element
	order *list.List // of *replay, newest first
	bytes int
}

type replayKey struct{ key, path, name string } // API key, path, Idempotency-Key

// replay is a request under way, or its answer.
type replay struct {
	key  replayKey
	body [sha256.Size]byte
	at   time.Time
	done chan struct{} // closed when the answer is there, or there is none to keep

	// The answer; status is 0 until done, and after it if there is none.
	status int
	header http.Header
	answer []byte
}

func newReplays(now func() time.Time) *replays {
	return &replays{now: now, byKey: map[replayKey]*list.Element{}, order: list.New()}
}

// begin returns the replay for a key: mine tells the caller to do the request
// and then call finish; otherwise it is somebody else's, done or not.
func (r *replays) begin(k replayKey, body [sha256.Size]byte) (p *replay, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.byKey[k]; ok {
		p = e.Value.(*replay)
		if r.now().Sub(p.at) < replayFor {
			return p, false
		}
		r.forget(e)
	}
	p = &replay{key: k, body: body, at: r.now(), done: make(chan struct{})}
	r.byKey[k] = r.order.PushFront(p)
	for r.order.Len() > mostReplays {
		r.forget(r.order.Back())
	}
	return p, true
}

// finish keeps an answer, or forgets the request if there is none worth keeping.
func (r *replays) finish(p *replay, status int, header http.Header, answer []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(p.done)
	e, ok := r.byKey[p.key]
	if !ok || e.Value != p {
		return // pushed out meanwhile
	}
	if status < 200 || status > 299 {
		r.forget(e)
		return
	}
	p.status, p.header, p.answer = status, header, answer
	r.bytes += len(answer)
	for r.bytes > replayBytes {
		r.forget(r.order.Back())
	}
}

// forget drops an entry; the caller holds the lock.
func (r *replays) forget(e *list.Element) {
	p := r.order.Remove(e).(*replay)
	delete(r.byKey, p.key)
	r.bytes -= len(p.answer)
}

// wait waits for somebody else's request and reports whether it has an answer.
func (p *replay) wait(ctx context.Context) (bool, error) {
	select {
	case <-p.done:
		return p.status != 0, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// replayable performs a POST with an Idempotency-Key.
func (s *server) replayable(c *call, e endpoint) {
	name := c.r.Header.Get("Idempotency-Key")
	if len(name) > maxReplayKey || !printable(name) {
		var f fields
		f.add("Idempotency-Key", "it may have at most %d printable ASCII characters", maxReplayKey)
		s.fail(c, f.err())
		return
	}
	if e.fleeting {
		s.perform(c, e)
		return
	}
	key := replayKey{key: c.key.ID, path: c.r.URL.EscapedPath(), name: name}
	body := sha256.Sum256(c.body)
	for {
		p, mine := s.replays.begin(key, body)
		if mine {
			s.record(c, e, p)
			return
		}
		if p.body != body {
			s.fail(c, newProblem(http.StatusUnprocessableEntity, codeKeyReused,
				"the same Idempotency-Key came with another body; use a new key for a new request"))
			return
		}
		answered, err := p.wait(c.r.Context())
		if err != nil {
			s.fail(c, err)
			return
		}
		if answered {
			for _, h := range []string{"Content-Type", "Location"} {
				if v := p.header.Get(h); v != "" {
					c.w.Header().Set(h, v)
				}
			}
			c.w.Header().Set("Idempotent-Replayed", "true")
			writeBody(c.w, p.status, p.answer)
			return
		}
	}
}

// record performs a request and keeps its answer for those who repeat it.
func (s *server) record(c *call, e endpoint, p *replay) {
	tape := &taped{ResponseWriter: c.w}
	defer func() { s.replays.finish(p, tape.status, c.w.Header().Clone(), tape.body) }()
	c.w = tape
	s.perform(c, e)
}

// taped keeps a copy of an answer.
type taped struct {
	http.ResponseWriter
	status int
	body   []byte
}

// WriteHeader implements [http.ResponseWriter].
func (t *taped) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (t *taped) Write(b []byte) (int, error) {
	t.body = append(t.body, b...)
	return t.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (t *taped) Unwrap() http.ResponseWriter { return t.ResponseWriter }
