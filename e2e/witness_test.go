package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

// witness serves an oracle and sees how a client lets go of each connection. A
// token request that is not to be repeated has one of its own: it closes when the
// answer was read, or when its sender dies, however long a busy machine takes for
// either. The oracle is told the connection with the client, as in "7.123".
type witness struct {
	*judge

	mu      sync.Mutex
	conns   int
	endings map[string]ending // by connection
}

// ending is the end of a connection, as far as its client is concerned.
type ending struct {
	at    time.Time
	reset bool // without having read everything
}

// newWitness serves an oracle until the test ends.
func newWitness(t *testing.T, o oracle.Options) *witness {
	t.Helper()
	w := &witness{judge: &judge{Server: oracle.New(o)}, endings: make(map[string]ending)}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		q.Set("client", q.Get("client")+"."+r.Context().Value(w).(string))
		r.URL.RawQuery = q.Encode()
		w.Server.ServeHTTP(res, r)
	}))
	srv.Listener = witnessed{srv.Listener, w}
	srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, w, c.(*watchedConn).name)
	}
	srv.Start()
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

// ending returns how the connection of a send ended, and false if nobody saw it.
func (w *witness) ending(s oracle.Send) (ending, bool) {
	_, conn, _ := strings.Cut(s.Client, ".")
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.endings[conn]
	return e, ok
}

// process is the number of the process that sent something, 0 if it told none.
func (w *witness) process(s oracle.Send) int {
	name, _, _ := strings.Cut(s.Client, ".")
	n, _ := strconv.Atoi(name)
	return n
}

// explain tells how the death of its sender cost the answer to a send, and false if
// it did not. A process that has read an answer lets go of its connection at once,
// so an answer whose connection lasted until the death had not been read.
func (w *witness) explain(s oracle.Send, death time.Time) (how string, ok bool) {
	switch end, seen := w.ending(s); {
	case !seen:
		return "nobody saw its connection end", false
	case !end.at.Before(death) && end.reset:
		return "not read", true
	case !end.at.Before(death) && end.at.Before(s.End):
		return "not yet answered", true
	case !end.at.Before(death):
		return "about to be read", true
	case !end.reset && death.Sub(end.at) < slack:
		return "read and not yet journaled", true
	default:
		return fmt.Sprintf("process %d let go of the connection %v after the answer (reset: %v), and was killed %v later",
			w.process(s), end.at.Sub(s.End), end.reset, death.Sub(end.at)), false
	}
}

// witnessed is a listener whose connections are watched.
type witnessed struct {
	net.Listener
	w *witness
}

func (l witnessed) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.conns++
	return &watchedConn{TCPConn: c.(*net.TCPConn), w: l.w, name: fmt.Sprint(l.w.conns)}, nil
}

// watchedConn takes down when its client lets go of it.
type watchedConn struct {
	*net.TCPConn
	w      *witness
	name   string
	closed sync.Once
}

func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return n, err // the last two are the server's own doing
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if _, known := c.w.endings[c.name]; !known {
		c.w.endings[c.name] = ending{at: time.Now(), reset: errors.Is(err, syscall.ECONNRESET)}
	}
	return n, err
}

// Close says that nothing more will be sent, and waits for the client to let go
// before the connection is closed; its caller does not wait.
func (c *watchedConn) Close() error {
	c.closed.Do(func() {
		_ = c.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		go func() {
			defer c.TCPConn.Close()
			for b := make([]byte, 512); ; {
				if _, err := c.Read(b); err != nil {
					return
				}
			}
		}()
	})
	return nil
}
