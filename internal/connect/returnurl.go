package connect

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// returnPattern is one entry of links.return_url_allow.
type returnPattern struct {
	origin string // scheme://host:port, the port always written out
	path   string // escaped; "/" if the address has none
	prefix bool   // the pattern ends in "*"
}

// CheckReturnPattern reports why s cannot be an entry of links.return_url_allow:
// an https address (http for loopback hosts) without user, query or fragment,
// whose path may end in "*", which stands for any end of the path. Scheme, host
// and port match exactly.
func CheckReturnPattern(s string) error {
	_, err := parseReturnPattern(s)
	return err
}

func parseReturnPattern(s string) (returnPattern, error) {
	trimmed, prefix := strings.CutSuffix(s, "*")
	if strings.Contains(trimmed, "*") {
		return returnPattern{}, fmt.Errorf("%q: * may stand only at the end of the path", s)
	}
	u, err := parseReturnURL(trimmed)
	if err != nil {
		return returnPattern{}, fmt.Errorf("%q: %w", s, err)
	}
	if u.RawQuery != "" || u.ForceQuery {
		return returnPattern{}, fmt.Errorf("%q: leave the query out; any is accepted", s)
	}
	if prefix && u.Path == "" {
		return returnPattern{}, fmt.Errorf("%q: write a / before the *, or the host would not end there", s)
	}
	return returnPattern{origin: returnOrigin(u), path: returnPath(u), prefix: prefix}, nil
}

func (p returnPattern) matches(u *url.URL) bool {
	if returnOrigin(u) != p.origin {
		return false
	}
	if p.prefix {
		return strings.HasPrefix(returnPath(u), p.path)
	}
	return returnPath(u) == p.path
}

var errReturnURL = errors.New("not an absolute https address (http only for loopback hosts) without user and fragment")

// parseReturnURL is stricter than any browser, so that what browsers disagree
// about never gets through.
func parseReturnURL(s string) (*url.URL, error) {
	const most = 2048
	odd := func(r rune) bool { return r <= 0x20 || r >= 0x7f || r == '\\' || r == '#' }
	if s == "" || len(s) > most || strings.ContainsFunc(s, odd) {
		return nil, errReturnURL
	}
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.User != nil || u.Hostname() == "" || !plainHost(u.Hostname()) || strings.HasSuffix(u.Host, ":") {
		return nil, errReturnURL
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return nil, errReturnURL
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." || strings.Contains(segment, `\`) {
			return nil, errors.New("its path contains dot segments or backslashes")
		}
	}
	return u, nil
}

// plainHost reports whether h is a host name in ASCII or an address.
func plainHost(h string) bool {
	if _, err := netip.ParseAddr(h); err == nil {
		return true
	}
	return !strings.ContainsFunc(h, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_')
	})
}

func loopback(h string) bool {
	if h == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(h)
	return err == nil && a.IsLoopback()
}

// returnOrigin writes the port out, so that two spellings of it are equal.
func returnOrigin(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

func returnPath(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

// returnURL returns the address to send a merchant back to, "" if raw is not
// allowed.
func (s *Service) returnURL(raw string) string {
	u, err := parseReturnURL(raw)
	if err != nil || !slices.ContainsFunc(s.allow, func(p returnPattern) bool { return p.matches(u) }) {
		return ""
	}
	return u.String()
}
