package api

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
)

// decode reads a JSON body into a wire type. Members the type does not have are
// errors that suggest the nearest one it has; names are compared exactly. An
// empty body will do if emptyOK.
func decode(body []byte, into any, emptyOK bool) error {
	var f fields
	if len(body) == 0 {
		if emptyOK {
			return nil
		}
		f.add("body", "a JSON object is required")
		return f.err()
	}
	if body[0] != '{' {
		f.add("body", "it must be a JSON object")
		return f.err()
	}
	err := json.Unmarshal(body, into)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		f.add("body", "it is not JSON: wrong at byte %d", syntax.Offset)
		return f.err()
	}
	unknownMembers(&f, body, reflect.TypeOf(into), "")
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mismatch):
		f.add(orBody(mismatch.Field), "it must be %s, not %s", kindName(mismatch.Type), article(mismatch.Value))
	case err != nil:
		f.add("body", "it does not fit")
	}
	return f.err()
}

// present reports whether a JSON object has the member, be it null.
func present(body []byte, member string) bool {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members) // it was decoded before
	_, ok := members[member]
	return ok
}

// unknownMembers adds the members of raw that a struct of type t does not have.
func unknownMembers(f *fields, raw []byte, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return // a mismatch, which is reported elsewhere
	}
	types := map[string]reflect.Type{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		types[name] = t.Field(i).Type
	}
	names := make([]string, 0, len(types))
	for n := range types {
		names = append(names, n)
	}
	for _, m := range sortedKeys(members) {
		mt, ok := types[m]
		switch {
		case !ok:
			f.add(path+clip(m), "there is no such field%s", suggest(m, names))
		default:
			unknownMembers(f, members[m], mt, path+m+".")
		}
	}
}

func orBody(field string) string {
	if field == "" {
		return "body"
	}
	return field
}

// kindName says in JSON's words what a Go type is read from.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int64, reflect.Int:
		return "a whole number"
	case reflect.Slice:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "something else"
}

func article(jsonKind string) string {
	kind, _, _ := strings.Cut(jsonKind, " ") // "number 1.5" quotes the value
	switch kind {
	case "array", "object":
		return "an " + kind
	case "bool":
		return "a boolean"
	}
	return "a " + kind
}
