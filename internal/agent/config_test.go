package agent_test

import (
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/agent"
)

func TestParseRefusesMistakes(t *testing.T) {
	t.Parallel()
	const sink = "version: 1\nsinks: [{path: a, ref: a@b, "
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "is empty"},
		{"another version", "version: 2", "version must be 1"},
		{"no sinks", "version: 1", "sinks lists no file"},
		{"an unknown key", "version: 1\nsink: []", "line 2: unknown key sink"},
		{"no YAML", "version: [", "line 1"},
		{"a key written into it", "version: 1\napi_key: evg_secretsecret\nsinks: [{path: a, ref: a@b}]", "api_key: a secret may not be written into this file"},
		{"no path", "version: 1\nsinks: [{ref: a@b}]", "sinks[0].path: is required"},
		{"no ref", "version: 1\nsinks: [{path: a}]", "sinks[0].ref:"},
		{"a file twice", "version: 1\nsinks: [{path: a, ref: a@b}, {path: ./a, ref: c@d}]", "sinks[1].path: another sink"},
		{"a mode for all", sink + "mode: 0444}]", "mode: must be like 0400"},
		{"a mode for nobody", sink + "mode: 0040}]", "mode: must be like 0400"},
		{"a mode that is none", sink + "mode: rw}]", "mode: must be like 0400"},
		{"a duration that is none", sink + "every: often}]", "every: is not a duration"},
		{"a very short duration", sink + "min_valid: 1ms}]", "min_valid: must be a second"},
		{"a template that does not parse", sink + "template: '{{'}]", "template:"},
		{"a template of what there is not", sink + "template: '{{.Secret}}'}]", "template:"},
		{"a command without a program", sink + "command: ['']}]", "command:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := agent.Parse([]byte(tt.text), "/dir")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secretsecret") {
				t.Error("the error repeats the key")
			}
		})
	}
}

// FuzzParse: whatever parses is complete, and nothing panics.
func FuzzParse(f *testing.F) {
	f.Add("version: 1\nserver: unix:/run/x\napi_key: {env: KEY}\nsinks: [{path: a, ref: a@b, mode: 0440, every: 5m, command: [x]}]")
	f.Add("version: 1\nsinks: [{path: a, ref: a@b, template: '{{range .Locations}}{{.}}{{end}}'}]")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := agent.Parse([]byte(text), "/dir")
		if err != nil {
			return
		}
		for _, s := range c.Sinks {
			if !strings.HasPrefix(s.Path, "/") || s.Template == nil || s.Mode&^0o770 != 0 || s.Mode&0o400 == 0 || s.Every <= 0 || s.MinValid <= 0 || s.Ref == "" {
				t.Fatalf("%q makes %+v", text, s)
			}
		}
	})
}
