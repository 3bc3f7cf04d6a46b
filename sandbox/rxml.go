package sandbox

import (
	"bytes"
	"encoding/xml"
	"maps"
	"slices"
)

// encodeXML writes an answer of R-Series the way it looks where nobody asked for
// JSON: the list around its records, the attributes on the list.
func encodeXML(entity string, answer map[string]any) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	root := entity
	if _, one := answer[entity].(map[string]any); !one {
		root = entity + "s"
	}
	b.WriteString("<" + root)
	attributes, _ := answer["@attributes"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		text, _ := attributes[name].(string)
		b.WriteString(" " + name + `="`)
		_ = xml.EscapeText(&b, []byte(text)) // a buffer takes everything
		b.WriteString(`"`)
	}
	b.WriteString(">")
	switch content := answer[entity].(type) {
	case map[string]any:
		members(&b, content)
	case []recordR:
		for _, record := range content {
			element(&b, entity, record)
		}
	}
	b.WriteString("</" + root + ">\n")
	return b.Bytes()
}

// element writes one value under its name.
func element(b *bytes.Buffer, name string, value any) {
	b.WriteString("<" + name + ">")
	switch v := value.(type) {
	case map[string]any:
		members(b, v)
	case string:
		_ = xml.EscapeText(b, []byte(v))
	}
	b.WriteString("</" + name + ">")
}

func members(b *bytes.Buffer, m map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if name != "@attributes" {
			element(b, name, m[name])
		}
	}
}
