package config

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// misfits lists where a value does not fit a schema, as far as [Schema] uses JSON
// Schema.
func misfits(path string, schema map[string]any, v any) []string {
	var out []string
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		return []string{path}
	}
	if one, ok := schema["oneOf"].([]any); ok {
		for _, s := range one {
			if len(misfits(path, s.(map[string]any), v)) == 0 {
				return nil
			}
		}
		return []string{path}
	}
	switch schema["type"] {
	case "object":
		m, ok := v.(map[string]any)
		if most, limited := schema["maxProperties"].(float64); !ok || limited && len(m) > int(most) {
			return []string{path}
		}
		properties, _ := schema["properties"].(map[string]any)
		for key, item := range m {
			s, known := properties[key].(map[string]any)
			if !known {
				s, known = schema["additionalProperties"].(map[string]any)
			}
			if !known {
				out = append(out, join(path, key))
				continue
			}
			out = append(out, misfits(join(path, key), s, item)...)
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			return []string{path}
		}
		for i, item := range list {
			out = append(out, misfits(fmt.Sprintf("%s[%d]", path, i), schema["items"].(map[string]any), item)...)
		}
	case "string":
		s, ok := v.(string)
		if pattern, p := schema["pattern"].(string); !ok || p && !regexp.MustCompile(pattern).MatchString(s) {
			return []string{path}
		}
	case "integer", "number":
		if _, ok := v.(float64); !ok {
			return []string{path}
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return []string{path}
		}
	}
	slices.Sort(out)
	return out
}

// TestTheSchemaFitsWhatIsRead holds the schema to the configuration that has
// everything, and to mistakes.
func TestTheSchemaFitsWhatIsRead(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(Schema())
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	for change, want := range map[string]string{
		"":                                   "",
		"window: 60s→window: 60 seconds":     "[apps.other.refresh.window]",
		"provider: generic→provider: genric": "[apps.other.provider]",
		"client_id: acme→client_idd: acme":   "[apps.other.client_idd]",
		"{file: ./k-secret}→{file: ./k-secret, env: K}":             "[apps.k-series.client_secret]",
		"[financial-api, orders-api, offline_access]→financial-api": "[apps.k-series.scopes]",
	} {
		old, replacement, _ := strings.Cut(change, "→")
		text := strings.Replace(contract, old, replacement, 1)
		if change != "" && text == contract {
			t.Errorf("%q is not in the example", old)
		}
		var v map[string]any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := json.Unmarshal(plain, &value); err != nil {
			t.Fatal(err)
		}
		got := misfits("", schema, value)
		if want == "" && len(got) > 0 || want != "" && fmt.Sprint(got) != want {
			t.Errorf("with %q the schema objects to %v, want %s", change, got, want)
		}
	}
}
