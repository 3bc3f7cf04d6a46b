package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

// imports sends lines and returns "line ref status" of each answer, with the
// error's code if it failed.
func imports(t *testing.T, k *apitest.Kit, key, body string) []string {
	t.Helper()
	a := k.Do(key, "POST", "/v1/connections/import", body)
	if a.Status != 200 || a.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%d %s %s", a.Status, a.Header, a.Body)
	}
	var out []string
	for text := range strings.Lines(a.Body) {
		var l struct {
			Line               int
			Ref, Status, Error string
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		code, _, _ := strings.Cut(l.Error, ":")
		out = append(out, strings.TrimSpace(fmt.Sprintln(l.Line, l.Ref, l.Status, code)))
	}
	return out
}

func TestAnImportAnswersEveryLineInOrder(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	body := `{"ref":"biz_1@k-series","name":"One","tokens":{"access_token":"at-1","refresh_token":"rt-1","expires_in":3600}}

{"ref":"biz_2@k-series"}
{"ref":"biz_2@k-series","name":"Two"}
{"ref":"biz_3@nowhere"}
{"reff":"biz_4@k-series"}
nonsense
{"ref":"biz_5@k-series","tokens":{}}
{"ref":"biz_6@k-series","tokens":{"refresh_token":"rt-6"}}`
	want := []string{
		"1 biz_1@k-series created", "3 biz_2@k-series created", "4 biz_2@k-series updated", "5 biz_3@nowhere failed invalid_request",
		"6  failed invalid_request", "7  failed invalid_request", "8 biz_5@k-series failed invalid_request", "9 biz_6@k-series created",
	}
	if diff := cmp.Diff(want, imports(t, k, admin, body)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for ref, name := range map[string]string{"biz_1": "One", "biz_2": "Two"} {
		if got := expect(t, k.Do(admin, "GET", "/v1/connections/"+ref+"@k-series", ""), 200); got["name"] != name {
			t.Errorf("%s is named %v", ref, got["name"])
		}
	}
	if got := expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series", ""), 200); got["state"] != "connected" {
		t.Errorf("%v", got)
	}
}

// TestAnImportThatIsMadeAgainDoesNotGoBackToSpentTokens imports a file twice:
// what it brought may have been renewed since, and its refresh token spent.
func TestAnImportThatIsMadeAgainDoesNotGoBackToSpentTokens(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	line := func(refresh string) string {
		return `{"ref":"biz_1@k-series","tokens":{"access_token":"at","refresh_token":"` + refresh + `","expires_in":3600}}`
	}
	epoch := func() any {
		t.Helper()
		got := expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series", ""), 200)
		return got["grants"].([]any)[0].(map[string]any)["epoch"]
	}
	imports(t, k, admin, line("rt-1"))
	imports(t, k, admin, line("rt-1"))
	if e := epoch(); e != 1.0 {
		t.Errorf("the same tokens again: epoch %v, want 1", e)
	}
	imports(t, k, admin, line("rt-2"))
	imports(t, k, admin, line("rt-1"))
	if e := epoch(); e != 2.0 {
		t.Errorf("other tokens, and the first ones once more: epoch %v, want 2", e)
	}
}

func TestAnImportOfManyLinesIsBoundedByNothingButItsLines(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	var body strings.Builder
	const n = 1500
	for i := range n {
		fmt.Fprintf(&body, "{\"ref\":\"biz_%d@k-series\",\"name\":\"%s\"}\n", i, strings.Repeat("x", 180))
	}
	got := imports(t, k, admin, body.String())
	if len(got) != n || got[n-1] != fmt.Sprintf("%d biz_%d@k-series created", n, n-1) {
		t.Errorf("%d answers, the last %q", len(got), got[len(got)-1])
	}
	long := `{"ref":"biz_a@k-series"}` + "\n" + `{"ref":"biz_b@k-series","name":"` + strings.Repeat("x", 1<<20) + "\"}\n" + `{"ref":"biz_c@k-series"}`
	if diff := cmp.Diff([]string{"1 biz_a@k-series created", "2  failed a line may have at most 1 MiB; this one and those after it were not read"}, imports(t, k, admin, long)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnImportStaysWithinTheKeysReach(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	key := expect(t, k.Do(admin, "POST", "/v1/keys", `{"name":"one app","scopes":["connections"],"businesses":["biz_1"]}`), 201)["key"].(string)
	want := []string{"1 biz_1@k-series created", "2 biz_2@k-series failed not_found"}
	got := imports(t, k, key, `{"ref":"biz_1@k-series"}`+"\n"+`{"ref":"biz_2@k-series"}`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	expectProblem(t, k.Do("", "POST", "/v1/connections/import", ""), 401, "unauthorized")
}
