package oauth

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// What CheckEndpoint refuses. The URL itself is not quoted: it may hold
// credentials.
var (
	errNotURL      = errors.New("not an absolute URL such as https://id.example/token")
	errScheme      = errors.New("the URL must begin with https:// (http:// for loopback hosts only)")
	errUserinfo    = errors.New("the URL must not contain a user name or password")
	errHasFragment = errors.New("the URL must not contain a fragment (#)")
)

// CheckEndpoint reports why raw cannot be an endpoint: it must be an absolute
// https URL, or http for a loopback host (localhost, 127.0.0.0/8, ::1), without
// user name, password and fragment (RFC 6749 sections 3.1 and 3.2).
func CheckEndpoint(raw string) error {
	_, err := endpoint(raw)
	return err
}

// endpoint parses a URL that satisfies CheckEndpoint.
func endpoint(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Scheme == "" || !validHost(u) {
		return nil, errNotURL
	}
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname())):
		return nil, errScheme
	case u.User != nil:
		return nil, errUserinfo
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, errHasFragment
	}
	return u, nil
}

// validHost reports whether the URL names a host, and a port only if it is one.
func validHost(u *url.URL) bool {
	if u.Hostname() == "" || strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return false
	}
	if strings.HasSuffix(u.Host, ":") {
		return false
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		return err == nil && n > 0
	}
	return true
}
