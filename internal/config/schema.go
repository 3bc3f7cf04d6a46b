package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/provider"
	"github.com/evergrant/evergrant/provider/builtin"
)

// Schema returns the JSON Schema (draft 2020-12) of a configuration file, for
// editors: its keys, their types and the values there are to choose from. What
// depends on more than one key, [Load] checks.
func Schema() map[string]any {
	s := schemaOf("", reflect.TypeFor[Config](), map[string][]string{
		"apps.*.provider":                  slices.Sorted(maps.Keys(builtin.Recipes())),
		"apps.*.environment":               names(provider.Production, provider.Trial, provider.Sandbox),
		"apps.*.client_auth":               {"basic", "post", "none", "private_key_jwt"},
		"apps.*.errors.*":                  outcomeNames(),
		"apps.*.rotation.policy":           names(grant.Static, grant.Lenient, grant.Grace, grant.RetireOnUse, grant.Strict, grant.FamilyKill, grant.Unknown),
		"apps.*.rotation.old_access_token": {"kept", "revoked_now"},
		"apps.*.refresh.keepalive":         {"auto"},
		"refresh.keepalive":                {"auto"},
		"api_keys[].scopes[]":              names(access.Tokens, access.Connections, access.Links, access.Events, access.Admin),
		"telemetry.log.format":             {"json", "text"},
		"telemetry.log.level":              {"debug", "info", "warn", "error"},
	})
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Evergrant configuration"
	s["required"] = []string{"version"}
	return s
}

func names[S ~string](all ...S) []string {
	var out []string
	for _, s := range all {
		out = append(out, string(s))
	}
	return out
}

// durationPattern is what [ParseDuration] reads.
const durationPattern = `^(\d+d)?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))*$`

// schemaOf is the schema of a value of type t at a path, in which * is any key.
// It mirrors [decoder.value].
func schemaOf(path string, t reflect.Type, enums map[string][]string) map[string]any {
	switch t {
	case durationType:
		return map[string]any{"type": "string", "minLength": 1, "pattern": durationPattern}
	case secretType:
		s := object(path, t, enums)
		s["minProperties"], s["maxProperties"] = 1, 1
		return s
	case secretsType:
		one := schemaOf(path, secretType, enums)
		return map[string]any{"oneOf": []any{one, map[string]any{"type": "array", "items": one, "minItems": 1}}}
	}
	switch t.Kind() {
	case reflect.Struct:
		return object(path, t, enums)
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(join(path, "*"), t.Elem(), enums)}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(path+"[]", t.Elem(), enums)}
	case reflect.Pointer:
		return schemaOf(path, t.Elem(), enums)
	case reflect.Int:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	}
	s := map[string]any{"type": "string"}
	if allowed := enums[path]; allowed != nil {
		s["enum"] = allowed
	}
	return s
}

// object is the schema of a mapping with known keys.
func object(path string, t reflect.Type, enums map[string][]string) map[string]any {
	properties := map[string]any{}
	var collect func(reflect.Type)
	collect = func(t reflect.Type) {
		for f := range t.Fields() {
			name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			switch {
			case options == "inline":
				collect(f.Type)
			case f.IsExported() && name != "-":
				properties[name] = schemaOf(join(path, name), f.Type, enums)
			}
		}
	}
	collect(t)
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}
