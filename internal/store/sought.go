package store

import (
	"strings"
	"unicode/utf8"

	"github.com/evergrant/evergrant/internal/grant"
)

// Sought is a text that somebody looks for with [Overview.Find], made ready for
// comparing with what is kept.
type Sought struct {
	Text string // without space around it
	// Ref is the address that the text is, or empty.
	Ref grant.Ref
	// Code is the text as a link's short code, in upper case and without dashes and
	// spaces; "" if nothing else is in it.
	Code string
	// What begins with the text, ignoring ASCII case, is in lower case and in the order
	// of bytes at or after From and before To, and nothing else is.
	From, To string
}

// Seek makes a text ready. ok is false if it is empty.
func Seek(text string) (s Sought, ok bool) {
	s.Text = strings.TrimSpace(strings.Map(kept, text))
	if s.Text == "" {
		return s, false
	}
	if ref, err := grant.ParseRef(s.Text); err == nil && ref.ID == "" {
		s.Ref = ref
	}
	s.Code = strings.NewReplacer("-", "", " ", "").Replace(strings.Map(upperASCII, s.Text))
	s.From = strings.Map(lowerASCII, s.Text)
	s.To = after(s.From)
	return s, true
}

// kept replaces what no text has that is kept: NUL, what is not UTF-8, and the last
// code point of all, which is no character.
func kept(r rune) rune {
	if r == 0 || r == utf8.MaxRune {
		return utf8.RuneError
	}
	return r
}

// after returns the first text, in the order of bytes, that comes after every text
// that begins with s. UTF-8 sorts by bytes as runes do.
func after(s string) string {
	r, size := utf8.DecodeLastRuneInString(s)
	if r++; r == 0xD800 {
		r = 0xE000 // surrogates are no runes
	}
	return s[:len(s)-size] + string(r)
}

func upperASCII(r rune) rune {
	if 'a' <= r && r <= 'z' {
		return r - 'a' + 'A'
	}
	return r
}

func lowerASCII(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r - 'A' + 'a'
	}
	return r
}
