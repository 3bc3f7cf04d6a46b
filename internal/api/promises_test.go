package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

// documentedRequest is one that an operation of the OpenAPI document answers.
type documentedRequest struct {
	operation, method, target, body string
	idempotent                      bool // whether Idempotency-Key is documented
}

// do sends the request with an API key.
func (r documentedRequest) do(k *apitest.Kit, key string, header ...string) apitest.Answer {
	if strings.HasPrefix(r.target, "/oauth/") { // whose key is a form's member
		return k.Do("", r.method, r.target, r.body+"&client_secret="+key, append(header, "Content-Type: application/x-www-form-urlencoded")...)
	}
	return k.Do(key, r.method, r.target, r.body, header...)
}

// documentedRequests are one for each operation, in the order of their names, with
// those that end something last.
func documentedRequests(t *testing.T, k *apitest.Kit) []documentedRequest {
	t.Helper()
	conn := k.Adopt("biz_1", "k-series")
	one := "/v1/connections/" + conn.ID
	id := func(method, path, body string, status int) string {
		return expect(t, k.Do(admin, method, path, body), status)["id"].(string)
	}
	ids := map[string]string{
		"/v1/grants/":   data(t, k.Do(admin, "GET", one+"/grants", ""))[0]["id"].(string),
		"/v1/links/":    id("POST", "/v1/links", `{"ref":"biz_1@k-series"}`, 201),
		"/v1/webhooks/": id("POST", "/v1/webhooks", `{"url":"http://127.0.0.1:1/","types":["app.*"]}`, 201),
		"/v1/keys/":     id("POST", "/v1/keys", `{"name":"x","scopes":["tokens"]}`, 201),
	}
	bodies := map[string]string{
		"POST /v1/connections": `{"ref":"biz_2@k-series"}`, "POST /v1/connections/import": `{"ref":"biz_3@k-series"}`,
		"PATCH /v1/connections/{ref}": `{"name":"x"}`, "POST /v1/connections/{ref}/token/reject": `{"fingerprint":"000000000000"}`,
		"POST /v1/links": `{"ref":"biz_1@k-series"}`, "POST /v1/webhooks": `{"url":"https://app.example/"}`, "PATCH /v1/webhooks/{id}": `{"name":"x"}`,
		"POST /v1/keys": `{"name":"y","scopes":["tokens"]}`, "POST /v1/dashboard/logins": `{"role":"viewer"}`,
		"POST /oauth/token": "grant_type=client_credentials&client_id=" + conn.ID,
	}
	var all []documentedRequest
	for operation, d := range readDocument(t, k).operations {
		method, path, _ := strings.Cut(operation, " ")
		r := documentedRequest{operation: operation, method: method, body: bodies[operation]}
		for prefix, id := range ids {
			if strings.HasPrefix(path, prefix) {
				path = strings.Replace(path, "{id}", id, 1)
			}
		}
		r.target = strings.NewReplacer("{ref}", conn.ID, "{app}", "k-series", "{path}", "a/b").Replace(path)
		for _, p := range d.Parameters {
			r.idempotent = r.idempotent || p.Name == "Idempotency-Key"
		}
		all = append(all, r)
	}
	last := func(r documentedRequest) string {
		if ends := r.method == "DELETE" || strings.HasSuffix(r.target, "/disconnect"); ends {
			return "2" + r.operation
		}
		return "1" + r.operation
	}
	slices.SortFunc(all, func(a, b documentedRequest) int { return strings.Compare(last(a), last(b)) })
	return all
}

// upstreamAPI is a provider that answers everything.
func upstreamAPI(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	t.Cleanup(s.Close)
	return s.URL
}

func TestEveryGetHasAHead(t *testing.T) {
	k := apitest.New(t, apitest.Options{API: upstreamAPI(t)})
	targets := []string{"/livez", "/readyz", "/readyz?verbose", "/docs", "/docs/style.css", "/v1/openapi.json"}
	for _, r := range documentedRequests(t, k) {
		if r.method == http.MethodGet {
			targets = append(targets, r.target)
		}
	}
	if len(targets) < 25 {
		t.Fatalf("only %v", targets)
	}
	for _, target := range targets {
		answers := map[string]*http.Response{}
		for _, method := range []string{"GET", "HEAD"} {
			req, err := http.NewRequestWithContext(t.Context(), method, k.Server.URL+target, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+admin)
			req.Header.Set("Accept-Encoding", "identity")
			res, err := k.Server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || method == "HEAD" && len(body) > 0 {
				t.Errorf("%s %s: %v, %q", method, target, err, body)
			}
			res.Body.Close()
			for _, varies := range []string{"Request-Id", "Date"} {
				res.Header.Del(varies)
			}
			answers[method] = res
		}
		get, head := answers["GET"], answers["HEAD"]
		if target == "/v1/runway" { // which is of the moment
			for _, varies := range []string{"ETag", "Content-Length"} {
				get.Header.Del(varies)
				head.Header.Del(varies)
			}
		}
		if get.StatusCode != 200 || head.StatusCode != 200 || !sameHeaders(get.Header, head.Header) {
			t.Errorf("%s: %d %v, HEAD %d %v", target, get.StatusCode, get.Header, head.StatusCode, head.Header)
		}
	}
}

func TestEveryPostThatSaysSoIsDoneOnce(t *testing.T) {
	k := apitest.New(t, apitest.Options{API: upstreamAPI(t)})
	done := 0
	for _, r := range documentedRequests(t, k) {
		if r.method != http.MethodPost {
			continue
		}
		first := r.do(k, admin, "Idempotency-Key: "+r.operation)
		again := r.do(k, admin, "Idempotency-Key: "+r.operation)
		if first.Status > 299 || first.Status != again.Status {
			t.Errorf("%s: %d %s, then %d %s", r.operation, first.Status, first.Body, again.Status, again.Body)
		}
		if replayed := again.Header.Get("Idempotent-Replayed") == "true"; replayed != r.idempotent || replayed && first.Body != again.Body {
			t.Errorf("%s: replayed %v, documented %v", r.operation, replayed, r.idempotent)
		}
		if r.idempotent {
			done++
		}
	}
	if done < 12 {
		t.Errorf("only %d are", done)
	}
}

// TestWhatTimeMayCureSaysWhen walks through every operation, first guessing a key
// and then without a store: whatever fails with a 5xx or 429 says when to try
// again. So does every problem that any test of this package meets; see
// [checkProblem].
func TestWhatTimeMayCureSaysWhen(t *testing.T) {
	k := apitest.New(t, apitest.Options{API: "http://127.0.0.1:1"})
	requests := documentedRequests(t, k)
	walk := func(key string) (statuses map[int]int) {
		statuses = map[int]int{}
		for _, r := range requests {
			a := r.do(k, key)
			statuses[a.Status]++
			if a.Status >= 400 {
				promised(t, a, a.JSON(t)["retry_after"])
			}
		}
		return statuses
	}
	if got := walk(admin + "x"); got[http.StatusUnauthorized] == 0 || got[http.StatusTooManyRequests] < 10 {
		t.Errorf("guessing: %v", got)
	}
	if err := k.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if got := walk(admin); got[http.StatusServiceUnavailable] < 30 {
		t.Errorf("without a store: %v", got)
	}
	if a := k.Do("", "GET", "/readyz", ""); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("readyz: %d %v", a.Status, a.Header)
	}
}
