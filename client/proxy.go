package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/evergrant/evergrant"
)

// APIRequest is a request to the API of a connection's provider.
type APIRequest struct {
	Ref    evergrant.Ref
	Method string // "" means GET
	// Path is what follows the API's base: escaped, with its query, and beginning
	// with a slash, such as /f/data/businesses?limit=10.
	Path     string
	Location string      // id of a location the token must reach, or ""
	Header   http.Header // sent along; not changed
	Body     io.Reader
}

// mostProblem bounds what is read of an answer to see whose it is.
const mostProblem = 64 << 10

// Send sends a request through the server's proxy, which adds the connection's
// token. The answer is the provider's whatever its status, and its body is the
// caller's to close. What the server itself refuses is an *evergrant.Error.
func (c *Client) Send(ctx context.Context, a APIRequest) (*http.Response, error) {
	r := request{op: "send", ref: a.Ref, method: a.Method}
	if a.Ref == "" || !strings.HasPrefix(a.Path, "/") {
		return nil, r.fail("invalid_request", "a ref, and a path that begins with /, are needed", evergrant.ErrInvalid)
	}
	at := c.base.String() + "/proxy/" + url.PathEscape(string(a.Ref)) + a.Path
	req, err := http.NewRequestWithContext(ctx, a.Method, at, a.Body)
	if err != nil {
		return nil, r.fail("invalid_request", err.Error(), evergrant.ErrInvalid)
	}
	if a.Header != nil {
		req.Header = a.Header.Clone()
	}
	if a.Location != "" {
		req.Header.Set("Evergrant-Location", a.Location)
	}
	c.sign(req)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(r, err)
	}
	if res.StatusCode < 400 || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") {
		return res, nil
	}
	// The provider may answer with problems too; ours have our type.
	head, err := io.ReadAll(io.LimitReader(res.Body, mostProblem))
	if err != nil {
		_ = res.Body.Close()
		return nil, c.unreachable(r, err)
	}
	var p struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(head, &p) == nil && strings.HasPrefix(p.Type, "urn:evergrant:problem:") {
		_ = res.Body.Close()
		return nil, c.problem(r, res, head)
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), res.Body), res.Body}
	return res, nil
}
