package api

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzNegotiation: whatever a caller's headers say, nothing is taken for consent
// to gzip, or for the tag of an answer, that does not name it; and what is named
// alone is found.
func FuzzNegotiation(f *testing.F) {
	for _, s := range []string{"", "*", "gzip", "gzip;q=0", "*;q=0.5, gzip;q=0", "x-gzip ; Q=1.0", `W/"abc"`, `"abc"`, `"a,b", "abc"`, "gzip;q=NaN", ",;,"} {
		f.Add(s)
	}
	const tag = `W/"abc"`
	f.Fuzz(func(t *testing.T, s string) {
		h := http.Header{"Accept-Encoding": {s}, "If-None-Match": {s}}
		if takesGzip(h) && !strings.Contains(strings.ToLower(s), "gzip") && !strings.Contains(s, "*") {
			t.Errorf("%q takes gzip", s)
		}
		if has(&http.Request{Header: h}, tag) && !strings.Contains(s, `"abc"`) && !strings.Contains(s, "*") {
			t.Errorf("%q has %s", s, tag)
		}
		h = http.Header{"Accept-Encoding": {"gzip", s}, "If-None-Match": {tag, s}}
		if !takesGzip(h) || !has(&http.Request{Header: h}, tag) {
			t.Errorf("behind what is wanted, %q hides it", s)
		}
	})
}
