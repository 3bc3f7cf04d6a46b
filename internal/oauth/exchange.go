package oauth

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// exchange is one request on the wire. It knows whether a byte of it may have
// left, and it can forbid that for good.
type exchange struct {
	now      func() time.Time
	notAfter time.Time

	mu     sync.Mutex
	sent   bool
	sealed bool
	sentAt time.Time
}

// errTooLate is a write after the send deadline, or after the sender gave up.
var errTooLate = errors.New("the send deadline had passed")

// admit is called before every write. Without it a request could still leave
// from net/http's own goroutine after Send has returned and said it did not.
func (e *exchange) admit() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sent {
		return nil
	}
	now := e.now()
	if e.sealed || past(now, e.notAfter) {
		return errTooLate
	}
	e.sent, e.sentAt = true, now
	return nil
}

// past compares twice, because the monotonic clock stands still while a machine
// is suspended and the wall clock can be set back.
func past(now, deadline time.Time) bool {
	return now.After(deadline) || now.Round(0).After(deadline.Round(0))
}

// settle ends the exchange: a request of which nothing was written by now never
// will be. It reports when and whether writing began.
func (e *exchange) settle() (time.Time, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sealed = true
	return e.sentAt, e.sent
}

// wireConn is a connection that asks its current exchange before it writes. It
// sits outside TLS where we dial TLS ourselves, so that handshakes and alerts
// are not taken for requests; behind an HTTPS proxy it sits inside, where an
// alert may count as sent, which errs on the safe side.
type wireConn struct {
	net.Conn
	mu sync.Mutex
	ex *exchange
}

// Write implements [net.Conn].
func (c *wireConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	ex := c.ex
	c.mu.Unlock()
	if ex != nil {
		if err := ex.admit(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// watched returns a context whose request makes ex the exchange of the
// connection it is given. A nil ex lets everything be written; it has to be said
// too, because a pooled connection remembers its last exchange.
func watched(ctx context.Context, ex *exchange) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { attach(i.Conn, ex) },
	})
}

func attach(conn net.Conn, ex *exchange) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	w, ok := conn.(*wireConn)
	if !ok {
		if ex != nil {
			_ = ex.admit() // a connection that cannot be watched counts as written to
		}
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ex = ex
}
