package why

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
)

// calendar writes moments for the person who reads.
type calendar struct{ zone *time.Location }

// The one form of a moment: to the second, because providers search their logs
// by it, and with the offset, because they are elsewhere.
const (
	dayForm    = "2 Jan 2006"
	timeForm   = "15:04:05"
	offsetForm = "-07:00"
)

// full writes a moment that stands alone.
func (c calendar) full(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(c.zone).Format(dayForm + " " + timeForm + " " + offsetForm)
}

// day writes the day a moment is in, and that day's offset.
func (c calendar) day(t time.Time) string { return t.In(c.zone).Format(dayForm + ", " + offsetForm) }

// time writes the time of day.
func (c calendar) time(t time.Time) string { return t.In(c.zone).Format(timeForm) }

// near writes a moment in a sentence about another: without the day, and
// without the offset, if they are the same.
func (c calendar) near(t, about time.Time) string {
	t, about = t.In(c.zone), about.In(c.zone)
	text := c.time(t)
	if t.Format(dayForm) != about.Format(dayForm) {
		text += " on " + t.Format(dayForm)
	}
	if t.Format(offsetForm) != about.Format(offsetForm) {
		text += " (" + t.Format(offsetForm) + ")"
	}
	return text
}

// Bounds of what is told of a text that others wrote.
const (
	mostForeign = 120 // characters
	leastToken  = 20  // in a row without a space
	mostCode    = 60  // of an error code
)

// foreign makes a text that others wrote fit to be told: printable, short and
// without anything that could be a token. The server has seen to that; it is
// done again because a story is made to be passed on.
func foreign(s string) string {
	var b strings.Builder
	for s != "" {
		n := strings.IndexFunc(s, func(r rune) bool { return !tokenRune(r) })
		if n < 0 {
			n = len(s)
		}
		run, rest := s[:n], s[n:]
		if n >= leastToken && !errorWord(run) {
			run = "[…]"
		}
		b.WriteString(run)
		r, size := utf8.DecodeRuneInString(rest)
		if rest != "" && r != utf8.RuneError && unicode.IsPrint(r) {
			b.WriteRune(r)
		} else if rest != "" {
			b.WriteByte(' ')
		}
		s = rest[size:]
	}
	s = strings.Join(strings.Fields(b.String()), " ")
	if utf8.RuneCountInString(s) > mostForeign {
		s = string([]rune(s)[:mostForeign-1])
		s = strings.TrimRightFunc(s, tokenRune) + "…" // half an error code could be anything
	}
	return s
}

// tokenRune reports whether r occurs in tokens.
func tokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.~+/=%", r)
}

// errorWord reports whether a long run is written like an error code, such as
// temporarily_unavailable: in letters of one case, and no longer than those are.
func errorWord(s string) bool {
	return len(s) <= mostCode && strings.Contains(s, "_") &&
		(strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == "" || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "")
}

// ownID returns an id of ours, and "" for anything else.
func ownID(s string) string {
	prefix, id, _ := strings.Cut(s, "_")
	if _, err := ulid.ParseStrict(id); err != nil || len(prefix) > 8 || strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyz") != "" {
		return ""
	}
	return s
}

// textOf returns a member of an event's data that is a text.
func textOf(data map[string]any, name string) string {
	s, _ := data[name].(string)
	return s
}

// countOf returns a member that is a number, at least 0, and -1 if it is none.
func countOf(data map[string]any, name string) int64 {
	n, ok := data[name].(float64)
	if !ok || n < 0 || n > 1<<53 {
		return -1
	}
	return int64(n)
}

// sentences puts texts into one.
func sentences(texts ...string) string {
	var b strings.Builder
	for _, t := range texts {
		if t == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t)
	}
	return b.String()
}

// fullStop ends a sentence, unless a name such as Anna P. has.
func fullStop(text string) string { return strings.TrimSuffix(text, ".") + "." }

// listed writes "a, b and c".
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
