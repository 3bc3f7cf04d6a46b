package cli

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCurlRequest(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, []byte("from=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const form, jsonType = "application/x-www-form-urlencoded", "application/json"
	for _, tt := range []struct {
		name               string
		c                  curlCmd
		method, path, body string
		header             http.Header
	}{
		{"nothing but a path is a GET", curlCmd{Path: "/x"}, "", "/x", "", http.Header{}},
		{"a path gets its slash", curlCmd{Path: "x?a=b"}, "", "/x?a=b", "", http.Header{}},
		{"data makes a POST of a form", curlCmd{Path: "/x", Data: []string{"a=b,c", "d=e"}}, "POST", "/x", "a=b,c&d=e", http.Header{"Content-Type": {form}}},
		{"data that is JSON is sent as JSON", curlCmd{Path: "/x", Request: "PUT", Data: []string{`{"a":[1]}`}}, "PUT", "/x", `{"a":[1]}`, http.Header{"Content-Type": {jsonType}}},
		{"a header of the caller's goes before", curlCmd{Path: "/x", Data: []string{`{}`}, Header: []string{"content-type: text/plain", "X-A: 1", "x-a:2"}},
			"POST", "/x", `{}`, http.Header{"Content-Type": {"text/plain"}, "X-A": {"1", "2"}}},
		{"files and standard input are read as they are", curlCmd{Path: "/x", Data: []string{"@" + file, "@-"}}, "POST", "/x", "from=file\n&typed\n", http.Header{"Content-Type": {form}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.c.Ref = "a@b"
			a, err := tt.c.request(&session{stdin: strings.NewReader("typed\n")})
			if err != nil {
				t.Fatal(err)
			}
			var body []byte
			if a.Body != nil {
				if body, err = io.ReadAll(a.Body); err != nil {
					t.Fatal(err)
				}
			}
			if a.Method != tt.method || a.Path != tt.path || string(body) != tt.body {
				t.Errorf("%s %s %q", a.Method, a.Path, body)
			}
			if d := cmp.Diff(tt.header, a.Header); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestStatusExit(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{400: 1, 401: 4, 403: 4, 404: 3, 409: 1, 429: 6, 500: 6, 503: 6} {
		if got := statusExit(status); got != want {
			t.Errorf("%d is %d, want %d", status, got, want)
		}
	}
}
