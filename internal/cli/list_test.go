package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAListHasEveryPage: what the client reads page by page is all there, in
// the table and as JSON.
func TestAListHasEveryPage(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("cursor") == "" {
			fmt.Fprint(w, `{"data":[{"id":"first","name":"first","new_field":1}],"next_cursor":"c"}`)
			return
		}
		fmt.Fprint(w, `{"data":[{"id":"last","name":"last","new_field":2}],"next_cursor":null}`)
	}))
	t.Cleanup(srv.Close)
	for _, what := range []string{"key", "app", "webhook", "connection"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			list := func(args ...string) string {
				t.Helper()
				var out, talk strings.Builder
				s := &session{ctx: t.Context(), stdout: &out, stderr: &talk, lookupEnv: func(string) (string, bool) { return "", false }}
				if code := s.run(append([]string{what, "list", "--server", srv.URL}, args...)); code != exitDone {
					t.Fatalf("exit %d: %s", code, talk.String())
				}
				return out.String()
			}
			if table := list(); strings.Count(table, "\n") != 3 {
				t.Errorf("the table is\n%s", table)
			}
			var got struct {
				Data []struct {
					ID  string `json:"id"`
					New int    `json:"new_field"`
				} `json:"data"`
			}
			if err := json.Unmarshal([]byte(list("--json")), &got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff("[{first 1} {last 2}]", fmt.Sprint(got.Data)); d != "" {
				t.Error(d)
			}
		})
	}
}
