package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"
)

// Bounds of one connection.
const (
	connectTimeout = 10 * time.Second
	idleTimeout    = 30 * time.Second
	maxHeaderBytes = 64 << 10
	maxIdle        = 1000 // as many as an app may have under way, so that a burst need not connect for each
)

// newTransports returns a transport that keeps connections and one that makes a
// connection for every request. Both speak HTTP/1.1 only: HTTP/2 would repeat a
// request after REFUSED_STREAM and shares one connection among requests, so
// that what was sent could not be told apart.
func newTransports(c SenderConfig) (pooled, fresh *http.Transport) {
	dial, proxy := c.DialContext, http.ProxyFromEnvironment
	if dial == nil {
		g := newGuard()
		dial, proxy = g.dial, g.via
	}
	d := dialer{dial: dial, roots: c.RootCAs}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	pooled = &http.Transport{
		Proxy:                  proxy,
		DialContext:            d.plain,
		DialTLSContext:         d.tls,
		TLSClientConfig:        d.config(""), // behind a proxy net/http makes the TLS connection
		TLSHandshakeTimeout:    connectTimeout,
		Protocols:              &protocols,
		DisableCompression:     true, // net/http undoes gzip without a bound
		IdleConnTimeout:        idleTimeout,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	fresh = pooled.Clone()
	fresh.DisableKeepAlives = true
	return pooled, fresh
}

// dialer makes the connections of a transport.
type dialer struct {
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	roots *x509.CertPool
}

func (d dialer) plain(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &wireConn{Conn: conn}, nil
}

func (d dialer) tls(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	conn, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	t := tls.Client(conn, d.config(host))
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &wireConn{Conn: t}, nil
}

func (d dialer) config(serverName string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    d.roots,
		ServerName: serverName,
		NextProtos: []string{"http/1.1"},
	}
}
