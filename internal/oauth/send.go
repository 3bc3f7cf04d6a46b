package oauth

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/secret"
)

// defaultTimeout bounds a token request that states no timeout.
const defaultTimeout = 10 * time.Second

// SenderConfig is what a [Sender] is made from. The zero value works.
type SenderConfig struct {
	UserAgent string           // "" means "evergrant"
	Now       func() time.Time // nil means time.Now
	// DialContext replaces the guarded dialer, and the guard with it. Tests set it.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	RootCAs     *x509.CertPool // nil means the system's
}

// Sender talks to authorization servers and provider APIs over HTTP/1.1. It
// follows no redirect, repeats no request and dials no private address unless
// the URL names a loopback host. It is safe for concurrent use.
type Sender struct {
	userAgent string
	now       func() time.Time
	pooled    *http.Transport
	fresh     *http.Transport
}

// NewSender returns a sender. Close it to drop its idle connections.
func NewSender(c SenderConfig) *Sender {
	if c.UserAgent == "" {
		c.UserAgent = "evergrant"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	pooled, fresh := newTransports(c)
	return &Sender{userAgent: c.UserAgent, now: c.Now, pooled: pooled, fresh: fresh}
}

// Close closes idle connections. Requests under way go on.
func (s *Sender) Close() {
	s.pooled.CloseIdleConnections()
	s.fresh.CloseIdleConnections()
}

// CodeParams are the parameters that exchange an authorization code (RFC 6749
// section 4.1.3, RFC 7636 section 4.5). Empty ones are left out.
func CodeParams(code secret.String, redirectURI string, verifier secret.String) url.Values {
	v := url.Values{"grant_type": {"authorization_code"}, "code": {code.Reveal()}}
	if redirectURI != "" {
		v.Set("redirect_uri", redirectURI)
	}
	if !verifier.IsZero() {
		v.Set("code_verifier", verifier.Reveal())
	}
	return v
}

// RefreshParams are the parameters of a refresh (RFC 6749 section 6). The scope
// is never sent: the server keeps the granted one, and some refuse to hear it.
func RefreshParams(refresh secret.String) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}}
}

// Send sends r exactly once and returns whatever came back within r.Timeout, or
// came back later while this process stood still.
// It ignores the cancellation of ctx: a caller that leaves must not cost a
// grant its rotated token. Whatever goes wrong is told by the Answer:
//
//   - Sent is false only if it is certain that no byte of the request left;
//   - Complete is true only if the body ended by itself within [MaxBody].
func (s *Sender) Send(ctx context.Context, r Request) Answer {
	started := s.now()
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	notAfter := started.Add(timeout)
	if !r.NotAfter.IsZero() && r.NotAfter.Before(notAfter) {
		notAfter = r.NotAfter
	}

	req, err := s.tokenRequest(r, started)
	if err != nil {
		return Answer{SentAt: started, ReceivedAt: started, Err: err}
	}
	ctx, cancel := patient(context.WithoutCancel(ctx), timeout)
	defer cancel()
	ex := &exchange{now: s.now, notAfter: notAfter}
	req = req.WithContext(watched(ctx, ex))

	transport := s.pooled
	if r.Fresh {
		transport = s.fresh
	}
	resp, err := transport.RoundTrip(req)
	a := Answer{SentAt: started}
	if sentAt, sent := ex.settle(); sent {
		a.Sent, a.SentAt = true, sentAt
	} else if err == nil {
		err = errUnasked
		resp.Body.Close()
	}
	if err == nil {
		err = s.receive(&a, resp)
	}
	if err != nil {
		a.Err = explain(req.URL.Hostname(), timeout, err)
	}
	a.ReceivedAt = s.now()
	return a
}

// errUnasked is an answer, such as a 408 or 503 at accept, that came before any
// byte of the request left. Nothing leaves after it.
var errUnasked = errors.New("the server answered before it was asked")

// tokenRequest builds the HTTP request. Its body cannot be rewound, so that
// net/http has no way of sending it again.
func (s *Sender) tokenRequest(r Request, now time.Time) (*http.Request, error) {
	u, err := endpoint(r.TokenURL)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	params, header, err := authenticate(r.Client, r.TokenURL, r.Params, now)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	contentType := ""
	encoded := params.Encode()
	switch r.Encoding {
	case Form, "":
		body, contentType = strings.NewReader(encoded), "application/x-www-form-urlencoded"
	case JSON:
		body, contentType = bytes.NewReader(jsonObject(params)), "application/json"
	case Query:
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += encoded
	default:
		return nil, errors.New("the encoding of a token request is form, query or json")
	}
	req, err := http.NewRequest(http.MethodPost, "", body)
	if err != nil {
		return nil, errNotURL
	}
	req.URL, req.Host = u, u.Host
	req.GetBody = nil
	req.Header = header
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", s.userAgent)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return req, nil
}

// jsonObject writes parameters, each of which occurs once, as an object.
func jsonObject(params url.Values) []byte {
	object := make(map[string]string, len(params))
	for name := range params {
		object[name] = params.Get(name)
	}
	b, _ := json.Marshal(object) // strings always marshal
	return b
}

// receive fills in what the response says. The error is why it is incomplete.
func (s *Sender) receive(a *Answer, resp *http.Response) (err error) {
	defer resp.Body.Close()
	a.Status = resp.StatusCode
	a.ContentType = resp.Header.Get("Content-Type")
	a.RetryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), s.now())
	// The body of a 101 is the bare connection, which no deadline of ours bounds.
	if resp.StatusCode != http.StatusSwitchingProtocols {
		a.Body, err = readBody(resp.Body, resp.Header.Get("Content-Encoding"))
	}
	a.Complete = err == nil
	return err
}

// What can be wrong with a body that arrives.
var (
	errTooBig  = errors.New("the answer is larger than 1 MiB")
	errBadGzip = errors.New("the answer says it is gzip and cannot be unpacked")
)

// readBody reads at most MaxBody bytes and undoes gzip. What was read is
// returned along with an error, because tokens may be in it. A body that claims
// to be gzip and is not, and one in an encoding nobody asked for, come back as
// they are.
func readBody(r io.Reader, encoding string) ([]byte, error) {
	raw, err := readAtMost(r)
	gz := strings.EqualFold(encoding, "gzip") || strings.EqualFold(encoding, "x-gzip")
	if !gz || !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		return raw, err
	}
	z, zerr := gzip.NewReader(bytes.NewReader(raw))
	if zerr != nil {
		return raw, errors.Join(err, errBadGzip)
	}
	plain, zerr := readAtMost(z)
	switch {
	case err != nil:
		return plain, err
	case zerr != nil && !errors.Is(zerr, errTooBig):
		return plain, errBadGzip
	}
	return plain, zerr
}

func readAtMost(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxBody+1))
	if len(b) > MaxBody {
		return b[:MaxBody], errTooBig
	}
	return b, err
}
