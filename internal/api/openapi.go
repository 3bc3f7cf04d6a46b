package api

import (
	"maps"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evergrant/evergrant/internal/manager"
)

// document returns the OpenAPI 3.1 document of the endpoints. The schemas come
// from the types that are decoded and answered.
func document(endpoints []endpoint, version string) *huma.OpenAPI {
	schemas := newSchemas()
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info:    &huma.Info{Title: "Evergrant", Version: version, Description: "Keeps OAuth grants alive for every business your app serves."},
		Paths:   map[string]*huma.PathItem{},
		Components: &huma.Components{
			Schemas: schemas,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"key":    {Type: "http", Scheme: "bearer", BearerFormat: "evg_…"},
				"client": {Type: "http", Scheme: "basic", Description: "a ref as the user name and an API key as the password"},
			},
		},
	}
	failure := &huma.Response{Description: "Problem", Headers: map[string]*huma.Param{
		"Retry-After": {Description: "of every 429 and 5xx: seconds", Schema: &huma.Schema{Type: huma.TypeInteger}},
	}, Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: schemas.Schema(reflect.TypeFor[problem](), true, "")},
	}}
	for _, e := range endpoints {
		op := &huma.Operation{
			OperationID: e.id, Tags: []string{docsGroupOf(e.path)}, Summary: e.summary, Parameters: parameters(e),
			Responses: map[string]*huma.Response{"default": failure},
		}
		ok := &huma.Response{Description: http.StatusText(e.status)}
		content := "application/json"
		if e.lines != nil {
			content = contentLines
		}
		if e.out != nil {
			ok.Content = map[string]*huma.MediaType{content: {Schema: schemas.Schema(answerType(e.out), true, "")}}
		}
		op.Responses[strconv.Itoa(e.status)] = ok
		if e.tagged() {
			ok.Headers = map[string]*huma.Param{"ETag": {Description: "names this answer; for If-None-Match", Schema: &huma.Schema{Type: huma.TypeString}}}
			op.Responses[strconv.Itoa(http.StatusNotModified)] = &huma.Response{Description: "The answer is still the one If-None-Match names", Headers: ok.Headers}
		}
		if e.out != nil && answerType(e.out) == reflect.TypeFor[tokenAnswer]() {
			ok.Headers = maps.Clone(ok.Headers)
			if ok.Headers == nil {
				ok.Headers = map[string]*huma.Param{}
			}
			ok.Headers[useFor] = &huma.Param{Description: "seconds for which the token may be kept without asking again; absent: not at all",
				Schema: &huma.Schema{Type: huma.TypeInteger}}
		}
		if e.also != 0 {
			op.Responses[strconv.Itoa(e.also)] = ok
		}
		if !e.open {
			op.Security = []map[string][]string{{"key": {}}}
			op.Description = "Any API key."
			if e.scope != "" {
				op.Description = "Needs an API key with the scope " + string(e.scope)
				if e.or != "" {
					op.Description += " or " + string(e.or)
				}
				op.Description += "."
			}
		}
		if e.in != nil {
			op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
				content: {Schema: schemas.Schema(e.in, true, "")},
			}}
		}
		item := doc.Paths[e.path]
		if item == nil {
			item = &huma.PathItem{}
			doc.Paths[e.path] = item
		}
		if e.describe != nil {
			e.describe(op, schemas)
		}
		switch e.method {
		case http.MethodGet:
			item.Get = op
		case http.MethodPost:
			item.Post = op
		case http.MethodPut:
			item.Put = op
		case http.MethodPatch:
			item.Patch = op
		case http.MethodDelete:
			item.Delete = op
		}
	}
	letGrow(schemas, endpoints)
	return doc
}

// operationOf returns the operation of a path that a method asks for.
func operationOf(item *huma.PathItem, method string) *huma.Operation {
	switch method {
	case http.MethodGet:
		return item.Get
	case http.MethodPost:
		return item.Post
	case http.MethodPut:
		return item.Put
	case http.MethodPatch:
		return item.Patch
	}
	return item.Delete
}

// newSchemas returns an empty set of schemas, named like their types without the
// "Wire" that tells some of them from functions and from the domain.
func newSchemas() huma.Registry {
	return huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "Wire")
	})
}

// letGrow allows members that are not described everywhere but in request
// bodies: answers may gain members within /v1, and requests are read strictly.
func letGrow(schemas huma.Registry, endpoints []endpoint) {
	strict := newSchemas()
	for _, e := range endpoints {
		if e.in != nil {
			strict.Schema(e.in, true, "")
		}
	}
	for name, schema := range schemas.Map() {
		if _, ok := strict.Map()[name]; !ok && schema.AdditionalProperties == false {
			schema.AdditionalProperties = nil
		}
	}
}

// answerType is the wire type of what a handler returns.
func answerType(t reflect.Type) reflect.Type {
	if t == reflect.TypeFor[*manager.Handout]() {
		return reflect.TypeFor[tokenAnswer]()
	}
	return t
}

// parameters returns the parameters of an endpoint's path and query, and the
// headers it takes.
func parameters(e endpoint) []*huma.Param {
	text := &huma.Schema{Type: huma.TypeString}
	var out []*huma.Param
	for segment := range strings.SplitSeq(e.path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			p := &huma.Param{Name: strings.TrimSuffix(name, "}"), In: "path", Required: true, Schema: text}
			if p.Name == "ref" {
				p.Description = "business key @ app, such as biz_42@k-series, or the connection's id; percent-encoded"
			}
			out = append(out, p)
		}
	}
	for _, q := range e.query {
		out = append(out, queryParameter(q))
	}
	if e.tagged() {
		out = append(out, &huma.Param{Name: "If-None-Match", In: "header", Schema: text, Description: "the ETag of the answer the caller has"})
	}
	if e.of != nil {
		out = append(out, &huma.Param{Name: "If-Match", In: "header", Schema: text,
			Description: "the ETag of the answer the caller has; if there is another by now, 412 and nothing is done"})
	}
	if e.replayed() {
		out = append(out, &huma.Param{Name: "Idempotency-Key", In: "header", Schema: text,
			Description: "a request repeated with the same key within 24 hours is not done again"})
	}
	return out
}

// queryParameter documents a query parameter.
func queryParameter(q param) *huma.Param {
	p := &huma.Param{Name: q.name, In: "query", Description: q.doc, Schema: &huma.Schema{Type: huma.TypeString, Format: q.format}}
	if q.enum != "" {
		for v := range strings.SplitSeq(q.enum, ",") {
			p.Schema.Enum = append(p.Schema.Enum, v)
		}
	}
	switch {
	case q.name == "limit":
		p.Schema = &huma.Schema{Type: huma.TypeInteger, Minimum: number(1), Maximum: number(maxLimit), Default: defaultLimit}
	case q.repeat:
		p.Schema = &huma.Schema{Type: huma.TypeArray, Items: p.Schema}
	case strings.HasSuffix(q.name, "."):
		// Any name may follow, and only an object's members have any name. Written
		// as a form, each of them is a parameter of its own.
		explode := true
		p.Name, p.Style, p.Explode = strings.TrimSuffix(q.name, ".")+"s", "form", &explode
		p.Schema = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: p.Schema}
	}
	return p
}

func number(n float64) *float64 { return &n }
