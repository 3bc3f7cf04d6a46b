package lightspeed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// API is the way of a program of yours to one account's API. It is safe for
// concurrent use.
//
//	tok, err := src.Token(ctx, ref, nil) // src is an evergrant.Source
//	api := lightspeed.API{Client: evergrant.NewHTTPClient(src, ref), Base: tok.BaseURL, UserAgent: "acme-loyalty/1.4"}
type API struct {
	// Client adds the token to every request, as that of evergrant.NewHTTPClient
	// does. Redirects are not followed, whatever it says about them. Put a
	// [Limiter] around its Transport to stay within the vendor's limits.
	Client *http.Client
	// Base is where the account's API lives: evergrant.Token.BaseURL, or the
	// address of Evergrant's proxy for the connection.
	Base string
	// UserAgent says which program asks. X-Series wants it with every call
	// (https://x-series-api.lightspeedhq.com/docs, "request identification"); ""
	// is evergrant-go.
	UserAgent string
}

// mostAnswer bounds one answer: a page of 1000 sales with their lines is a few MiB.
const mostAnswer = 32 << 20

// Get reads the JSON at path, which is below the base, into v. An answer other
// than 2xx is an *[Error].
func (a API) Get(ctx context.Context, path string, query url.Values, v any) error {
	body, err := a.read(ctx, path, query)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// read asks for one answer.
func (a API) read(ctx context.Context, path string, query url.Values) ([]byte, error) {
	u, err := a.address(path, query)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	req.Header.Set("Accept", "application/json, application/hal+json;q=0.9")
	req.Header.Set("User-Agent", a.userAgent())
	// A redirect is an answer like any other: what leads to another host is nobody's
	// to follow, and no page of these APIs redirects.
	client := *a.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL, whose query can be long
		}
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, errorOf(resp, path)
	}
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t == "text/html" {
		return nil, fmt.Errorf("GET %s: a web page came instead of JSON", path)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	if len(body) > mostAnswer {
		return nil, fmt.Errorf("GET %s: the answer is larger than %d MiB; ask for smaller pages", path, mostAnswer>>20)
	}
	return body, nil
}

// address joins the base, a path below it and a query.
func (a API) address(path string, query url.Values) (*url.URL, error) {
	if a.Client == nil {
		return nil, errors.New("lightspeed: API.Client is nil; take that of evergrant.NewHTTPClient")
	}
	base, err := url.Parse(a.Base)
	if err != nil || base.Scheme != "https" && base.Scheme != "http" || base.Host == "" || base.User != nil || base.RawQuery != "" {
		return nil, errors.New("lightspeed: API.Base is not a URL like https://api.lsk.lightspeed.app")
	}
	below, err := url.Parse("/" + strings.TrimPrefix(path, "/"))
	if err != nil || below.Host != "" || below.RawQuery != "" || below.Fragment != "" {
		return nil, fmt.Errorf("lightspeed: %q is not a path below the API's base", path)
	}
	if base.Path == "" {
		base.Path = "/"
	}
	u := base.JoinPath(below.EscapedPath())
	if !strings.HasPrefix(u.EscapedPath(), strings.TrimSuffix(base.EscapedPath(), "/")+"/") {
		return nil, fmt.Errorf("lightspeed: %q is not a path below the API's base", path)
	}
	u.RawQuery = query.Encode()
	return u, nil
}

func (a API) userAgent() string {
	if a.UserAgent == "" {
		return "evergrant-go"
	}
	return a.UserAgent
}
