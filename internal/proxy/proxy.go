// Package proxy carries a caller's request to the API of one connection's
// provider, with that connection's token. The caller chooses method, path, query,
// body and most headers; never the host, and never who it is.
//
// The token is not known here: a request brings [Tokens], which hands it out and
// takes it back when the API refuses it.
package proxy

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/provider"
)

// defaultPatience bounds how long the API may be silent before its answer begins.
const defaultPatience = 60 * time.Second

// Config is what a [Proxy] is made from. Sender and Apps are required.
type Config struct {
	Sender *oauth.Sender // dials, guarded, and adds the token
	Apps   provider.Apps
	Rules  map[string]Rules // by app; an app that is not in it allows everything
	// Patience bounds how long an API may be silent before its answer begins; 0
	// means a minute.
	Patience time.Duration
}

// Proxy carries requests. It is safe for concurrent use and starts no goroutine
// that outlives a request.
type Proxy struct {
	sender   *oauth.Sender
	apps     provider.Apps
	rules    map[string]Rules
	patience time.Duration
	limits   limits
	buffers  buffers
	quiet    *log.Logger // net/http/httputil would tell of addresses and paths
}

// New returns a proxy.
func New(c Config) *Proxy {
	if c.Patience <= 0 {
		c.Patience = defaultPatience
	}
	return &Proxy{sender: c.Sender, apps: c.Apps, rules: c.Rules, patience: c.Patience, quiet: log.New(io.Discard, "", 0)}
}

// Tokens hands out the tokens of the connection a request is for. Errors are the
// caller's to translate; the proxy returns them as they are.
type Tokens interface {
	// Handout returns a token that reaches the location, or any if that is "".
	Handout(ctx context.Context, location string) (*manager.Handout, error)
	// Reject says that the API answered 401 to the token with this fingerprint and
	// returns the one to try instead, which may be the same.
	Reject(ctx context.Context, fingerprint, location string) (*manager.Handout, error)
}

// Trip is one request's way.
type Trip struct {
	Tokens Tokens
	// Prefix is the escaped path that stands for the API's base, without a slash at
	// its end: /proxy/biz_42@k-series.
	Prefix string
	// Rest is what follows it in the request's path, escaped: "", or something that
	// begins with a slash.
	Rest string
}

// Serve carries the request and answers it. An error means that nothing was
// answered; it is an [*Error] or comes from the trip's tokens. It panics with
// [http.ErrAbortHandler] if an answer breaks off in the middle.
func (p *Proxy) Serve(w http.ResponseWriter, r *http.Request, t Trip) error {
	to, err := readTarget(r, t.Rest)
	if err != nil {
		return err
	}
	h, err := t.Tokens.Handout(r.Context(), to.location)
	if err != nil {
		return err
	}
	rules := p.rules[h.App]
	if err := rules.check(r.Method, to.path); err != nil {
		return err
	}
	base, err := url.Parse(h.Token.BaseURL)
	if err != nil || base.Host == "" {
		return invalid("", "the app has no API to go to; name it in the configuration as endpoints.api")
	}
	e := &exchange{p: p, w: newPatientWriter(w), in: r, trip: t, to: to, rules: rules, handout: h, base: base, dialect: p.dialectOf(h.App)}
	if err := e.open(); err != nil {
		return err
	}
	defer e.close()
	forward := httputil.ReverseProxy{
		Rewrite: e.rewrite, Transport: e, ModifyResponse: e.answer, BufferPool: &p.buffers, ErrorLog: p.quiet,
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { e.err = err },
	}
	forward.ServeHTTP(e.w, e.in)
	if err := e.failure(); err != nil {
		e.w.extend() // for the answer that says so
		return err
	}
	return nil
}

// failure words what kept the request from being answered.
func (e *exchange) failure() error {
	var told *Error
	switch cause := context.Cause(e.ctx); {
	case e.err == nil:
		return nil
	case e.fromTokens:
		return e.err
	case errors.As(e.err, &told):
		return told
	case e.body.failed.Load():
		return invalid("body", "it could not be read to its end")
	case e.in.Context().Err() != nil:
		return e.in.Context().Err()
	case errors.Is(cause, errSilent):
		return &Error{Kind: Silent, Detail: "the provider's API did not answer in time", RetryAfter: retryUnreachable}
	}
	detail := "the provider's API broke off its answer"
	if e.unsent != nil {
		detail = "the provider's API could not be asked: " + e.unsent.Error()
	}
	return &Error{Kind: Unreachable, Detail: detail, RetryAfter: retryUnreachable}
}

// buffers are what answers are copied through.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get implements [httputil.BufferPool].
func (b *buffers) Get() []byte {
	if v, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return v[:]
	}
	return make([]byte, bufferSize)
}

// Put implements [httputil.BufferPool].
func (b *buffers) Put(buf []byte) {
	if len(buf) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(buf))
	}
}
