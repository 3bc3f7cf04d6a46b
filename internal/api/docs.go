package api

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evergrant/evergrant/internal/browser"
)

const (
	docsPath      = "/docs"
	docsStylePath = "/docs/style.css"
)

//go:embed web/docs.html
var docsHTML string

//go:embed web/docs.css
var docsCSS []byte

// docsPage is what the page tells: the OpenAPI document, for people.
type docsPage struct {
	Version string
	Groups  []*docsGroup
	Schemas []docsSchema
}

// docsGroup is the operations on one kind of thing.
type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary, Description string
	Parameters                             []docsField
	Request                                *docsBody
	Answers                                []docsAnswer
}

type docsAnswer struct {
	Status, Description string
	Body                *docsBody
}

// docsBody is a body's media type and the schema it links to, if it has one.
type docsBody struct{ Kind, Schema string }

type docsSchema struct {
	Name   string
	Fields []docsField
}

// docsField is a parameter or a member.
type docsField struct {
	Name, In, Doc       string
	Type, Schema, After string // read one after the other; Schema is linked to
	Required            bool
}

// docs renders the page of an OpenAPI document. It has no script and asks for
// nothing but its stylesheet.
func docs(endpoints []endpoint, doc *huma.OpenAPI) ([]byte, error) {
	p := docsPage{Version: doc.Info.Version}
	groups := map[string]*docsGroup{}
	for _, e := range endpoints {
		name := docsGroupOf(e.path)
		g := groups[name]
		if g == nil {
			g = &docsGroup{Name: name}
			groups[name], p.Groups = g, append(p.Groups, g)
		}
		g.Operations = append(g.Operations, docsOperationOf(e, operationOf(doc.Paths[e.path], e.method)))
	}
	slices.SortFunc(p.Groups, func(a, b *docsGroup) int { return strings.Compare(a.Name, b.Name) })
	schemas := doc.Components.Schemas.Map()
	for _, name := range sortedKeys(schemas) {
		p.Schemas = append(p.Schemas, docsSchemaOf(name, schemas[name]))
	}
	t, err := template.New("docs").Parse(docsHTML)
	if err != nil {
		return nil, fmt.Errorf("api: page of %s: %w", docsPath, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("api: page of %s: %w", docsPath, err)
	}
	return b.Bytes(), nil
}

// docsGroupOf is the first word of a path that says what it is about.
func docsGroupOf(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, "/v1"), "/"), "/")
	return strings.TrimPrefix(first, ".")
}

func docsOperationOf(e endpoint, op *huma.Operation) docsOperation {
	o := docsOperation{ID: op.OperationID, Method: e.method, Path: e.path, Summary: op.Summary, Description: op.Description}
	for _, p := range op.Parameters {
		f := docsFieldOf(p.Name, p.Schema, p.Required)
		f.In, f.Doc = p.In, p.Description
		o.Parameters = append(o.Parameters, f)
	}
	if op.RequestBody != nil {
		o.Request = docsBodyOf(op.RequestBody.Content)
	}
	for _, status := range sortedKeys(op.Responses) {
		r := op.Responses[status]
		o.Answers = append(o.Answers, docsAnswer{Status: status, Description: r.Description, Body: docsBodyOf(r.Content)})
	}
	return o
}

func docsBodyOf(content map[string]*huma.MediaType) *docsBody {
	for kind, media := range content { // there is one at most
		return &docsBody{Kind: kind, Schema: schemaName(media.Schema)}
	}
	return nil
}

func docsSchemaOf(name string, s *huma.Schema) docsSchema {
	out := docsSchema{Name: name}
	for _, member := range sortedKeys(s.Properties) {
		out.Fields = append(out.Fields, docsFieldOf(member, s.Properties[member], slices.Contains(s.Required, member)))
	}
	return out
}

func docsFieldOf(name string, s *huma.Schema, required bool) docsField {
	f := docsField{Name: name, Type: s.Type, Schema: schemaName(s), Doc: s.Description, Required: required}
	switch {
	case s.Type == huma.TypeArray && s.Items != nil:
		f.Type, f.Schema = strings.TrimSpace("array of "+s.Items.Type), schemaName(s.Items)
	case s.Format != "":
		f.Type = s.Format
	}
	if s.Nullable {
		f.After = " or null"
	}
	for i, v := range s.Enum {
		separator := ", "
		if i == 0 {
			separator = ": "
		}
		f.After += separator + fmt.Sprint(v)
	}
	return f
}

// schemaName is the name of the schema another refers to, "" if it does not.
func schemaName(s *huma.Schema) string {
	if s == nil {
		return ""
	}
	return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
}

// serveDocs serves the page and its stylesheet.
func (s *server) serveDocs(handle func(method, path string, h http.Handler), page []byte) {
	guarded := func(h http.HandlerFunc) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			browser.Guard(w.Header(), browser.Page{})
			w.Header().Set("Cache-Control", "no-cache") // it may be kept, for it has an ETag
			h(w, r)
		})
	}
	handle(http.MethodGet, docsPath, guarded(s.fixed("text/html; charset=utf-8", page)))
	handle(http.MethodGet, docsStylePath, guarded(s.fixed("text/css; charset=utf-8", docsCSS)))
}

// Heading is how an answer's status is shown. It is exported for the template.
func (a docsAnswer) Heading() string {
	if _, err := strconv.Atoi(a.Status); err != nil {
		return "otherwise"
	}
	return a.Status
}
