package evergrant

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// NewHTTPClient returns a client whose requests carry the connection's token, by a
// [Transport]. For a token that reaches one location, or another way to the
// network, make a Transport yourself.
func NewHTTPClient(src Source, ref Ref) *http.Client {
	return &http.Client{Transport: &Transport{Source: src, Ref: ref}}
}

// Transport adds a connection's token to requests. Its fields are not changed once
// it is used; it is safe for concurrent use.
//
// When the API answers 401, the token is reported with [Source.Reject], and a
// request that can be sent again (one without a body, or with GetBody) is sent
// once more with the token that comes back. If Reject fails, its error is
// returned in place of the answer.
//
// The token goes only to the scheme and host of [Token.BaseURL]: a request to
// another host fails, and a redirect to one is followed without the token. If
// BaseURL is "", the first request of a chain of redirects says which host.
type Transport struct {
	Source Source
	Ref    Ref
	// Options say what token each request needs, such as one that reaches a location.
	Options TokenOptions
	// Base sends the requests; nil means http.DefaultTransport.
	Base http.RoundTripper
}

var _ http.RoundTripper = (*Transport)(nil)

// base is what sends the requests.
func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

// CloseIdleConnections is called by [http.Client.CloseIdleConnections].
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	tok, err := t.Source.Token(req.Context(), t.Ref, &t.Options)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	switch ok, err := mayCarry(req, tok); {
	case err != nil:
		closeBody(req)
		return nil, err
	case !ok:
		return t.base().RoundTrip(req)
	}
	res, err := t.base().RoundTrip(withToken(req, tok))
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		return res, err
	}
	again, err := t.Source.Reject(req.Context(), t.Ref, tok.Fingerprint)
	if err == nil && t.Options != (TokenOptions{}) { // what Reject returns need not be what the options ask for
		again, err = t.Source.Token(req.Context(), t.Ref, &t.Options)
	}
	if err != nil {
		discard(res)
		return nil, err
	}
	if again.Fingerprint == tok.Fingerprint || !replayable(req) {
		return res, nil
	}
	if ok, err := mayCarry(req, again); !ok || err != nil {
		return res, nil // the business's API has moved; this answer is the honest one
	}
	retry := withToken(req, again)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return res, nil
		}
		retry.Body = body
	}
	discard(res)
	return t.base().RoundTrip(retry)
}

// withToken returns a copy of req that carries tok.
func withToken(req *http.Request, tok *Token) *http.Request {
	r := req.Clone(req.Context())
	kind := tok.Type
	if kind == "" {
		kind = "Bearer"
	}
	r.Header.Set("Authorization", kind+" "+tok.AccessToken)
	return r
}

// mayCarry reports whether req goes where tok may go. It is an error to aim a
// token elsewhere, and none to be redirected elsewhere.
func mayCarry(req *http.Request, tok *Token) (bool, error) {
	home := first(req).URL
	if tok.BaseURL != "" {
		u, err := url.Parse(tok.BaseURL)
		if err != nil {
			return false, errors.New("evergrant: the token's base URL is not a URL")
		}
		home = u
	}
	if sameOrigin(req.URL, home) {
		return true, nil
	}
	if req.Response != nil {
		return false, nil
	}
	return false, fmt.Errorf("evergrant: the token is for %s://%s and was not sent to %s://%s",
		home.Scheme, home.Host, req.URL.Scheme, req.URL.Host)
}

// first returns the request that began a chain of redirects.
func first(req *http.Request) *http.Request {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return req
}

// sameOrigin compares scheme, host and port as RFC 6454 section 5 does.
func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	default:
		return "80"
	}
}

// replayable reports whether req can be sent a second time.
func replayable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// closeBody keeps the promise of a RoundTripper to close the body always.
func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// discard lets the connection be used again if little of the answer is left.
func discard(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	_ = res.Body.Close()
}
