package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

// TestEveryOperationAnswersAsDocumented calls each operation of the OpenAPI
// document, and holds status, media type and body against what it says there.
func TestEveryOperationAnswersAsDocumented(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "{%q:%q}", r.Method, r.URL.Path)
	}))
	defer upstream.Close()
	k := apitest.New(t, apitest.Options{API: upstream.URL})
	d := readDocument(t, k)
	url, _ := hook(t)
	conn := k.Adopt("biz_1", "k-series")
	grants := data(t, k.Do(admin, "GET", "/v1/connections/"+conn.ID+"/grants", ""))
	// What later requests name. The last answer to have an id gives it.
	ids := map[string]string{"{conn}": conn.ID, "{grant}": grants[0]["id"].(string)}
	const one, ref = "/v1/connections/{ref}", "/v1/connections/{conn}"
	for _, c := range []struct {
		operation, target, body string
		status                  int
		keep                    string // the name of the answer's id
	}{
		{"GET " + one + "/token", ref + "/token?min_valid=1m", "", 200, ""},
		{"POST " + one + "/token/reject", ref + "/token/reject", `{"fingerprint":"000000000000"}`, 200, ""},
		{"POST /oauth/token", "/oauth/token", "grant_type=client_credentials&client_id={conn}&client_secret=" + admin, 200, ""},
		{"GET /.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server", "", 200, ""},
		{"GET /v1/forward-auth/{ref}", "/v1/forward-auth/{conn}", "", 200, ""},
		{"GET /proxy/{ref}/{path}", "/proxy/{conn}/a/b", "", 200, ""},
		{"POST /proxy/{ref}/{path}", "/proxy/{conn}/a/b", "x", 200, ""},
		{"PUT /proxy/{ref}/{path}", "/proxy/{conn}/a/b", "x", 200, ""},
		{"PATCH /proxy/{ref}/{path}", "/proxy/{conn}/a/b", "x", 200, ""},
		{"DELETE /proxy/{ref}/{path}", "/proxy/{conn}/a/b", "", 200, ""},

		{"GET /v1/connections", "/v1/connections?limit=1", "", 200, ""},
		{"POST /v1/connections", "/v1/connections", `{"ref":"biz_2@k-series","tags":{"a":"b"}}`, 201, "{pending}"},
		{"POST /v1/connections", "/v1/connections", `{"ref":"biz_2@k-series","required_locations":["1"]}`, 200, ""},
		{"POST /v1/connections/import", "/v1/connections/import", `{"ref":"biz_3@k-series"}` + "\n" + `{"reff":"x"}`, 200, ""},
		{"GET " + one, ref, "", 200, ""},
		{"GET " + one, "/v1/connections/{pending}", "", 200, ""},
		{"PATCH " + one, ref, `{"name":"Quay Bar"}`, 200, ""},
		{"GET " + one + "/grants", ref + "/grants", "", 200, ""},
		{"GET " + one + "/locations", ref + "/locations", "", 200, ""},
		{"POST " + one + "/locations/refresh", ref + "/locations/refresh", "", 200, ""},
		{"POST " + one + "/refresh", ref + "/refresh", "", 200, ""},
		{"POST " + one + "/verify", ref + "/verify", "", 200, ""},
		{"GET " + one + "/events", ref + "/events", "", 200, ""},
		{"GET /v1/grants/{id}", "/v1/grants/{grant}", "", 200, ""},

		{"POST /v1/links", "/v1/links", `{"ref":"{conn}"}`, 201, "{link}"},
		{"GET /v1/links", "/v1/links", "", 200, ""},
		{"GET /v1/links/{id}", "/v1/links/{link}", "", 200, ""},
		{"POST /v1/links/{id}/revoke", "/v1/links/{link}/revoke", "", 200, ""},
		{"GET /v1/events", "/v1/events", "", 200, ""},

		{"POST /v1/webhooks", "/v1/webhooks", `{"url":"` + url + `","types":["app.*"]}`, 201, "{hook}"},
		{"GET /v1/webhooks", "/v1/webhooks", "", 200, ""},
		{"GET /v1/webhooks/{id}", "/v1/webhooks/{hook}", "", 200, ""},
		{"PATCH /v1/webhooks/{id}", "/v1/webhooks/{hook}", `{"name":"mine"}`, 200, ""},
		{"POST /v1/webhooks/{id}/test", "/v1/webhooks/{hook}/test", "", 200, ""},
		{"GET /v1/webhooks/{id}/deliveries", "/v1/webhooks/{hook}/deliveries", "", 200, ""},
		{"POST /v1/webhooks/{id}/rotate-secret", "/v1/webhooks/{hook}/rotate-secret", "", 200, ""},
		{"DELETE /v1/webhooks/{id}", "/v1/webhooks/{hook}", "", 204, ""},

		{"GET /v1/runway", "/v1/runway", "", 200, ""},
		{"GET /v1/apps", "/v1/apps", "", 200, ""},
		{"GET /v1/apps/{app}", "/v1/apps/k-series", "", 200, ""},
		{"POST /v1/apps/{app}/pause", "/v1/apps/k-series/pause", "", 200, ""},
		{"POST /v1/apps/{app}/resume", "/v1/apps/k-series/resume", "", 200, ""},
		{"POST /v1/keys", "/v1/keys", `{"name":"x","scopes":["tokens"]}`, 201, "{key}"},
		{"GET /v1/keys", "/v1/keys", "", 200, ""},
		{"DELETE /v1/keys/{id}", "/v1/keys/{key}", "", 204, ""},
		{"POST /v1/dashboard/logins", "/v1/dashboard/logins", `{"role":"viewer"}`, 201, ""},
		{"GET /v1/whoami", "/v1/whoami", "", 200, ""},
		{"GET /v1/meta", "/v1/meta", "", 200, ""},

		{"POST " + one + "/disconnect", ref + "/disconnect", "", 200, ""},
		{"GET " + one, ref, "", 200, ""},
		{"DELETE " + one, ref, "", 204, ""},
	} {
		for name, id := range ids {
			c.target, c.body = strings.ReplaceAll(c.target, name, id), strings.ReplaceAll(c.body, name, id)
		}
		method, _, _ := strings.Cut(c.operation, " ")
		var header []string
		if strings.HasPrefix(c.operation, "POST /oauth/") {
			header = append(header, "Content-Type: application/x-www-form-urlencoded")
		}
		key := admin
		if len(header) > 0 {
			key = ""
		}
		a := k.Do(key, method, c.target, c.body, header...)
		if a.Status != c.status {
			t.Fatalf("%s: %d %s", c.operation, a.Status, a.Body)
		}
		d.check(t, c.operation, a)
		if c.keep != "" {
			ids[c.keep] = a.JSON(t)["id"].(string)
		}
		d.called[c.operation] = true
		if tag := a.Header.Get("ETag"); tag != "" {
			d.check(t, c.operation, k.Do(admin, method, c.target, "", "If-None-Match: *"))
		}
		// And what everybody else is answered.
		d.check(t, c.operation, k.Do("", method, c.target, "", header...))
	}
	for operation := range d.operations {
		if !d.called[operation] {
			t.Errorf("%s is not called here", operation)
		}
	}
}

// openapi is an OpenAPI document as a stranger's program reads it.
type openapi struct {
	operations map[string]documented // by method and path
	schemas    map[string]schema
	called     map[string]bool
}

type documented struct {
	Parameters []struct{ Name, In string }
	Responses  map[string]struct {
		Headers map[string]any
		Content map[string]struct{ Schema schema }
	}
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       any    // a name, or a list of them
	Format     string
	Enum       []any
	Items      *schema
	Properties map[string]schema
	Required   []string
	More       any `json:"additionalProperties"`
}

func readDocument(t testing.TB, k *apitest.Kit) openapi {
	t.Helper()
	var doc struct {
		Paths      map[string]map[string]documented
		Components struct{ Schemas map[string]schema }
	}
	if err := json.Unmarshal([]byte(k.Do("", "GET", "/v1/openapi.json", "").Body), &doc); err != nil {
		t.Fatal(err)
	}
	d := openapi{operations: map[string]documented{}, schemas: doc.Components.Schemas, called: map[string]bool{}}
	for path, item := range doc.Paths {
		for method, op := range item {
			d.operations[strings.ToUpper(method)+" "+path] = op
		}
	}
	return d
}

// check fails the test if an answer is not one of those the document has for the
// operation.
func (d openapi) check(t *testing.T, operation string, a apitest.Answer) {
	t.Helper()
	op, ok := d.operations[operation]
	if !ok {
		t.Errorf("%s is not documented", operation)
		return
	}
	answer, ok := op.Responses[strconv.Itoa(a.Status)]
	if !ok && a.Status < 400 {
		t.Errorf("%s: no answer %d is documented", operation, a.Status)
		return
	}
	if !ok {
		answer = op.Responses["default"]
	}
	if _, ok := answer.Headers["ETag"]; ok != (a.Header.Get("ETag") != "") {
		t.Errorf("%s: %d has the ETag %q, documented is %v", operation, a.Status, a.Header.Get("ETag"), ok)
	}
	if len(answer.Content) == 0 && a.Body != "" {
		t.Errorf("%s: %d is documented without a body, and has %q", operation, a.Status, a.Body)
	}
	for kind, media := range answer.Content {
		if kind == "*/*" {
			return // the provider's
		}
		if got := a.Header.Get("Content-Type"); got != kind {
			t.Errorf("%s: %d is %s, documented is %s", operation, a.Status, got, kind)
		}
		bodies := []string{a.Body}
		if kind == "application/x-ndjson" {
			bodies = slices.Collect(strings.Lines(a.Body))
		}
		for _, body := range bodies {
			var v any
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				t.Errorf("%s: %v: %q", operation, err, body)
				continue
			}
			for _, wrong := range d.faults(media.Schema, v, "$") {
				t.Errorf("%s: %d: %s", operation, a.Status, wrong)
			}
		}
	}
}

// faults says what of a value does not fit its schema. A member that is not
// described is a fault too: the document would be behind.
func (d openapi) faults(s schema, v any, at string) (all []string) {
	if s.Ref != "" {
		s = d.schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]]
	}
	if len(s.Enum) > 0 && v != nil && !slices.Contains(s.Enum, v) {
		all = append(all, fmt.Sprintf("%s is %v, not one of %v", at, v, s.Enum))
	}
	if s.Type != nil && !slices.Contains(typesOf(v), s.named(v)) {
		return append(all, fmt.Sprintf("%s is %v, not %v", at, v, s.Type))
	}
	switch v := v.(type) {
	case string:
		if s.Format == "date-time" {
			if _, err := time.Parse(time.RFC3339, v); err != nil || !strings.HasSuffix(v, "Z") {
				all = append(all, fmt.Sprintf("%s is %q, not a time in UTC", at, v))
			}
		}
	case []any:
		for i, item := range v {
			if s.Items != nil {
				all = append(all, d.faults(*s.Items, item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
	case map[string]any:
		for _, member := range s.Required {
			if _, ok := v[member]; !ok {
				all = append(all, at+"."+member+" is required and not there")
			}
		}
		for member, value := range v {
			described, ok := s.Properties[member]
			switch _, open := s.More.(map[string]any); {
			case ok:
				all = append(all, d.faults(described, value, at+"."+member)...)
			case !open:
				all = append(all, at+"."+member+" is not described")
			}
		}
	}
	return all
}

// named is the one of the schema's types a value may have that it has, "" if it
// has none of them.
func (s schema) named(v any) string {
	allowed, several := s.Type.([]any)
	if !several {
		allowed = []any{s.Type}
	}
	for _, name := range typesOf(v) {
		if slices.Contains(allowed, any(name)) {
			return name
		}
	}
	return ""
}

// typesOf are the names JSON Schema has for what a value is.
func typesOf(v any) []string {
	switch v := v.(type) {
	case nil:
		return []string{"null"}
	case bool:
		return []string{"boolean"}
	case string:
		return []string{"string"}
	case []any:
		return []string{"array"}
	case map[string]any:
		return []string{"object"}
	case float64:
		if v == float64(int64(v)) {
			return []string{"integer", "number"}
		}
	}
	return []string{"number"}
}
