package signin

import (
	"net/url"
	"strings"
)

// maxNext bounds the address one was on the way to.
const maxNext = 512

// local returns next if it is an address of the dashboard that can be gone to
// after logging in, and "/" otherwise. Nothing that a browser or a proxy could
// read as another host gets through: no second slash or backslash, no dot
// segment, no control character, no escape of any of them.
func local(next string) string {
	const home = "/"
	if len(next) > maxNext || !strings.HasPrefix(next, "/") {
		return home
	}
	for _, c := range []byte(next) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\\#\"<>^`{|}", c) >= 0 {
			return home
		}
	}
	u, err := url.ParseRequestURI(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.Opaque != "" || u.User != nil {
		return home
	}
	for i, segment := range strings.Split(u.Path, "/") {
		switch {
		case segment == "" && i > 0 && u.Path != home, segment == ".", segment == "..",
			strings.ContainsFunc(segment, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }):
			return home
		}
	}
	if strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") {
		return home
	}
	switch first, _, _ := strings.Cut(u.Path[1:], "/"); first {
	case "login", "logout":
		return home
	}
	return next
}
