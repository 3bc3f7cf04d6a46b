package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// decoder fills a Config from a YAML tree. It knows what the yaml package does
// not tell: the path of every value, all mistakes at once, and which key an
// unknown one was meant to be. It repeats no value in an error, because a value
// in the wrong place may be a secret.
type decoder struct {
	file     string
	lines    map[string]int
	problems Problems
}

// errorf records a mistake at a node.
func (d *decoder) errorf(path string, n *yaml.Node, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.file, Path: path, Line: n.Line, Text: fmt.Sprintf(format, args...)})
}

var (
	secretType   = reflect.TypeFor[Secret]()
	secretsType  = reflect.TypeFor[Secrets]()
	durationType = reflect.TypeFor[Duration]()
)

// value decodes n into v. A null leaves v as it is.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.errorf(path, n, "anchors and aliases are not supported; write the value out")
		return
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	d.lines[path] = n.Line
	switch v.Type() {
	case secretType:
		if n.Kind == yaml.ScalarNode {
			d.errorf(path, n, "a secret may not be written into this file; put it into a file only this program can read "+
				"and write {file: PATH} here, or use {env: NAME} or {credential: NAME}")
			return
		}
	case secretsType:
		if n.Kind != yaml.SequenceNode {
			v.Set(reflect.MakeSlice(secretsType, 1, 1))
			d.value(path, n, v.Index(0))
			return
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(path, n, v)
	case reflect.Map:
		d.mapping(path, n, v)
	case reflect.Slice:
		d.sequence(path, n, v)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(path, n, v.Elem())
	default:
		d.scalar(path, n, v)
	}
}

// pairs calls f for every key of a mapping, once each.
func (d *decoder) pairs(path string, n *yaml.Node, f func(key string, path string, k, v *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.errorf(path, n, "must be a mapping of keys to values")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || k.Anchor != "" || k.ShortTag() == "!!merge" {
			d.errorf(path, k, "every key must be plain text")
			continue
		}
		at := join(path, k.Value)
		if first, ok := seen[k.Value]; ok {
			d.errorf(at, k, "is given twice, first in line %d; remove one", first)
			continue
		}
		seen[k.Value] = k.Line
		f(k.Value, at, k, v)
	}
}

// join appends a key to a path, shortened and quoted where it is not a word.
func join(path, key string) string {
	const most = 64
	if r := []rune(key); len(r) > most {
		key = string(r[:most]) + "…"
	}
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// structure decodes a mapping with known keys.
func (d *decoder) structure(path string, n *yaml.Node, v reflect.Value) {
	fields := map[string]reflect.Value{}
	collectFields(v, fields)
	d.pairs(path, n, func(key, at string, k, val *yaml.Node) {
		field, ok := fields[key]
		if !ok {
			hint := "the keys here are " + strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
			if near := nearest(key, slices.Sorted(maps.Keys(fields))); near != "" {
				hint = "did you mean " + near + "?"
			}
			d.errorf(at, k, "unknown key; %s", hint)
			return
		}
		d.value(at, val, field)
	})
}

// collectFields maps the YAML names of v's fields, inlined ones too, to them.
func collectFields(v reflect.Value, fields map[string]reflect.Value) {
	for f := range v.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			collectFields(v.FieldByIndex(f.Index), fields)
		case f.IsExported() && name != "-":
			fields[name] = v.FieldByIndex(f.Index)
		}
	}
}

// mapping decodes a mapping with keys of the user's.
func (d *decoder) mapping(path string, n *yaml.Node, v reflect.Value) {
	m := reflect.MakeMap(v.Type())
	d.pairs(path, n, func(key, at string, _, val *yaml.Node) {
		item := reflect.New(v.Type().Elem()).Elem()
		if item.Kind() == reflect.Pointer { // an entry without a body is an empty one
			item.Set(reflect.New(item.Type().Elem()))
			d.lines[at] = val.Line
			if val.ShortTag() != "!!null" {
				d.value(at, val, item)
			}
		} else {
			d.value(at, val, item)
		}
		m.SetMapIndex(reflect.ValueOf(key), item)
	})
	v.Set(m)
}

// sequence decodes a list.
func (d *decoder) sequence(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.errorf(path, n, "must be a list, like [a, b]")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(fmt.Sprintf("%s[%d]", path, i), item, list.Index(i))
	}
	v.Set(list)
}

// scalar decodes a single value.
func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.errorf(path, n, "must be a single value")
		return
	}
	switch {
	case v.Type() == durationType:
		dur, err := ParseDuration(n.Value)
		if err != nil {
			d.errorf(path, n, "%v", err)
			return
		}
		v.SetInt(int64(dur))
	case v.Kind() == reflect.String:
		if strings.ContainsFunc(n.Value, unicode.IsControl) {
			d.errorf(path, n, "contains a control character, such as a line break; remove it")
			return
		}
		v.SetString(n.Value)
	case v.Kind() == reflect.Int:
		i, err := strconv.ParseInt(n.Value, 10, 32)
		if err != nil {
			d.errorf(path, n, "must be a whole number")
			return
		}
		v.SetInt(i)
	case v.Kind() == reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil {
			d.errorf(path, n, "must be a number, like 2.5")
			return
		}
		v.SetFloat(f)
	case v.Kind() == reflect.Bool:
		if n.Value != "true" && n.Value != "false" {
			d.errorf(path, n, "must be true or false")
			return
		}
		v.SetBool(n.Value == "true")
	}
}
