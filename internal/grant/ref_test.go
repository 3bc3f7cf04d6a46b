package grant_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
)

func TestParseRef(t *testing.T) {
	t.Parallel()
	key128 := strings.Repeat("ü", 128)
	app64 := strings.Repeat("a", 64)
	for _, tt := range []struct {
		name, in string
		want     grant.Ref
		err      string
	}{
		{"an address", "biz_42@k-series", grant.Ref{Key: "biz_42", App: "k-series"}, ""},
		{"a key with an @ in it", "info@bar.example@k-series", grant.Ref{Key: "info@bar.example", App: "k-series"}, ""},
		{"a key that looks like an id", "conn_1@k", grant.Ref{Key: "conn_1", App: "k"}, ""},
		{"an id", "conn_01KA", grant.Ref{ID: "conn_01KA"}, ""},
		{"the longest key, counted in characters", key128 + "@k", grant.Ref{Key: key128, App: "k"}, ""},
		{"the longest app name", "b@" + app64, grant.Ref{Key: "b", App: app64}, ""},
		{"an app name with everything", "b@0a-_.z", grant.Ref{Key: "b", App: "0a-_.z"}, ""},

		{"nothing", "", grant.Ref{}, "neither an address"},
		{"no app", "biz_42", grant.Ref{}, "neither an address"},
		{"an id without its end", "conn_", grant.Ref{}, "neither an address"},
		{"another thing's id", "grant_01KA", grant.Ref{}, "neither an address"},
		{"an empty key", "@k-series", grant.Ref{}, "business key is empty"},
		{"an empty app", "biz_42@", grant.Ref{}, "app name"},
		{"a key that is too long", key128 + "x@k", grant.Ref{}, "129 characters"},
		{"a slash", "a/b@k", grant.Ref{}, "not allowed"},
		{"a space", "a b@k", grant.Ref{}, "not allowed"},
		{"a space that is wider", "a\u3000b@k", grant.Ref{}, "not allowed"},
		{"a control character", "a\x7fb@k", grant.Ref{}, "not allowed"},
		{"bytes that are no text", "a\xffb@k", grant.Ref{}, "not valid UTF-8"},
		{"an app name in capitals", "b@K", grant.Ref{}, "app name"},
		{"an app name that begins with a dash", "b@-k", grant.Ref{}, "app name"},
		{"an app name that is too long", "b@" + app64 + "a", grant.Ref{}, "app name"},
	} {
		got, err := grant.ParseRef(tt.in)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: ParseRef(%q) = %+v, %v; want %+v, %q", tt.name, tt.in, got, err, tt.want, tt.err)
		}
	}
}

func TestRefsSurviveBeingWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := grant.Ref{
			Key: rapid.StringMatching(`[^\s/\pC]{1,128}`).Filter(func(s string) bool { return grant.ValidKey(s) == nil }).Draw(t, "key"),
			App: rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,63}`).Draw(t, "app"),
		}
		if got, err := grant.ParseRef(r.String()); err != nil || got != r {
			t.Fatalf("ParseRef(%q) = %+v, %v", r, got, err)
		}
	})
}

// FuzzParseRef: what is accepted is written as it was read and obeys the
// contract's rules; errors are one short line.
func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"biz_42@k-series", "a@b@c", "conn_01KA", "@", "", "a/b@k", "a\x00@k", "\xff@k", strings.Repeat("x", 129) + "@k", "k@\u00e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := grant.ParseRef(s)
		if err != nil {
			if r != (grant.Ref{}) || len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Fatalf("ParseRef(%q) = %+v, %q", s, r, err)
			}
			return
		}
		if r.String() != s {
			t.Fatalf("ParseRef(%q) is written %q", s, r)
		}
		if r.ID != "" {
			if r.Key != "" || r.App != "" || !strings.HasPrefix(r.ID, grant.ConnectionID) {
				t.Fatalf("ParseRef(%q) = %+v", s, r)
			}
			return
		}
		if n := utf8.RuneCountInString(r.Key); n < 1 || n > 128 || strings.ContainsAny(r.Key, "/ \t\r\n\x00") || strings.Contains(r.App, "@") {
			t.Fatalf("ParseRef(%q) = %+v", s, r)
		}
	})
}

func TestNoKeyIsMadeOfNothingButWhatIsNotAllowed(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"/", "//", " ", "\x00", "\x7f", "\xff", "\u00a0"} {
		if grant.ValidKey(key) == nil {
			t.Errorf("%q is allowed", key)
		}
	}
}

func TestAnErrorQuotesARefWholeIfItIsShort(t *testing.T) {
	t.Parallel()
	for n, cut := range map[int]bool{80: false, 81: true} {
		_, err := grant.ParseRef(strings.Repeat("x", n))
		if err == nil || strings.Contains(err.Error(), "x…") != cut {
			t.Errorf("of %d letters: %v, cut: %t", n, err, cut)
		}
	}
}
