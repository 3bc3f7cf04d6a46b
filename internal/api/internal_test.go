package api

import (
	"path"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestCleanPathsAreThoseServeMuxTakes compares with what ServeMux cleans.
func TestCleanPathsAreThoseServeMuxTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"/", "/", ".", "..", "a", "%2e", "...", "b.c"})).Draw(t, "path"), "")
		want := p != "" && p[0] == '/'
		if want {
			cleaned := path.Clean(p)
			if p[len(p)-1] == '/' && cleaned != "/" {
				cleaned += "/"
			}
			want = cleaned == p
		}
		if got := clean(p); got != want {
			t.Fatalf("clean(%q) = %v", p, got)
		}
	})
}

func TestSuggest(t *testing.T) {
	names := []string{"ref", "name", "tags", "required_locations", "tokens"}
	for written, want := range map[string]string{
		"reff": "ref", "nmae": "name", "Name": "name", "token": "tokens", "required_location": "required_locations",
		"colour": "", "x": "", "": "", strings.Repeat("tags", 100): "",
	} {
		got := strings.TrimSuffix(strings.TrimPrefix(suggest(written, names), "; did you mean "), "?")
		if got != want {
			t.Errorf("suggest(%.20q) = %q, want %q", written, got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "5m": 5 * time.Minute, "7d": 7 * 24 * time.Hour, "90": 90 * time.Second, "1h30m": 90 * time.Minute, "0": 0,
		"-1s": -1, "": -1, "d": -1, "1.5d": -1, "-3": -1, "soon": -1, "99999999999d": -1, "99999999999999": -1,
	} {
		got, ok := parseDuration(s)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("parseDuration(%q) = %v, %v", s, got, ok)
		}
	}
}

// FuzzDecode: what is decoded has no member its type lacks, and what is refused
// is refused in words that name a field.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"ref":"a@b","tokens":{"expires_in":1}}`, `{"ref":null}`, `{"tokens":[]}`, `{"Ref":""}`, `{"ref":1e999}`, `[`, `{"a":{"b":{}}}`, "{\"\xff\":1}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var c newConnection
		err := decode(body, &c, false)
		if err == nil {
			if len(body) == 0 || body[0] != '{' {
				t.Fatalf("decoded %q", body)
			}
			return
		}
		p, ok := toProblem(err)
		if !ok || p.Status != 400 || len(p.Errors) == 0 {
			t.Fatalf("%q: %+v", body, p)
		}
		for _, e := range p.Errors {
			if e.Field == "" && !strings.Contains(string(body), `""`) || e.Message == "" {
				t.Fatalf("%q: %+v", body, p.Errors)
			}
		}
	})
}
