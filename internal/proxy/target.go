package proxy

import (
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// How a request says which location its token must reach.
const (
	locationHeader = "Evergrant-Location"
	locationParam  = "evergrant_location"
)

// target is where below the API's base a request goes.
type target struct {
	escaped, path string // the path as it was written and what it means; "" or rooted
	query         string
	location      string
	// sticky is set if the location came with the query, so that links to further
	// pages have to carry it.
	sticky bool
}

// readTarget reads what a request asks for, and refuses what some server on the
// way could read in another way than we do.
func readTarget(r *http.Request, rest string) (target, error) {
	switch {
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace:
		return target{}, &Error{Kind: NoMethod, Detail: "CONNECT and TRACE are not carried"}
	case r.URL.Scheme != "" || r.URL.Host != "" || r.URL.User != nil || r.URL.Opaque != "":
		return target{}, invalid("path", "the request line must hold a path, not a URL")
	case r.Header.Get("Upgrade") != "" || hasToken(r.Header["Connection"], "upgrade"):
		return target{}, invalid("Upgrade", "other protocols are not carried; send the request without it")
	}
	t := target{escaped: rest}
	var err error
	if t.path, err = readPath(rest); err != nil {
		return target{}, err
	}
	if err := t.readQuery(r.URL.RawQuery); err != nil {
		return target{}, err
	}
	header := r.Header[locationHeader]
	switch {
	case len(header) > 1:
		return target{}, invalid(locationHeader, "it is given more than once")
	case len(header) == 0 || header[0] == "":
	case t.location != "" && t.location != header[0]:
		return target{}, invalid(locationHeader, "the query names another location")
	default:
		t.location = header[0]
	}
	return t, nil
}

// readPath decodes an escaped path. It refuses every path that is not read alike
// by all: with dot segments, empty segments, slashes and backslashes in disguise,
// path parameters (RFC 3986 section 3.3) and control characters, however often
// they are encoded.
func readPath(escaped string) (string, error) {
	if escaped != "" && escaped[0] != '/' {
		return "", invalid("path", "it must begin with /")
	}
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return "", invalid("path", "a percent sign in it must begin an escape such as %%20")
	}
	if err := checkPath(escaped, path); err != nil {
		return "", err
	}
	// A server behind another may decode once more.
	for before := path; strings.Contains(before, "%"); {
		again, err := url.PathUnescape(before)
		if err != nil || again == before {
			break
		}
		if err := checkPath(before, again); err != nil {
			return "", err
		}
		before = again
	}
	return path, nil
}

// checkPath looks at a path before and after one decoding.
func checkPath(before, after string) error {
	switch {
	case !utf8.ValidString(after):
		return invalid("path", "it must be UTF-8")
	case strings.ContainsFunc(after, unicode.IsControl):
		return invalid("path", "it must not contain control characters")
	case strings.Contains(after, `\`):
		return invalid("path", `it must not contain \`)
	case strings.Contains(after, ";"):
		return invalid("path", "it must not contain ;")
	case strings.Count(before, "/") != strings.Count(after, "/"):
		return invalid("path", "it must not contain an encoded /")
	}
	for i := strings.IndexByte(after, '/'); i >= 0; {
		segment, _, more := strings.Cut(after[i+1:], "/")
		switch {
		case segment == "" && more:
			return invalid("path", "it must not contain //")
		case segment != "" && strings.Trim(segment, ". ") == "":
			return invalid("path", "it must not contain a segment of dots")
		case !more:
			return nil
		}
		i += 1 + len(segment)
	}
	return nil
}

// readQuery takes the location out of a query and leaves the rest as it is
// written, because what it means is the API's to say.
func (t *target) readQuery(raw string) error {
	if !strings.Contains(raw, "%") && !strings.Contains(raw, locationParam) {
		t.query = escapeQuery(raw)
		return nil
	}
	var kept []string
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if n, err := url.QueryUnescape(name); err != nil || n != locationParam {
			kept = append(kept, pair)
			continue
		}
		v, err := url.QueryUnescape(value)
		switch {
		case err != nil:
			return invalid(locationParam, "it is not well formed")
		case t.sticky:
			return invalid(locationParam, "it is given more than once")
		}
		t.location, t.sticky = v, true
	}
	t.sticky = t.sticky && t.location != ""
	t.query = escapeQuery(strings.Join(kept, "&"))
	return nil
}

// escapeQuery escapes what must not stand in a request line as it is, and "#",
// at which some servers would stop reading.
func escapeQuery(raw string) string {
	odd := func(c byte) bool { return c <= ' ' || c >= 0x7f || c == '#' }
	for i := range len(raw) {
		if !odd(raw[i]) {
			continue
		}
		var b strings.Builder
		for i := range len(raw) {
			if c := raw[i]; odd(c) {
				const hex = "0123456789ABCDEF"
				b.Write([]byte{'%', hex[c>>4], hex[c&15]})
			} else {
				b.WriteByte(c)
			}
		}
		return b.String()
	}
	return raw
}

// at returns the target's URL below an API's base.
func (t *target) at(base *url.URL) *url.URL {
	u := &url.URL{
		Scheme: base.Scheme, Host: base.Host, RawQuery: t.query,
		Path:    strings.TrimRight(base.Path, "/") + t.path,
		RawPath: strings.TrimRight(base.EscapedPath(), "/") + t.escaped,
	}
	if u.Path == "" {
		u.Path, u.RawPath = "/", ""
	}
	return u
}

// hasToken reports whether a comma separated header has a token, in any case.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}
