// Package client talks to an Evergrant server. A [Client] is an
// [evergrant.Source], and manages connections, links, events and keys.
//
//	c, err := client.FromEnv() // EVERGRANT_SERVER, EVERGRANT_API_KEY
//	if err != nil { … }
//	api := evergrant.NewHTTPClient(c, "biz_42@k-series")
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/evergrant/evergrant"
)

// Config says where the server is. One of URL and Socket is required.
type Config struct {
	// URL of the private listener: http://127.0.0.1:8421, or unix:/run/evergrant/api.sock.
	URL string
	// Key is the API key. The admin socket asks for none.
	Key string
	// Socket is the path of a Unix socket, such as the admin socket beside the
	// store. It is used instead of URL.
	Socket string
	// HTTPClient is used instead of one of our own, which keeps connections alive
	// and has no time limit for a whole request: the context is the limit. It
	// cannot be combined with a Unix socket.
	HTTPClient *http.Client
	// KeepTokens has Token answer from memory, for as long as the server says that it
	// will not replace a token by itself, and until this client rejects it or
	// changes its connection. A connection that somebody else ends is noticed when
	// the provider's API answers 401, which NewHTTPClient reports. Off, every call
	// asks the server, which costs it one read of its memory.
	KeepTokens bool
	// Patience is how long a call may take in all that the server, or the lack of an
	// answer, says time may cure: the call is made again as soon as Retry-After
	// allows, if it only reads or rejects a token. 0 returns the first error.
	Patience time.Duration
	// UserAgent is sent with every request; "" means evergrant-go.
	UserAgent string
}

// Client talks to one server. It is safe for concurrent use; make one and keep it.
type Client struct {
	base     *url.URL // without a slash at its end
	where    string   // for error messages
	key      string
	agent    string
	http     *http.Client
	patience time.Duration
	keeper   *keeper // nil: none
}

var _ evergrant.Source = (*Client)(nil)

// New returns a client. It does not connect.
func New(c Config) (*Client, error) {
	socket := c.Socket
	if path, ok := strings.CutPrefix(c.URL, "unix:"); ok && socket == "" {
		socket = strings.TrimPrefix(path, "//")
	}
	cl := &Client{key: c.Key, agent: c.UserAgent, http: c.HTTPClient, patience: c.Patience}
	if c.KeepTokens {
		cl.keeper = newKeeper()
	}
	if cl.agent == "" {
		cl.agent = "evergrant-go"
	}
	if strings.ContainsAny(c.Key, "\r\n \t") {
		return nil, errors.New("client: the API key contains white space; a newline at its end is often the cause")
	}
	switch {
	case socket != "" && c.HTTPClient != nil:
		return nil, errors.New("client: an HTTPClient cannot be combined with a Unix socket")
	case socket != "":
		cl.base, cl.where = &url.URL{Scheme: "http", Host: "evergrant"}, "unix:"+socket
		cl.http = newHTTPClient(func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		})
		return cl, nil
	case c.URL == "":
		return nil, errors.New("client: URL or Socket is required; for FromEnv set EVERGRANT_SERVER, such as http://127.0.0.1:8421")
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("client: URL must be like http://127.0.0.1:8421 or unix:/run/evergrant/api.sock")
	}
	cl.base = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}
	cl.where = cl.base.String()
	if cl.http == nil {
		cl.http = newHTTPClient((&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext)
	}
	return cl, nil
}

// FromEnv returns a client for the server named by EVERGRANT_SERVER, with the
// key in EVERGRANT_API_KEY.
func FromEnv() (*Client, error) {
	return New(Config{URL: os.Getenv("EVERGRANT_SERVER"), Key: os.Getenv("EVERGRANT_API_KEY")})
}

// newHTTPClient returns a client that keeps many connections to its one server
// and follows no redirects, because a key goes nowhere else.
func newHTTPClient(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dial,
			ForceAttemptHTTP2:     true,
			MaxIdleConns:          256,
			MaxIdleConnsPerHost:   256,
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 2 * time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// CloseIdleConnections closes connections that are not in use.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// String returns where the server is.
func (c *Client) String() string { return c.where }

// GoString is String; the key is not shown.
func (c *Client) GoString() string { return "client.Client(" + c.where + ")" }
