package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
)

// document is a token endpoint's answer as members, in the order they came.
// Values are string, json.Number, bool, nil, or a composite. Nothing is said
// about what they mean.
type document struct {
	names  []string // each once
	values map[string]any
	twice  map[string]bool // names that came more than once; the last value counts
	json   bool
}

// Why an answer is not a document. They quote nothing.
var (
	errNotDocument = errors.New("the answer is neither a JSON object nor a form")
	errBrokenJSON  = errors.New("the answer is not well-formed JSON")
)

// parseDocument reads a JSON object, whatever the Content-Type says and
// whatever follows it, or a form.
func parseDocument(body []byte) (document, error) {
	body = trim(body)
	if len(body) > 0 && body[0] == '{' {
		return parseObject(body)
	}
	return parseForm(body)
}

// trim takes off a byte order mark and white space.
func trim(body []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\ufeff")))
}

func parseObject(body []byte) (document, error) {
	d := document{values: map[string]any{}, twice: map[string]bool{}, json: true}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // ids have more digits than a float64 holds
	if _, err := dec.Token(); err != nil {
		return document{}, errBrokenJSON
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return document{}, errBrokenJSON
		}
		s, ok := name.(string)
		if !ok {
			return document{}, errBrokenJSON
		}
		var v any
		if err := dec.Decode(&v); err != nil {
			return document{}, errBrokenJSON
		}
		d.add(s, v)
	}
	if _, err := dec.Token(); err != nil {
		return document{}, errBrokenJSON
	}
	return d, nil
}

// parseForm reads a form, which some servers answer with unless asked not to,
// and some then too.
func parseForm(body []byte) (document, error) {
	if len(body) == 0 || bytes.ContainsAny(body, " \t\r\n<>{}\"") {
		return document{}, errNotDocument
	}
	d := document{values: map[string]any{}, twice: map[string]bool{}}
	for pair := range strings.SplitSeq(string(body), "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(k)
		if err != nil {
			return document{}, errNotDocument
		}
		value, err := url.QueryUnescape(v)
		if err != nil {
			return document{}, errNotDocument
		}
		d.add(name, value)
	}
	return d, nil
}

func (d *document) add(name string, v any) {
	if _, ok := d.values[name]; ok {
		d.twice[name] = true
	} else {
		d.names = append(d.names, name)
	}
	d.values[name] = v
}

// text returns a string or number member as text. ok is false if the member is
// there and is something else.
func (d *document) text(name string) (s string, ok bool) {
	switch v := d.values[name].(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// str returns a string member, or "".
func (d *document) str(name string) string {
	s, _ := d.values[name].(string)
	return s
}
