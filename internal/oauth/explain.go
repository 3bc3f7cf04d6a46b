package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// explain puts a failure into words that are safe to show. It never quotes the
// error of net/http, which can hold the URL or a line the server sent. A timeout
// of 0 is somebody else's.
func explain(host string, timeout time.Duration, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", printable(host, 253), context.Canceled)
	}
	return fmt.Errorf("%s: %s", printable(host, 253), cause(timeout, err))
}

// spoken are the errors whose own text is fixed, and ours.
func spoken() []error {
	return []error{errTooLate, errUnasked, errTooBig, errBadGzip, errNotPublic, errNotLoopback}
}

// cause names what went wrong without quoting anything remote.
func cause(timeout time.Duration, err error) string {
	for _, s := range spoken() {
		if errors.Is(err, s) {
			return s.Error()
		}
	}
	var (
		netErr  net.Error
		dns     *net.DNSError
		expired x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
		errno   syscall.Errno
	)
	switch {
	case errors.As(err, &expired) && expired.Reason == x509.Expired:
		return "the certificate has expired or is not valid yet; check this machine's clock too"
	case errors.As(err, &unknown):
		return "the certificate is signed by an authority this machine does not know"
	case errors.As(err, &name):
		return "the certificate is for another host"
	case errors.As(err, &verify):
		return "the certificate is not valid"
	case errors.As(err, &record):
		return "the server does not speak TLS"
	case errors.As(err, &alert):
		return alert.Error() // "tls: handshake failure", of a fixed list
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the host name does not exist"
	case errors.As(err, &dns):
		return "the host name could not be looked up"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &netErr) && netErr.Timeout():
		if timeout > 0 {
			return fmt.Sprintf("no complete answer within %s", timeout)
		}
		return "no complete answer in time"
	case errors.As(err, &errno):
		return errno.Error() // "connection refused", "connection reset by peer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer was complete"
	}
	return "the connection failed or the answer was not HTTP"
}
