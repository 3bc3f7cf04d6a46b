package core

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// errClosed is why a call is refused after Stop.
var errClosed = errors.New("the engine in this process is closed")

// calls is the way to a handler in this process: an [http.RoundTripper] that
// calls it, without a socket and without a listener. A call ends with its
// request's context, or when the body of its answer is closed, whatever the
// handler does; its goroutine ends when the handler does.
type calls struct {
	h http.Handler

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// RoundTrip implements [http.RoundTripper].
func (c *calls) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	body := req.Body
	if body == nil {
		body = http.NoBody
	}
	r := req.Clone(ctx)
	r.Body, r.RequestURI, r.RemoteAddr = body, req.URL.RequestURI(), "@"
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	reader, writer := io.Pipe()
	// A handler that reads or writes while its caller is gone is told so.
	unbind := context.AfterFunc(ctx, func() {
		_ = body.Close()
		_ = writer.CloseWithError(ctx.Err())
	})
	w := &answering{head: make(http.Header), begun: make(chan struct{}), body: writer, req: req, bodiless: req.Method == http.MethodHead}
	over := make(chan struct{})
	if !c.begin(func() {
		defer close(over)
		defer func() { _ = body.Close() }()
		defer w.end()
		c.h.ServeHTTP(w, r)
	}) {
		cancel()
		return nil, errClosed
	}
	select {
	case <-w.begun:
	case <-over:
	case <-ctx.Done():
		cancel()
		return nil, ctx.Err()
	}
	select {
	case <-w.begun:
	default:
		cancel()
		return nil, io.ErrUnexpectedEOF // the handler asked for the connection to be cut
	}
	w.res.Body = &answered{PipeReader: reader, cancel: cancel, unbind: unbind}
	return w.res, nil
}

// begin runs f in a goroutine of its own, and reports whether it may.
func (c *calls) begin(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Go(f)
	return true
}

// close refuses further calls and waits for those under way until ctx ends.
func (c *calls) close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	done := make(chan struct{})
	go func() { c.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answered is the body of an answer.
type answered struct {
	*io.PipeReader
	cancel context.CancelFunc
	unbind func() bool
}

// Close ends the call if it is not over.
func (b *answered) Close() error {
	err := b.PipeReader.Close()
	b.unbind()
	b.cancel()
	return err
}

// answering is the [http.ResponseWriter] of a call.
type answering struct {
	head     http.Header
	begun    chan struct{} // closed when res is there
	res      *http.Response
	body     *io.PipeWriter
	req      *http.Request
	bodiless bool
}

// Header implements [http.ResponseWriter].
func (w *answering) Header() http.Header { return w.head }

// WriteHeader implements [http.ResponseWriter]. As with a server, only the first
// status that is not a 1xx counts.
func (w *answering) WriteHeader(status int) {
	if w.res != nil || status < 200 {
		return
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		w.bodiless = true
	}
	head := w.head.Clone()
	length := int64(-1)
	if n, err := strconv.ParseInt(head.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	w.res = &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: head, ContentLength: length, Request: w.req,
	}
	close(w.begun)
}

// Write implements [http.ResponseWriter].
func (w *answering) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.bodiless {
		return len(b), nil
	}
	return w.body.Write(b)
}

// end ends the answer after the handler has returned, or has asked by a panic
// for it to be cut off.
func (w *answering) end() {
	if v := recover(); v != nil {
		_ = w.body.CloseWithError(io.ErrUnexpectedEOF)
		return
	}
	w.WriteHeader(http.StatusOK)
	_ = w.body.Close()
}

// Flush implements [http.Flusher]: what is written has arrived.
func (w *answering) Flush() { w.WriteHeader(http.StatusOK) }

// EnableFullDuplex tells [http.ResponseController] that reading and writing do
// not get in each other's way here.
func (w *answering) EnableFullDuplex() error { return nil }

// SetReadDeadline breaks off the reading of a request's body if t is past, which
// is what handlers use it for; a call has no other limit than its context.
func (w *answering) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) && w.req.Body != nil {
		return w.req.Body.Close()
	}
	return nil
}

// SetWriteDeadline does nothing: a call has no other limit than its context.
func (w *answering) SetWriteDeadline(time.Time) error { return nil }
