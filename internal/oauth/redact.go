package oauth

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is shown of a remote text.
const (
	maxCode        = 64  // bytes
	maxDescription = 200 // runes
)

// Lengths from which a run of token characters is taken for a token: any run,
// and one that mixes lower case, upper case and digits.
const (
	longRun  = 20
	mixedRun = 10
)

// redacted stands where a run was removed. It has no token-like run itself.
const redacted = "[…]"

// describe makes a remote text fit to be shown: printable, short and without
// anything that looks like a token, whole or cut.
func describe(s string) string {
	var b strings.Builder
	for s != "" {
		n := strings.IndexFunc(s, func(r rune) bool { return !tokenRune(r) })
		switch {
		case n < 0:
			n = len(s)
			fallthrough
		case n > 0:
			if tokenLike(s[:n]) {
				b.WriteString(redacted)
			} else {
				b.WriteString(s[:n])
			}
		default:
			r, size := utf8.DecodeRuneInString(s)
			b.WriteRune(r)
			n = size
		}
		s = s[n:]
	}
	return printable(b.String(), maxDescription)
}

// Showable is what of a remote text is fit to be shown: at most 200 printable
// characters, without anything that looks like a token, whole or cut.
func Showable(s string) string { return describe(s) }

// tokenRune reports whether r occurs in tokens: base64 of both alphabets, hex,
// JWT and percent-encoding.
func tokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.~+/=%", r)
}

// tokenLike reports whether a run of token characters may be a secret.
func tokenLike(s string) bool {
	if len(s) >= longRun {
		return true
	}
	return len(s) >= mixedRun &&
		strings.ContainsFunc(s, unicode.IsLower) && strings.ContainsFunc(s, unicode.IsUpper) && strings.ContainsFunc(s, unicode.IsDigit)
}

// printable replaces control and other unprintable characters by spaces, folds
// runs of space and cuts to at most n runes.
func printable(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) > n {
		s = string([]rune(s)[:n-1]) + "…"
	}
	return s
}

// cleanCode returns an error code fit to be shown and compared: RFC 6749
// characters, at most 64. A code that is none, or could be a token that the
// server quotes, is no code; trusted says that it is known to be none.
func cleanCode(s string, trusted bool) string {
	s = strings.TrimSpace(s)
	if len(s) > maxCode {
		return ""
	}
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return ""
		}
	}
	for _, run := range strings.FieldsFunc(s, func(r rune) bool { return !tokenRune(r) }) {
		if !trusted && tokenLike(run) && !word(run) {
			return ""
		}
	}
	return s
}

// word reports whether a long run is written like an error code and not like a
// token: letters of one case and underscores, such as temporarily_unavailable.
func word(s string) bool {
	if !strings.Contains(s, "_") {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == "" || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == ""
}
