package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/store"
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

// TestLinesThatPauseAreAnswered sends the next line only when the last one was
// answered, as a program would that makes its lines one by one.
func TestLinesThatPauseAreAnswered(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	body, lines := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "POST", k.Server.URL+"/v1/connections/import", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+admin)
	go fmt.Fprintln(lines, `{"ref":"biz_0@k-series"}`)
	res, err := k.Server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answers := bufio.NewScanner(res.Body)
	for i := range 3 {
		if !answers.Scan() || !strings.Contains(answers.Text(), fmt.Sprintf(`"line":%d,"ref":"biz_%d@k-series","status":"created"`, i+1, i)) {
			t.Fatalf("%s, %v", answers.Text(), answers.Err())
		}
		fmt.Fprintf(lines, "{\"ref\":\"biz_%d@k-series\"}\n", i+1)
	}
	_ = lines.Close()
	if !answers.Scan() || answers.Scan() {
		t.Errorf("%s, %v", answers.Text(), answers.Err())
	}
}

// TestAnImportThatNobodyListensToEnds: the goroutines of a request that is given
// up end with it, or the server could not be closed.
func TestAnImportThatNobodyListensToEnds(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	ctx, giveUp := context.WithCancel(t.Context())
	body, lines := io.Pipe()
	defer lines.Close()
	r, err := http.NewRequestWithContext(ctx, "POST", k.Server.URL+"/v1/connections/import", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+admin)
	go fmt.Fprintln(lines, `{"ref":"biz_0@k-series"}`)
	res, err := k.Server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	giveUp()
	_ = res.Body.Close()
	k.Server.Close() // waits for its requests
}

// odd is a store whose transactions of many do what they are told to.
type odd struct {
	store.Store
	create func(store.Store, []store.Arrival) ([]bool, error)
}

func (o odd) CreateConnections(_ context.Context, arrivals []store.Arrival) ([]bool, error) {
	return o.create(o.Store, arrivals)
}

func TestAnImportTellsEachLineWhatBecameOfItsTransaction(t *testing.T) {
	const body = `{"ref":"biz_1@k-series","tokens":{"access_token":"at","refresh_token":"rt","expires_in":3600}}` + "\n" + `{"ref":"biz_2@k-series"}`
	for name, c := range map[string]struct {
		create func(store.Store, []store.Arrival) ([]bool, error)
		want   []string
	}{
		"one of them was at fault, so each is tried alone": {
			func(store.Store, []store.Arrival) ([]bool, error) { return nil, errors.New("broken") },
			[]string{"1 biz_1@k-series created", "2 biz_2@k-series created"},
		},
		"the store is away": {
			func(store.Store, []store.Arrival) ([]bool, error) { return nil, store.ErrUnavailable },
			[]string{"1 biz_1@k-series failed temporarily_unavailable", "2 biz_2@k-series failed temporarily_unavailable"},
		},
		"it was made and the answer lost, so it has to be made again": {
			func(s store.Store, arrivals []store.Arrival) ([]bool, error) {
				_, err := s.CreateConnections(context.Background(), arrivals)
				return nil, errors.Join(store.ErrUnavailable, err)
			},
			[]string{"1 biz_1@k-series failed temporarily_unavailable", "2 biz_2@k-series failed temporarily_unavailable"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := apitest.New(t, apitest.Options{Wrap: func(s store.Store) store.Store { return odd{s, c.create} }})
			if diff := cmp.Diff(c.want, imports(t, k, admin, body)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
