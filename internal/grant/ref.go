package grant

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Ref names a connection: by its address "key@app" or by its id "conn_…".
// Exactly one of the two forms is filled in.
type Ref struct {
	ID       string // conn_…
	Key, App string // biz_42, k-series
}

// String returns the ref as a person writes it.
func (r Ref) String() string {
	if r.ID != "" {
		return r.ID
	}
	return r.Key + "@" + r.App
}

// ParseRef reads a ref. An address is split at its last "@", because app names
// contain none. The error says what is wrong in words for the caller.
func ParseRef(s string) (Ref, error) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		if strings.HasPrefix(s, "conn_") && len(s) > len("conn_") {
			return Ref{ID: s}, nil
		}
		return Ref{}, fmt.Errorf("ref %q is neither an address like biz_42@k-series nor an id like conn_01K…", clip(s))
	}
	r := Ref{Key: s[:i], App: s[i+1:]}
	if err := ValidKey(r.Key); err != nil {
		return Ref{}, err
	}
	if err := ValidApp(r.App); err != nil {
		return Ref{}, err
	}
	return r, nil
}

// ValidKey reports why s cannot be a business key: 1 to 128 characters without
// control characters, spaces or "/".
func ValidKey(s string) error {
	if plainKey(s) {
		return nil // every token read comes through here
	}
	switch n := utf8.RuneCountInString(s); {
	case !utf8.ValidString(s):
		return fmt.Errorf("business key %q is not valid UTF-8", clip(s))
	case n == 0:
		return fmt.Errorf("business key is empty; write it before the @, like biz_42@k-series")
	case n > 128:
		return fmt.Errorf("business key has %d characters; at most 128 are allowed", n)
	}
	for _, c := range s {
		if c == '/' || unicode.IsControl(c) || unicode.IsSpace(c) {
			return fmt.Errorf("business key %q contains %q; control characters, spaces and / are not allowed", clip(s), c)
		}
	}
	return nil
}

// plainKey reports whether s is a business key of printable ASCII, as nearly all
// are.
func plainKey(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '/' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 128
}

// ValidApp reports why s cannot be an app name: 1 to 64 of a–z, 0–9, "-", "_"
// and ".", beginning with a letter or a digit.
func ValidApp(s string) error {
	if s == "" || len(s) > 64 {
		return fmt.Errorf("app name %q must have 1 to 64 characters", clip(s))
	}
	for i, c := range []byte(s) {
		ok := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || i > 0 && (c == '-' || c == '_' || c == '.')
		if !ok {
			return fmt.Errorf("app name %q: use a-z, 0-9, -, _ and . and begin with a letter or a digit", clip(s))
		}
	}
	return nil
}

// clip keeps a stranger's text short enough for an error message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
