package api

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/telemetry"
)

// maxBody bounds what is read of a request's body.
const maxBody = 1 << 20

// call is one request on its way through the API.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	id    string // req_…
	began time.Time
	key   *access.Key
	body  []byte
	// status of a successful answer, if it is not the endpoint's own.
	status int
	// target and location are what the request is about, once they are known to be
	// within the key's reach; problems tell about them.
	target   grant.Ref
	location string
	// seen is the UpdatedAt of the connection that If-Match names, if it does.
	seen time.Time
	// wait is how long a GET may wait for another answer than If-None-Match names.
	wait time.Duration

	rec recorder
}

// serve adapts what handles a call to net/http: every answer has a request id
// and a line in the access log, and a panic becomes an answer too.
func (s *server) serve(h func(*call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{r: r, began: s.now(), rec: recorder{ResponseWriter: w}}
		c.w = &c.rec
		c.id = begin(w.Header(), r, c.began)
		defer s.finish(c)
		h(c)
	}
}

// finish ends a call.
func (s *server) finish(c *call) {
	if v := recover(); v != nil {
		if v == http.ErrAbortHandler {
			panic(v)
		}
		s.log.LogAttrs(c.r.Context(), slog.LevelError, "api: handler panicked",
			attrRequest(c.id), attrRoute(c.r), slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
		if c.rec.status == 0 {
			p, _ := toProblem(errInternal)
			p.write(&c.rec, c.id)
		}
	}
	s.audit(c)
	ctx, traces := c.r.Context(), s.c.Metrics.Traces
	debug := s.log.Enabled(ctx, slog.LevelDebug)
	if traces == nil && !debug {
		return
	}
	key := ""
	if c.key != nil {
		key = c.key.ID
	}
	if route := routeOf(c.r); traces != nil && route != livezPath && route != readyzPath && route != metricsPath {
		traces.Request(c.r.Header, telemetry.RequestSpan{Method: c.r.Method, Route: route, ID: c.id, Key: key,
			Status: c.rec.status, Began: c.began, Ended: s.now()})
	}
	if !debug {
		return
	}
	// Queries and bodies are not told: a stranger wrote them.
	s.log.LogAttrs(ctx, slog.LevelDebug, "request",
		slog.String("method", c.r.Method), attrRoute(c.r), slog.Int("status", c.rec.status),
		slog.Duration("took", s.now().Sub(c.began)), slog.String("key", key), attrRequest(c.id))
}

// endpoint is one operation: what serves it, and what the OpenAPI document says
// about it.
type endpoint struct {
	id           string // what generated clients name it by, as in list-links
	method, path string
	scope        access.Scope // "": any key
	or           access.Scope // does as well, if not ""
	open         bool         // no key at all
	status       int
	also         int // another status of a successful answer, if not 0
	// fleeting answers are not kept for repeated requests: they carry a token, and
	// asking again is harmless.
	fleeting bool
	awaits   bool // a GET may wait for another answer
	summary  string
	query    []param
	in, out  reflect.Type // nil: none
	run      func(*call) (any, error)
	of       func(*call) (any, error)                    // what a GET of the path answers, for If-Match; nil: it does not count
	describe func(op *huma.Operation, all huma.Registry) // what else the OpenAPI document says of it
	// lines takes many of in and answers with as many of out, a line each, instead
	// of run.
	lines func(*call)
}

// tagged reports whether answers have an ETag.
func (e endpoint) tagged() bool { return e.method == http.MethodGet && e.out != nil }

// replayed reports whether answers are kept for requests that are repeated with
// their Idempotency-Key.
func (e endpoint) replayed() bool {
	return e.method == http.MethodPost && e.run != nil && !e.fleeting
}

// none is the body of a request or an answer that has none.
type none struct{}

// typed adapts a handler to an endpoint, so that the types it decodes and answers
// are the ones that are documented.
func typed[B, R any](e endpoint, f func(*call, B) (R, error)) endpoint {
	if in := reflect.TypeFor[B](); in != reflect.TypeFor[none]() {
		e.in = in
	}
	if out := reflect.TypeFor[R](); out != reflect.TypeFor[none]() {
		e.out = out
	}
	if e.status == 0 {
		e.status = http.StatusOK
	}
	if e.awaits {
		e.query = append(e.query, waitParam)
	}
	if e.method == http.MethodGet {
		e.run = func(c *call) (any, error) {
			var b B
			return f(c, b)
		}
		return e
	}
	e.run = func(c *call) (any, error) {
		var b B
		if err := decode(c.body, &b, e.in == nil); err != nil {
			return nil, err
		}
		return f(c, b)
	}
	return e
}

// shown is what an endpoint without a body answers.
func shown[R any](f func(*call, none) (R, error)) func(*call) (any, error) {
	return func(c *call) (any, error) { return f(c, none{}) }
}

// handler serves the endpoint.
func (s *server) handler(e endpoint) http.HandlerFunc {
	return s.serve(func(c *call) {
		c.status = e.status
		if err := s.admit(c, e); err != nil {
			s.fail(c, err)
			return
		}
		if e.lines != nil {
			e.lines(c)
			return
		}
		if c.r.Method == http.MethodPost && c.r.Header.Get("Idempotency-Key") != "" {
			s.replayable(c, e)
			return
		}
		if e.tagged() {
			s.show(c, e)
			return
		}
		s.perform(c, e)
	})
}

// admit checks everything about a call that does not depend on what it is for,
// and reads its body.
func (s *server) admit(c *call, e endpoint) error {
	if !e.open {
		var err error
		if c.key, err = s.authenticate(c.r, e.scope, e.or); err != nil {
			return err
		}
	}
	if err := checkQuery(c.r, e.query); err != nil {
		return err
	}
	switch {
	case e.awaits && c.r.URL.RawQuery != "":
		var f fields
		c.wait = f.wait(c.r.URL.Query())
		return f.err()
	case e.method == http.MethodGet, e.lines != nil:
		return nil
	}
	return c.readBody()
}

// perform runs the endpoint and writes what it answers.
func (s *server) perform(c *call, e endpoint) {
	err := e.unchanged(c)
	var out any
	if err == nil {
		out, err = e.run(c)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	if h, ok := out.(*manager.Handout); ok {
		writeHandout(c.w, h, s.now())
		return
	}
	if e.out == nil {
		c.w.WriteHeader(c.status)
		return
	}
	c.w.Header().Set("Content-Type", "application/json")
	writeBody(c.w, c.status, encode(out))
}

// unknown answers for paths there are none of.
func (s *server) unknown(c *call) {
	newProblem(http.StatusNotFound, codeNotFound, "there is no such path in this API").write(c.w, c.id)
}

// notAllowed answers for methods a path does not have.
func (s *server) notAllowed(allow string) http.HandlerFunc {
	return s.serve(func(c *call) {
		p := newProblem(http.StatusMethodNotAllowed, codeMethod, "this path answers to "+allow)
		p.allow = allow
		p.write(c.w, c.id)
	})
}

func (c *call) readBody() error {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, codeTooLarge, "a request body may have at most 1 MiB")
	case err != nil:
		var f fields
		f.add("body", "it could not be read to its end")
		return f.err()
	}
	c.body = bytes.TrimSpace(body)
	return nil
}

// begin sets the headers every answer has and returns the request's id.
func begin(h http.Header, r *http.Request, now time.Time) string {
	id := r.Header.Get("Request-Id")
	if !saneID(id) {
		id = grant.NewID(grant.RequestID, now)
	}
	h["Request-Id"] = []string{id}
	h["Cache-Control"] = noStore
	return id
}

// noStore is shared by all answers; nobody writes to it.
var noStore = []string{"no-store"}

// saneID reports whether a caller's request id may go into logs and headers.
func saneID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
		if !ok {
			return false
		}
	}
	return true
}

func attrRequest(id string) slog.Attr { return slog.String("request_id", id) }
func attrError(err error) slog.Attr   { return slog.String("error", err.Error()) }

func attrRoute(r *http.Request) slog.Attr { return slog.String("route", routeOf(r)) }

// routeOf is the pattern that matched, never the path, which a stranger wrote.
func routeOf(r *http.Request) string {
	_, path, _ := strings.Cut(r.Pattern, " ")
	return path
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
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

// Unwrap is for [http.ResponseController].
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
