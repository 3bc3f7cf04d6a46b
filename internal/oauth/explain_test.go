package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExplainNamesTheCauseAndQuotesNothing(t *testing.T) {
	quoted := fmt.Errorf("malformed HTTP response %q", testRefresh)
	verify := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	tests := map[string]struct {
		err  error
		want string
	}{
		"a time limit":               {context.DeadlineExceeded, "no complete answer within 7s"},
		"a time limit of the system": {dial(os.ErrDeadlineExceeded), "no complete answer within 7s"},
		"a time limit of TCP":        {dial(syscall.ETIMEDOUT), "no complete answer within 7s"},
		"a cancelled context":        {fmt.Errorf("%w: %w", quoted, context.Canceled), "context canceled"},
		"a refused connection":       {dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "connection refused"},
		"a reset connection":         {&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "connection reset by peer"},
		"an unknown name":            {dial(&net.DNSError{Err: "no such host", Name: testRefresh, IsNotFound: true}), "the host name does not exist"},
		"a broken name server":       {dial(&net.DNSError{Err: "server misbehaving", Name: testRefresh}), "the host name could not be looked up"},
		"an expired certificate":     {verify(x509.CertificateInvalidError{Reason: x509.Expired, Detail: testRefresh}), "the certificate has expired or is not valid yet; check this machine's clock too"},
		"a foreign certificate":      {verify(x509.HostnameError{Certificate: &x509.Certificate{}, Host: testRefresh}), "the certificate is for another host"},
		"an unknown authority":       {verify(x509.UnknownAuthorityError{}), "the certificate is signed by an authority this machine does not know"},
		"another certificate fault":  {verify(errors.New(testRefresh)), "the certificate is not valid"},
		"plain HTTP on a TLS port":   {tls.RecordHeaderError{Msg: testRefresh}, "the server does not speak TLS"},
		"a TLS alert":                {fmt.Errorf("remote error: %w", tls.AlertError(40)), "tls: handshake failure"},
		"an end in the middle":       {fmt.Errorf("%w: %w", quoted, io.ErrUnexpectedEOF), "the connection was closed before the answer was complete"},
		"a URL error":                {&url.Error{Op: "Post", URL: "https://x/?" + testSecret, Err: io.EOF}, "the connection was closed before the answer was complete"},
		"a private address":          {dial(errNotPublic), errNotPublic.Error()},
		"anything else":              {quoted, "the connection failed or the answer was not HTTP"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := explain("id.example", 7*time.Second, tt.err)
			if got.Error() != "id.example: "+tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			noCanary(t, got)
		})
	}
	if got := explain("id.example", 0, context.DeadlineExceeded); !strings.HasSuffix(got.Error(), "no complete answer in time") {
		t.Errorf("somebody else's time limit: %v", got)
	}
}
