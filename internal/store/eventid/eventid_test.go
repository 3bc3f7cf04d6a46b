package eventid_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store/eventid"
)

func TestIDsKeepTheOrderOfTheirNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Int64Range(1, 1<<62)
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		x, y := eventid.Format(a), eventid.Format(b)
		if (a < b) != (x < y) || (a == b) != (x == y) {
			t.Fatalf("%d and %d are not ordered like %s and %s", a, b, x, y)
		}
		if n, err := eventid.Parse(x); err != nil || n != a {
			t.Fatalf("%s is %d, want %d (%v)", x, n, a, err)
		}
	})
}

func TestNumbersRiseWhateverTheClockDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := int64(0)
		for _, ms := range rapid.SliceOf(rapid.Int64Range(0, 1<<40)).Draw(t, "clock") {
			n := eventid.Next(last, ms)
			if n <= last || n < eventid.First(ms) {
				t.Fatalf("%d follows %d at %d ms", n, last, ms)
			}
			last = n
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "evt_", "evt_01K9ZKQ8Z00000000000000000", "evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "conn_01K9ZKQ8Z00000000000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := eventid.Parse(s)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("%q is %d", s, n)
		}
		// What was read sorts where it stood: at or just before it.
		if id := eventid.Format(n); id > grant.EventID+strings.ToUpper(s[len(grant.EventID):]) {
			t.Fatalf("%q became %q, which sorts behind it", s, id)
		}
	})
}
