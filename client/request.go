package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

// request is one call of the API.
type request struct {
	op     string        // for errors
	ref    evergrant.Ref // what it is about, for errors; may be ""
	method string
	path   []string // segments after /v1, not yet escaped
	query  url.Values
	body   any // nil: none
	// repeats: it may be made again though it is no GET, without doing more.
	repeats bool
}

// answered is what is known of an answer beside its body.
type answered struct {
	header http.Header
	asked  time.Time // when the request was made
}

// answer sends a request and returns its decoded answer.
func answer[T any](ctx context.Context, c *Client, r request) (T, error) {
	var out T
	err := c.do(ctx, r, &out)
	return out, err
}

// do sends a request and decodes its answer into out, which may be nil. Errors
// are *evergrant.Error.
func (c *Client) do(ctx context.Context, r request, out any) error {
	_, err := c.patiently(ctx, r, out)
	if c.keeper != nil && r.method != http.MethodGet && r.ref != "" {
		c.keeper.drop(r.ref, "") // the connection may have changed, whatever the answer
	}
	return err
}

// patiently is do, again as long as time may help and the client is patient.
func (c *Client) patiently(ctx context.Context, r request, out any) (answered, error) {
	for began := time.Now(); ; {
		a := answered{asked: time.Now()}
		header, err := c.try(ctx, r, out)
		a.header = header
		wait, again := r.again(err)
		if !again || time.Since(began)+wait > c.patience || !pause(ctx, wait) {
			return a, err
		}
	}
}

// again reports whether a request that ended in err may be made again, and after
// how long.
func (r request) again(err error) (time.Duration, bool) {
	var e *evergrant.Error
	if r.method != http.MethodGet && !r.repeats || !errors.As(err, &e) || !errors.Is(err, evergrant.ErrTemporary) {
		return 0, false
	}
	return e.RetryAfter, true
}

// pause waits, and reports whether the wait came to its end: it does not begin
// one that ctx would cut off.
func pause(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// try sends a request once and returns the header of its answer, nil if there is
// none.
func (c *Client) try(ctx context.Context, r request, out any) (http.Header, error) {
	if slices.Contains(r.path, "") {
		return nil, r.fail("invalid_request", "the name of what this is about is empty", evergrant.ErrInvalid)
	}
	var body io.Reader
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return nil, r.fail("invalid_request", err.Error(), evergrant.ErrInvalid)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.url(r), body)
	if err != nil {
		return nil, r.fail("invalid_request", err.Error(), evergrant.ErrInvalid)
	}
	c.sign(req)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(r, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, c.unreachable(r, err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return res.Header, c.problem(r, res, answer)
	}
	if out == nil {
		return res.Header, nil
	}
	if len(answer) > maxAnswer || json.Unmarshal(answer, out) != nil {
		return res.Header, c.foreign(r, res)
	}
	return res.Header, nil
}

// sign says who asks.
func (c *Client) sign(req *http.Request) {
	req.Header.Set("User-Agent", c.agent)
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
}

// url returns the address of a request. Segments are escaped one by one, so that
// a business key with a % or a ? stays one segment.
func (c *Client) url(r request) string {
	var b strings.Builder
	b.WriteString(c.base.String())
	b.WriteString("/v1")
	for _, s := range r.path {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	if len(r.query) > 0 {
		b.WriteByte('?')
		b.WriteString(r.query.Encode())
	}
	return b.String()
}

func (r request) fail(code, message string, err error) *evergrant.Error {
	return &evergrant.Error{Op: r.op, Ref: r.ref, Code: code, Message: message, ActBy: evergrant.ActOperator, Err: err}
}

// unreachable is the error for a server that gave no whole answer.
func (c *Client) unreachable(r request, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // without the URL
	}
	e := r.fail("server_unreachable", fmt.Sprintf("no answer from the server at %s: %v", c.where, err),
		fmt.Errorf("%w: %w", evergrant.ErrTemporary, err))
	e.RetryAfter = time.Second
	return e
}

// foreign is the error for an answer that is not Evergrant's.
func (c *Client) foreign(r request, res *http.Response) error {
	kind := evergrant.ErrInvalid
	if res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests {
		kind = evergrant.ErrTemporary
	}
	e := r.fail("not_evergrant", fmt.Sprintf("%s answered %d in a way Evergrant does not; is this its private listener?",
		c.where, res.StatusCode), kind)
	e.RetryAfter = retryAfter(res, kind)
	return e
}

// problem turns a problem document (RFC 9457) into an error.
func (c *Client) problem(r request, res *http.Response, body []byte) error {
	var p struct {
		Title          string  `json:"title"`
		Detail         string  `json:"detail"`
		Code           string  `json:"code"`
		Reason         string  `json:"reason"`
		ActBy          string  `json:"act_by"`
		RequestID      string  `json:"request_id"`
		RetryAfter     float64 `json:"retry_after"`
		ReauthorizeURL string  `json:"reauthorize_url"`
		Errors         []struct {
			Field   string `json:"field"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != "application/problem+json" || json.Unmarshal(body, &p) != nil || p.Code == "" {
		return c.foreign(r, res)
	}
	e := r.fail(p.Code, p.Detail, sentinel(res.StatusCode, p.Code))
	e.Reason, e.ActBy, e.RequestID, e.ReauthorizeURL = p.Reason, evergrant.Actor(p.ActBy), p.RequestID, p.ReauthorizeURL
	if e.Message == "" {
		e.Message = p.Title
	}
	if len(p.Errors) > 1 {
		all := make([]string, len(p.Errors))
		for i, f := range p.Errors {
			all[i] = f.Field + ": " + f.Message
		}
		e.Message = strings.Join(all, "; ")
	}
	e.RetryAfter = retryAfter(res, e.Err)
	if p.RetryAfter > 0 && p.RetryAfter < 1e9 {
		e.RetryAfter = time.Duration(p.RetryAfter * float64(time.Second))
	}
	return e
}

// sentinel returns the kind of an error.
func sentinel(status int, code string) error {
	switch {
	case status >= 500 || status == http.StatusTooManyRequests:
		return evergrant.ErrTemporary
	case code == "needs_reauthorization" || code == "never_connected":
		return evergrant.ErrReauthorize
	case code == "location_not_covered":
		return evergrant.ErrLocationNotCovered
	case status == http.StatusNotFound:
		return evergrant.ErrNotFound
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return evergrant.ErrForbidden
	}
	return evergrant.ErrInvalid
}

// retryAfter reads the header in seconds (RFC 9110 section 10.2.3); what time
// may cure is worth at least one second.
func retryAfter(res *http.Response, kind error) time.Duration {
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 && n < 1e9 {
		return time.Duration(n) * time.Second
	}
	if kind == evergrant.ErrTemporary {
		return time.Second
	}
	return 0
}
