package oauth

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// memnet is a network of one server in memory, where waiting lets synctest's
// clock run.
type memnet struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newMemnet() *memnet { return &memnet{make(chan net.Conn), make(chan struct{})} }

func (m *memnet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *memnet) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memnet) Close() error   { close(m.closed); return nil }
func (m *memnet) Addr() net.Addr { return &net.UnixAddr{Name: "memnet"} }

// serveMemory runs a handler on a memnet until the test ends, and returns a
// sender whose only network that is.
func serveMemory(t *testing.T, h http.HandlerFunc) *Sender {
	m := newMemnet()
	srv := &http.Server{Handler: h, ErrorLog: discard()}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(m) }()
	s := NewSender(SenderConfig{DialContext: m.dial})
	t.Cleanup(func() { s.Close(); srv.Close(); <-done })
	return s
}

func TestTheTimeoutBoundsEverything(t *testing.T) {
	tests := map[string]http.HandlerFunc{
		"headers never come": func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		},
		"the body drips for ever": func(w http.ResponseWriter, r *http.Request) {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					_, _ = w.Write([]byte(" "))
					_ = http.NewResponseController(w).Flush()
				case <-r.Context().Done():
					return
				}
			}
		},
		"the body stops in the middle": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(goodTokens[:30]))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	}
	for name, h := range tests {
		for _, fresh := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := serveMemory(t, func(w http.ResponseWriter, r *http.Request) {
						_ = r.ParseForm()
						h(w, r)
					})
					r := refreshOf("http://127.0.0.1/token")
					r.Timeout = 7 * time.Second
					r.Fresh = fresh
					a := s.Send(t.Context(), r)
					if got := a.ReceivedAt.Sub(a.SentAt); got != 7*time.Second {
						t.Errorf("took %v, want 7s", got)
					}
					if !a.Sent || a.Complete || a.Err == nil || a.Err.Error() != "127.0.0.1: no complete answer within 7s" {
						t.Errorf("got %v, err %v", a, a.Err)
					}
					if o := Classify(a, nil).Outcome; o != grant.Lost {
						t.Errorf("outcome %v, want lost", o)
					}
				})
			})
		}
	}
}

func TestTokensOfAnAnswerThatNeverEndsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveMemory(t, func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			_, _ = w.Write([]byte(goodTokens))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		a := s.Send(t.Context(), refreshOf("http://127.0.0.1/token"))
		if a.Complete {
			t.Error("an answer that never ended is complete")
		}
		if o := Classify(a, nil).Outcome; o != grant.Granted {
			t.Errorf("outcome %v, want granted: the object was closed", o)
		}
	})
}

func TestDialingUpToTheTimeoutIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSender(SenderConfig{DialContext: newMemnet().dial}) // nobody accepts
		defer s.Close()
		began := time.Now()
		a := s.Send(t.Context(), refreshOf("http://127.0.0.1/token"))
		if a.Sent || time.Since(began) != 5*time.Second {
			t.Errorf("got %v after %v, err %v", a, time.Since(began), a.Err)
		}
	})
}

func TestAProcessPausedWhileDialingSendsNothing(t *testing.T) {
	srv, got := serve(t, answerJSON(200, goodTokens))
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	s := newSender(t, SenderConfig{
		Now: func() time.Time { return now },
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			now = now.Add(time.Hour) // the machine slept; no timer of ours noticed
			var d net.Dialer
			return d.DialContext(ctx, network, addr)
		},
	})
	a := s.Send(t.Context(), refreshOf(srv.URL))
	if a.Sent || a.Err == nil || got.count() != 0 {
		t.Errorf("got %v, err %v, %d requests", a, a.Err, got.count())
	}
}

func TestExchange(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *exchange {
		return &exchange{now: func() time.Time { return start.Add(d) }, notAfter: start.Add(time.Second)}
	}
	t.Run("a write in time is admitted and dated", func(t *testing.T) {
		e := at(time.Second)
		if err := e.admit(); err != nil {
			t.Fatal(err)
		}
		if sentAt, sent := e.settle(); !sent || !sentAt.Equal(start.Add(time.Second)) {
			t.Errorf("settled with %v, %t", sentAt, sent)
		}
	})
	t.Run("a write past the deadline is refused", func(t *testing.T) {
		e := at(time.Second + 1)
		if err := e.admit(); !errors.Is(err, errTooLate) {
			t.Errorf("got %v", err)
		}
		if _, sent := e.settle(); sent {
			t.Error("counts as sent")
		}
	})
	t.Run("nothing is written after settling as not sent", func(t *testing.T) {
		e := at(0)
		e.settle()
		if err := e.admit(); !errors.Is(err, errTooLate) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a request that began may be finished", func(t *testing.T) {
		e := at(0)
		_ = e.admit()
		e.settle()
		if err := e.admit(); err != nil {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a wall clock that jumped is noticed where the monotonic one stood still", func(t *testing.T) {
		now := time.Now()
		later := now.Add(time.Hour).Round(0)
		if !past(later, now) {
			t.Error("not past")
		}
	})
}
