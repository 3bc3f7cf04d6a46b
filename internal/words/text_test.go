package words

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := strings.Fields(rapid.String().Draw(t, "text"))
		width := rapid.IntRange(1, 30).Draw(t, "width")
		lines := Fold(all, width)
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n == 0 || n > width {
				t.Errorf("a line of %d at width %d: %q", n, width, line)
			}
		}
		bare := strings.NewReplacer(" ", "")
		if got, want := bare.Replace(strings.Join(lines, "")), strings.Join(all, ""); got != want {
			t.Errorf("%q became %q", want, got)
		}
	})
}
