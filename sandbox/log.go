package sandbox

import (
	"bufio"
	"net"
	"net/http"
	"time"
)

// LogEntry is one request the sandbox saw. It holds no token and no secret;
// tokens are named by their fingerprint, the first twelve hex digits of their
// SHA-256.
type LogEntry struct {
	Time      time.Time `json:"time"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	ClientID  string    `json:"client_id,omitempty"`
	Grant     string    `json:"grant,omitempty"`
	GrantType string    `json:"grant_type,omitempty"`
	Token     string    `json:"token,omitempty"`
	Status    int       `json:"status"` // 0: nothing was answered
	Outcome   string    `json:"outcome,omitempty"`
	Fault     string    `json:"fault,omitempty"`
}

// keptEntries is how many requests the log holds.
const keptEntries = 10_000

// ring keeps the newest of what it is given.
type ring[T any] struct {
	items []T
	next  int
}

func (r *ring[T]) add(v T) {
	if len(r.items) < keptEntries {
		r.items = append(r.items, v)
		return
	}
	r.items[r.next] = v
	r.next = (r.next + 1) % keptEntries
}

// all returns what is kept, oldest first.
func (r *ring[T]) all() []T {
	out := make([]T, 0, len(r.items))
	out = append(out, r.items[r.next:]...)
	return append(out, r.items[:r.next]...)
}

type entryKey struct{}

// entryOf returns the log entry of a request; handlers fill it in.
func entryOf(r *http.Request) *LogEntry {
	if e, ok := r.Context().Value(entryKey{}).(*LogEntry); ok {
		return e
	}
	return &LogEntry{}
}

// recorder remembers the status. over ends the request's entry: before the
// client can know that the request is over, so that what it sends next comes
// after it in the log.
type recorder struct {
	http.ResponseWriter
	status int
	over   func()
}

// Hijack implements [http.Hijacker]: whoever takes the connection hangs up.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r.over()
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// WriteHeader implements [http.ResponseWriter].
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
