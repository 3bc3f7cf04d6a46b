package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/secret"
)

// errSilent ends a request whose answer does not begin.
var errSilent = errors.New("the API is silent")

// errSwitched is an answer to an upgrade nobody asked for.
var errSwitched = errors.New("the API switched protocols unasked")

// exchange is one request on its way and its answer on the way back.
type exchange struct {
	p       *Proxy
	w       *patientWriter
	in      *http.Request
	trip    Trip
	to      target
	rules   Rules
	handout *manager.Handout
	base    *url.URL
	dialect dialect

	// ctx ends with the caller's, and carries nothing of it: what is traced of a
	// request to the API is not the caller's to see, such as its 1xx answers.
	ctx     context.Context
	cancel  context.CancelCauseFunc
	unwind  func() bool
	silence watch

	body       callerBody
	payload    payload
	rejected   bool // the token was refused once
	resent     bool // the request was sent again with another token
	err        error
	fromTokens bool  // err is the tokens'
	unsent     error // why the API could not be asked, in words fit to be shown
}

// open prepares the exchange. Close it afterwards.
func (e *exchange) open() error {
	control := e.w.control
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	e.unwind = context.AfterFunc(e.in.Context(), func() { e.cancel(context.Cause(e.in.Context())) })
	e.silence.init(e.p.patience, func() { e.cancel(errSilent) })
	e.body = callerBody{ReadCloser: e.in.Body, control: control, progress: e.silence.touch}
	if err := e.keep(); err != nil {
		e.close()
		return err
	}
	return nil
}

// keep reads a body that is short enough to be sent again.
func (e *exchange) keep() error {
	switch n := e.in.ContentLength; {
	case e.in.Body == nil || e.in.Body == http.NoBody || n == 0:
		_ = e.body.control.SetReadDeadline(time.Time{})
		return nil
	case n > 0 && n <= maxReplay:
		e.payload.kept = make([]byte, n)
		if _, err := io.ReadFull(&e.body, e.payload.kept); err != nil {
			return invalid("body", "it could not be read to its end")
		}
		_ = e.body.control.SetReadDeadline(time.Time{})
		return nil
	}
	_ = e.body.control.EnableFullDuplex() // else the server would read the body to its end before it answers
	in := *e.in
	in.Body = &e.body
	e.in, e.payload.once = &in, &e.body
	return nil
}

// close ends whatever is still under way.
func (e *exchange) close() {
	e.silence.stop()
	e.unwind()
	e.cancel(context.Canceled)
}

// rewrite makes the request to the API out of the caller's.
func (e *exchange) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL = e.to.at(e.base)
	r.Out.Host = ""
	cleanRequest(r.Out.Header)
	a := e.p.apps[e.handout.App]
	if e.dialect != plain && r.Out.Method == http.MethodGet || a != nil && len(a.Recipe.Expired) > 0 {
		r.Out.Header.Set("Accept-Encoding", "identity") // an answer with links, or with a refusal, has to be read
	}
}

// RoundTrip implements [http.RoundTripper]: it sends the request, once more after
// a 401 with the token that comes for the refused one, and waits for the
// provider's limit if the app's rules say so.
func (e *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	latest := time.Now().Add(e.rules.Queue)
	for {
		if err := e.queue(latest); err != nil {
			return nil, err
		}
		res, err := e.send(req)
		if err != nil {
			return nil, err
		}
		if e.rules.Queue > 0 {
			e.p.limits.learn(e.limitKey(), time.Now(), res)
		}
		switch {
		case !e.rejected && e.refused(res):
			ok, err := e.reject(res)
			if err != nil || !ok {
				return res, err
			}
		case res.StatusCode == http.StatusTooManyRequests && e.rules.Queue > 0 && e.payload.again():
			if e.p.limits.until(e.limitKey()).After(latest) {
				return res, nil
			}
			discard(res)
		default:
			return res, nil
		}
	}
}

// queue waits until the provider's limit lets a request through, if it is known
// to be reached.
func (e *exchange) queue(latest time.Time) error {
	if e.rules.Queue <= 0 {
		return nil
	}
	at, ok := e.p.limits.reserve(e.limitKey(), time.Now(), latest)
	if !ok {
		return &Error{Kind: Limited, Detail: "the provider's rate limit is reached", RetryAfter: time.Until(at)}
	}
	wait := time.Until(at)
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-e.ctx.Done():
		return e.ctx.Err()
	}
}

// limitKey names what a provider counts requests by, as far as that is known: the
// business at the app.
func (e *exchange) limitKey() string { return e.handout.Token.Connection }

// send sends the request with the current token.
func (e *exchange) send(req *http.Request) (*http.Response, error) {
	t := e.handout.Token
	attempt := req.WithContext(e.ctx)
	e.payload.put(attempt)
	e.silence.start()
	defer e.silence.stop()
	res, err := e.p.sender.APIClient(secret.New(t.AccessToken), t.Type, t.BaseURL).Transport.RoundTrip(attempt)
	switch {
	case err != nil:
		e.unsent = err
	case res.StatusCode == http.StatusSwitchingProtocols:
		res.Body.Close()
		return nil, errSwitched
	}
	return res, err
}

// reject reports the refused token. It returns true if the request is to be sent
// again; then the answer is closed.
func (e *exchange) reject(res *http.Response) (bool, error) {
	e.rejected = true
	next, err := e.trip.Tokens.Reject(e.in.Context(), e.handout.Token.Fingerprint, e.to.location)
	if err != nil {
		res.Body.Close()
		e.fromTokens = true
		return false, err
	}
	// Another host would be another API: what was asked is not what it knows.
	if next.Token.Fingerprint == e.handout.Token.Fingerprint || next.Token.BaseURL != e.handout.Token.BaseURL || !e.payload.again() {
		return false, nil
	}
	discard(res)
	e.handout, e.resent = next, true
	return true, nil
}

// answer makes the caller's answer out of the API's.
func (e *exchange) answer(res *http.Response) error {
	cleanAnswer(res.Header, e.handout.Token.AccessToken)
	if e.resent {
		res.Header.Set("Evergrant-Retried", "1")
	}
	if (res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests) && res.Header.Get("Retry-After") == "" {
		res.Header.Set("Retry-After", "5")
	}
	l := links{base: e.base, target: &e.to, prefix: Origin(e.in) + e.trip.Prefix}
	l.header(res.Header)
	if e.dialect != plain && e.in.Method == http.MethodGet && res.StatusCode == http.StatusOK && isJSON(res.Header) {
		if err := l.body(res, e.dialect); err != nil {
			return err
		}
	}
	if res.Header.Get("Cache-Control") != "" {
		e.w.Header().Del("Cache-Control") // ours; the API knows better
	}
	return nil
}

// discard lets the connection be used again if little of the answer is left.
func discard(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	res.Body.Close()
}

// Origin is the scheme and host by which a caller reached us, as in
// http://127.0.0.1:8421; "" if it did not say, and then our addresses are paths. A
// gateway that ends TLS tells the scheme.
func Origin(r *http.Request) string {
	if r.Host == "" || strings.ContainsAny(r.Host, "/?#@\\ ") {
		return ""
	}
	scheme := "http"
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
