package words

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Span writes a length of time in its largest unit, as people say it. The clocks
// of two machines may differ a little, so less than nothing is nothing.
func Span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return Counted(int(max(d, 0)/time.Second), "second", "seconds")
	case d < time.Hour:
		return Counted(int(d/time.Minute), "minute", "minutes")
	case d < 48*time.Hour:
		return Counted(int(d/time.Hour), "hour", "hours")
	}
	return Counted(int(d/(24*time.Hour)), "day", "days")
}

// Counted writes a number of things.
func Counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Printable takes out of a text what could change a terminal, because names come
// from merchants; no text at all is "-".
func Printable(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Fold breaks words into lines of at most width characters, at spaces where
// there are any.
func Fold(words []string, width int) []string {
	var lines []string
	line, length := "", 0
	for _, word := range words {
		for n := utf8.RuneCountInString(word); ; n = utf8.RuneCountInString(word) {
			if length > 0 && length+1+n <= width {
				line, length = line+" "+word, length+1+n
				break
			}
			if length > 0 {
				lines, line, length = append(lines, line), "", 0
			}
			if n <= width {
				line, length = word, n
				break
			}
			r := []rune(word)
			lines, word = append(lines, string(r[:width])), string(r[width:])
		}
	}
	if length > 0 {
		lines = append(lines, line)
	}
	return lines
}

// width is that of what is told on a terminal.
const width = 100

// Hang writes a text after what is in front of its first line; further lines
// begin below the text. The tail is not broken.
func Hang(b *strings.Builder, front, text, tail string) {
	all := strings.Fields(Printable(text))
	if tail != "" {
		all = append(all, Printable(tail))
	}
	for _, line := range Fold(all, width-len(front)) {
		b.WriteString(front + line + "\n")
		front = strings.Repeat(" ", len(front))
	}
}
