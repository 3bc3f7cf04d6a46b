package oauth

import (
	"net/http"
	"time"
)

// OutboundClient returns a client for addresses that an operator names and that
// are no provider's, such as webhooks. It goes where [Sender] goes and nowhere
// else: to public addresses, and to loopback ones only if the URL names a loopback
// host. It hands redirects back instead of following them, carries nothing of its
// own but the User-Agent, and its errors quote nothing that a stranger wrote. The
// caller bounds the bodies it reads.
func (s *Sender) OutboundClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     &outboundTransport{sender: s, timeout: timeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       timeout,
	}
}

type outboundTransport struct {
	sender  *Sender
	timeout time.Duration // for errors
}

// RoundTrip implements [http.RoundTripper].
func (t *outboundTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := endpoint(req.URL.String()); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	req = req.Clone(watched(req.Context(), nil))
	req.Header.Set("User-Agent", t.sender.userAgent)
	resp, err := t.sender.pooled.RoundTrip(req)
	if err != nil {
		return nil, explain(req.URL.Hostname(), t.timeout, err)
	}
	return resp, nil
}
