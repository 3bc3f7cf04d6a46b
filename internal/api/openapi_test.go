package api_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

type operation struct {
	OperationID string `json:"operationId"`
	Tags        []string
	Responses   map[string]json.RawMessage `json:"responses"`
	Parameters  []struct{ Name, In string }
}

// TestTheOpenAPIDocumentIsWhatIsServed checks the document against the handler:
// every operation answers, every reference leads somewhere, no two share a name.
func TestTheOpenAPIDocumentIsWhatIsServed(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	a := k.Do("", "GET", "/v1/openapi.json", "")
	if a.Status != 200 || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", a.Status, a.Header)
	}
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]operation
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal([]byte(a.Body), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("version %q", doc.OpenAPI)
	}
	for _, ref := range regexp.MustCompile(`"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(a.Body, -1) {
		if doc.Components.Schemas[ref[1]] == nil {
			t.Errorf("there is no schema %s", ref[1])
		}
	}
	names := map[string]bool{}
	count := 0
	for path, operations := range doc.Paths {
		for method, op := range operations {
			count++
			if op.OperationID == "" || names[op.OperationID] {
				t.Errorf("%s %s: the name %q is empty or taken", method, path, op.OperationID)
			}
			names[op.OperationID] = true
			if op.Responses["default"] == nil || len(op.Responses) < 2 {
				t.Errorf("%s %s: responses %v", method, path, op.Responses)
			}
			target := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "x")
			served := k.Do(admin, strings.ToUpper(method), target, "")
			if served.Status == http.StatusMethodNotAllowed || strings.Contains(served.Body, "no such path") {
				t.Errorf("%s %s is documented and not served", method, path)
			}
		}
	}
	if count < 25 {
		t.Errorf("only %d operations are documented", count)
	}
	for _, must := range []string{"/v1/connections/{ref}/token", "/v1/connections/{ref}/token/reject", "/v1/links", "/v1/events"} {
		if doc.Paths[must] == nil {
			t.Errorf("%s is not documented", must)
		}
	}
}

// TestRequestBodiesAreClosedAndAnswersOpen: requests are read strictly, answers
// may gain members.
func TestRequestBodiesAreClosedAndAnswersOpen(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	var doc struct {
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := json.Unmarshal([]byte(k.Do("", "GET", "/v1/openapi.json", "").Body), &doc); err != nil {
		t.Fatal(err)
	}
	for name, closed := range map[string]bool{"NewLink": true, "NewConnection": true, "Adoption": true, "Change": true, "Rejection": true,
		"NewKey": true, "Connection": false, "TokenAnswer": false, "Problem": false, "Link": false, "Grant": false} {
		schema := doc.Components.Schemas[name]
		if schema == nil {
			t.Errorf("there is no schema %s", name)
			continue
		}
		if got := schema["additionalProperties"] == false; got != closed {
			t.Errorf("%s closed: %v, want %v", name, got, closed)
		}
	}
}

// TestAnswersHaveTheMembersTheirSchemasSay compares real answers with the
// document, member by member.
func TestAnswersHaveTheMembersTheirSchemasSay(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any
				Required   []string
			}
		}
	}
	if err := json.Unmarshal([]byte(k.Do("", "GET", "/v1/openapi.json", "").Body), &doc); err != nil {
		t.Fatal(err)
	}
	conn := k.Adopt("biz_1", "k-series")
	one := "/v1/connections/" + conn.ID
	grants := data(t, k.Do(admin, "GET", one+"/grants", ""))
	for name, answer := range map[string]map[string]any{
		"Connection":    expect(t, k.Do(admin, "GET", one, ""), 200),
		"TokenAnswer":   expect(t, k.Do(admin, "GET", one+"/token", ""), 200),
		"Grant":         grants[0],
		"Coverage":      expect(t, k.Do(admin, "GET", one+"/locations", ""), 200),
		"RefreshAnswer": expect(t, k.Do(admin, "POST", one+"/refresh", ""), 200),
		"Link":          expect(t, k.Do(admin, "POST", "/v1/links", `{"ref":"biz_1@k-series"}`), 201),
		"Event":         data(t, k.Do(admin, "GET", "/v1/events", ""))[0],
		"App":           data(t, k.Do(admin, "GET", "/v1/apps", ""))[0],
		"Key":           expect(t, k.Do(admin, "POST", "/v1/keys", `{"name":"x","scopes":["tokens"]}`), 201),
		"Meta":          expect(t, k.Do(admin, "GET", "/v1/meta", ""), 200),
		"Problem":       expectProblem(t, k.Do(admin, "GET", "/v1/nothing", ""), 404, "not_found"),
		"PageGrant":     expect(t, k.Do(admin, "GET", one+"/grants", ""), 200),
	} {
		schema := doc.Components.Schemas[name]
		for member := range answer {
			if schema.Properties[member] == nil {
				t.Errorf("%s: the schema does not have %s", name, member)
			}
		}
		for _, member := range schema.Required {
			if _, ok := answer[member]; !ok {
				t.Errorf("%s: %s is required and not there", name, member)
			}
		}
	}
}

// TestTheDocumentIsFitForGenerators: what programs make of it has names that read
// well, and types that say what may be there and what may be null.
func TestTheDocumentIsFitForGenerators(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	var doc struct {
		Paths      map[string]map[string]operation
		Components struct{ Schemas map[string]schema }
	}
	if err := json.Unmarshal([]byte(k.Do("", "GET", "/v1/openapi.json", "").Body), &doc); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`)
	for path, operations := range doc.Paths {
		for method, op := range operations {
			if !name.MatchString(op.OperationID) || len(op.Tags) != 1 {
				t.Errorf("%s %s is named %q, in %v", method, path, op.OperationID, op.Tags)
			}
			for _, p := range op.Parameters {
				if strings.ContainsAny(p.Name, "{}.") {
					t.Errorf("%s: the parameter %s would be sent as it is", op.OperationID, p.Name)
				}
			}
		}
	}
	for name, s := range doc.Components.Schemas {
		for member, m := range s.Properties {
			types, _ := m.Type.([]any)
			if nullable := slices.Contains(types, any("null")); nullable && s.More != false && !slices.Contains(s.Required, member) {
				t.Errorf("%s.%s may be left out or null, which is it?", name, member)
			}
			if member == "act_by" && len(m.Enum) != 4 {
				t.Errorf("%s.%s is one of %v", name, member, m.Enum)
			}
		}
	}
}
