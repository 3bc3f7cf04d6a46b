package store

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
)

func TestATextIsMadeReadyForBeingLookedFor(t *testing.T) {
	for text, want := range map[string]Sought{
		" 7qm2-kx\n":    {Text: "7qm2-kx", Code: "7QM2KX", From: "7qm2-kx", To: "7qm2-ky"},
		"Quay Bar":      {Text: "Quay Bar", Code: "QUAYBAR", From: "quay bar", To: "quay bas"},
		"Biz@42@k-x":    {Text: "Biz@42@k-x", Ref: grant.Ref{Key: "Biz@42", App: "k-x"}, Code: "BIZ@42@KX", From: "biz@42@k-x", To: "biz@42@k-y"},
		"conn_1":        {Text: "conn_1", Code: "CONN_1", From: "conn_1", To: "conn_2"},
		"a@B":           {Text: "a@B", Code: "A@B", From: "a@b", To: "a@c"}, // no app is called B
		"-":             {Text: "-", From: "-", To: "."},
		"É":             {Text: "É", Code: "É", From: "É", To: "Ê"},
		"x\uD7FF":       {Text: "x\uD7FF", Code: "X\uD7FF", From: "x\uD7FF", To: "x\uE000"},
		"a\x00\xff":     {Text: "a\uFFFD\uFFFD", Code: "A\uFFFD\uFFFD", From: "a\uFFFD\uFFFD", To: "a\uFFFD\uFFFE"},
		"\U0010FFFF":    {Text: "\uFFFD", Code: "\uFFFD", From: "\uFFFD", To: "\uFFFE"},
		"z\U0010FFFE\t": {Text: "z\U0010FFFE", Code: "Z\U0010FFFE", From: "z\U0010FFFE", To: "z\U0010FFFF"},
	} {
		got, ok := Seek(text)
		if d := cmp.Diff(want, got); d != "" || !ok {
			t.Errorf("%q, %v (-want +got):\n%s", text, ok, d)
		}
	}
	for _, text := range []string{"", " ", "\r\n\t "} {
		if got, ok := Seek(text); ok {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

// FuzzSeek proves that between From and To lies what begins with a text, and
// nothing else.
func FuzzSeek(f *testing.F) {
	for _, seed := range [][2]string{{"Quay", "quay bar"}, {"a\uD7FF", "a\uE000"}, {"\xff", ""}, {"a", "A"}, {"é", "É"}, {"a\U0010FFFE", "a\U0010FFFFz"}, {"a", "b"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, kept string) {
		s, ok := Seek(text)
		if !ok {
			if strings.TrimSpace(text) != "" {
				t.Fatalf("%q is taken for empty", text)
			}
			return
		}
		if !utf8.ValidString(s.Text) || !utf8.ValidString(s.To) || len(s.From) != len(s.Text) {
			t.Fatalf("%q becomes %+v", text, s)
		}
		if strings.ContainsAny(s.Code, "- abcdefghijklmnopqrstuvwxyz") {
			t.Fatalf("code %q", s.Code)
		}
		lower := strings.Map(lowerASCII, strings.ToValidUTF8(kept, ""))
		for _, candidate := range []string{lower, s.From + lower} {
			if begins := strings.HasPrefix(candidate, s.From); begins != (s.From <= candidate && candidate < s.To) {
				t.Fatalf("%q begins with %q: %v, and is not on that side of %q", candidate, s.From, begins, s.To)
			}
		}
	})
}
