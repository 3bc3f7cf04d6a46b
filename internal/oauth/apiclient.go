package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/secret"
)

// apiTimeout bounds one call to a provider's API, body included.
const apiTimeout = 15 * time.Second

// APIClient returns a client for the API at base. It adds the Authorization
// header, goes nowhere but to base's scheme, host and port, and hands redirects
// back instead of following them. The caller bounds the bodies it reads.
func (s *Sender) APIClient(token secret.String, tokenType, base string) *http.Client {
	if tokenType == "" {
		tokenType = bearer
	}
	u, err := endpoint(base)
	return &http.Client{
		Transport:     &apiTransport{sender: s, base: u, baseErr: err, token: token, tokenType: tokenType},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       apiTimeout,
	}
}

// apiTransport sends one grant's token to one host.
type apiTransport struct {
	sender    *Sender
	base      *url.URL
	baseErr   error // base is not an endpoint; every request fails with this
	token     secret.String
	tokenType string
}

// RoundTrip implements [http.RoundTripper].
func (t *apiTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.check(req); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	req = req.Clone(watched(req.Context(), nil))
	req.Host = ""
	req.Header.Set("Authorization", t.tokenType+" "+t.token.Reveal())
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", t.sender.userAgent)
	}
	resp, err := t.sender.pooled.RoundTrip(req)
	if err != nil {
		return nil, explain(req.URL.Hostname(), 0, err)
	}
	return resp, nil
}

// check reports why the token must not go where the request goes.
func (t *apiTransport) check(req *http.Request) error {
	switch {
	case t.baseErr != nil:
		return fmt.Errorf("api base: %w", t.baseErr)
	case req.URL == nil, req.URL.Scheme != t.base.Scheme, !strings.EqualFold(hostPort(req.URL), hostPort(t.base)):
		return errors.New("the request leaves the API's host; the token stays here")
	}
	return nil
}
