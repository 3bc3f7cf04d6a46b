package proxy

import (
	"errors"
	"path"
	"slices"
	"strings"
	"time"
)

// Rules is what an app's configuration lets callers do. The zero value allows
// everything and keeps nobody waiting.
type Rules struct {
	Methods []string // upper case; nil: any
	Paths   []string // patterns, see [CheckPattern]; nil: any
	// Queue is how long a request may wait for the provider's rate limit. 0: limits
	// are the caller's to obey.
	Queue time.Duration
}

// check reports what forbids a request.
func (r Rules) check(method, path string) error {
	if r.Methods != nil && !slices.Contains(r.Methods, method) {
		return &Error{Kind: Forbidden, Detail: "the app's configuration does not allow this method here"}
	}
	if path == "" {
		path = "/"
	}
	if r.Paths != nil && !slices.ContainsFunc(r.Paths, func(p string) bool { return matches(p, path) }) {
		return &Error{Kind: Forbidden, Detail: "the app's configuration does not allow this path here"}
	}
	return nil
}

// everythingBelow ends a pattern that goes any depth down.
const everythingBelow = "/**"

// CheckPattern reports why a pattern of paths cannot be one. It is a path below
// the API's base, not escaped, in which * stands for any characters of a segment,
// and /** at the end for everything below.
func CheckPattern(pattern string) error {
	head := strings.TrimSuffix(pattern, everythingBelow)
	switch {
	case !strings.HasPrefix(pattern, "/"):
		return errors.New("must begin with /, like /f/data/*")
	case strings.Contains(head, "**"):
		return errors.New("may have ** at its end only, like /f/**")
	case strings.ContainsAny(pattern, `?[]\%`):
		return errors.New(`must not contain ? [ ] \ or %; write the path without its query and not escaped`)
	}
	if _, err := readPath(strings.ReplaceAll(head, "*", "x")); err != nil {
		return errors.New("is never the path of a request: " + err.(*Error).Detail)
	}
	return nil
}

// matches reports whether a decoded path is one of a pattern's.
func matches(pattern, p string) bool {
	if head, deep := strings.CutSuffix(pattern, everythingBelow); deep {
		end := 0
		for range strings.Count(head, "/") + 1 {
			i := strings.IndexByte(p[end:], '/')
			if i < 0 {
				return false
			}
			end += i + 1
		}
		pattern, p = head, p[:end-1]
	}
	ok, err := path.Match(pattern, p)
	return err == nil && ok
}
