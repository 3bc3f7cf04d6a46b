package proxy

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxReplay is the longest body that is kept so that it can be sent again.
	maxReplay = 256 << 10
	// callerPatience is how long a caller may pause while it sends or reads a body.
	// The server's own bounds are for whole requests, which may be long here.
	callerPatience = 60 * time.Second
)

// callerBody is a request's body on its way from the caller.
type callerBody struct {
	io.ReadCloser
	control  *http.ResponseController
	progress func() // called after every read
	failed   atomic.Bool
}

// Read implements [io.Reader].
func (b *callerBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(callerPatience)) // not every writer has deadlines
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		// From here on the server only watches for the caller to leave.
		_ = b.control.SetReadDeadline(time.Time{})
	case err != nil:
		b.failed.Store(true)
	}
	b.progress()
	return n, err
}

// payload is what is sent of a body: nothing, a short body that can be sent any
// number of times, or a long one that can be sent once.
type payload struct {
	kept []byte
	once *callerBody
}

// again reports whether the payload can be sent once more.
func (p payload) again() bool { return p.once == nil }

// put gives a request its body.
func (p payload) put(r *http.Request) {
	switch {
	case p.once != nil:
		return
	case len(p.kept) == 0:
		r.Body, r.GetBody = nil, nil
		return
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.kept)), nil }
	r.Body, _ = r.GetBody()
}

// patientWriter lets a caller take its time with an answer as long as it goes on
// reading.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	until   time.Time
}

func newPatientWriter(w http.ResponseWriter) *patientWriter {
	return &patientWriter{ResponseWriter: w, control: http.NewResponseController(w)}
}

// extend gives the caller more time.
func (w *patientWriter) extend() {
	if now := time.Now(); w.until.Sub(now) < callerPatience/2 {
		w.until = now.Add(callerPatience)
		_ = w.control.SetWriteDeadline(w.until) // not every writer has deadlines
	}
}

// WriteHeader implements [http.ResponseWriter].
func (w *patientWriter) WriteHeader(status int) {
	w.extend()
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *patientWriter) Write(p []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// watch calls a function once nothing has happened for a while.
type watch struct {
	mu    sync.Mutex
	after time.Duration
	timer *time.Timer
	on    bool
}

// init makes a watch that is off.
func (w *watch) init(after time.Duration, f func()) {
	w.after = after
	w.timer = time.AfterFunc(after, f)
	w.timer.Stop()
}

// start turns the watch on.
func (w *watch) start() { w.set(true) }

// stop turns the watch off.
func (w *watch) stop() { w.set(false) }

// touch says that something has happened.
func (w *watch) touch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.on {
		w.timer.Reset(w.after)
	}
}

func (w *watch) set(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = on
	if on {
		w.timer.Reset(w.after)
	} else {
		w.timer.Stop()
	}
}
