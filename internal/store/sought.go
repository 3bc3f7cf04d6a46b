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
	// What begins with the text is, in lower case and in the order of bytes, at or
	// after From and before To. To is "" if everything after From begins with it.
	From, To string
}

// Seek makes a text ready. ok is false if it is empty.
func Seek(text string) (s Sought, ok bool) {
	s.Text = strings.TrimSpace(strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "\uFFFD"), "\uFFFD"))
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

// after returns the first text, in the order of bytes, that comes after every text
// that begins with s; "" if there is none. UTF-8 sorts by bytes as runes do.
func after(s string) string {
	for s != "" {
		r, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
		switch r {
		case utf8.MaxRune:
			continue // the rune before it has to rise
		case 0xD7FF:
			r = 0xDFFF // surrogates are no runes
		}
		return s + string(r+1)
	}
	return ""
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
