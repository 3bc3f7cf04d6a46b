package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/grant"
)

// Config is an agent's configuration file.
type Config struct {
	Server string        // where the server is, "" if the file does not say
	Key    config.Secret // reference to the API key, zero if the file has none
	Sinks  []Sink        // at least one
	Dir    string        // of the file; relative paths are relative to it
}

// Sink is a file that holds a token.
type Sink struct {
	Path     string // absolute
	Ref      evergrant.Ref
	Location string        // id of a location the token must reach, or ""
	MinValid time.Duration // how long the token in the file is valid at least
	Every    time.Duration // how often the token is looked at, at the latest
	Mode     fs.FileMode   // of the file
	Template *template.Template
	Command  []string // run after the file changed; nil for none
}

// What a sink is without further words.
const (
	defaultMinValid = time.Minute
	defaultEvery    = 30 * time.Second
	defaultMode     = 0o400
	defaultTemplate = "{{.AccessToken}}"
)

// maxConfig bounds what is read of a configuration.
const maxConfig = 1 << 20

// fileConfig and fileSink are the file as it is written.
type fileConfig struct {
	Version int        `yaml:"version"`
	Server  string     `yaml:"server"`
	Key     yaml.Node  `yaml:"api_key"`
	Sinks   []fileSink `yaml:"sinks"`
}

type fileSink struct {
	Path     string   `yaml:"path"`
	Ref      string   `yaml:"ref"`
	Location string   `yaml:"location"`
	MinValid string   `yaml:"min_valid"`
	Every    string   `yaml:"every"`
	Mode     string   `yaml:"mode"`
	Template string   `yaml:"template"`
	Command  []string `yaml:"command"`
}

// Load reads the configuration at path. It follows no reference to a secret.
func Load(path string) (*Config, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("agent configuration %s: %w", path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("agent configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("agent configuration: %w", err)
	}
	c, err := Parse(data, filepath.Dir(abs))
	if err != nil {
		return nil, fmt.Errorf("agent configuration %s: %w", path, err)
	}
	return c, nil
}

// unknownKey is how the yaml package tells of a key it has no place for.
var unknownKey = regexp.MustCompile(`^line (\d+): field (.+) not found in type .*$`)

// Parse reads a configuration whose relative paths are relative to dir.
func Parse(data []byte, dir string) (*Config, error) {
	if len(data) > maxConfig {
		return nil, errors.New("has more than 1 MiB; this is not a configuration")
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var f fileConfig
	err := dec.Decode(&f)
	var wrong *yaml.TypeError
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("is empty; it needs version: 1 and sinks")
	case errors.As(err, &wrong):
		lines := make([]string, len(wrong.Errors))
		for i, e := range wrong.Errors {
			lines[i] = unknownKey.ReplaceAllString(e, "line $1: unknown key $2")
		}
		return nil, errors.New(strings.Join(lines, "; "))
	case err != nil:
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	case f.Version != 1:
		return nil, errors.New("version must be 1")
	case len(f.Sinks) == 0:
		return nil, errors.New("sinks lists no file; give each a path and a ref")
	}
	c := &Config{Server: f.Server, Dir: dir}
	if !f.Key.IsZero() {
		if f.Key.Kind != yaml.MappingNode {
			return nil, errors.New("api_key: a secret may not be written into this file; write {file: PATH}, {env: NAME} or {credential: NAME}")
		}
		if err := f.Key.Decode(&c.Key); err != nil {
			return nil, errors.New("api_key: write {file: PATH}, {env: NAME} or {credential: NAME}")
		}
	}
	seen := map[string]bool{}
	for i, fsink := range f.Sinks {
		s, err := fsink.sink(dir)
		if err == nil && seen[s.Path] {
			err = errors.New("path: another sink has the same file")
		}
		if err != nil {
			return nil, fmt.Errorf("sinks[%d].%w", i, err)
		}
		seen[s.Path] = true
		c.Sinks = append(c.Sinks, s)
	}
	return c, nil
}

// sink checks a sink. Its errors begin with the key they are about.
func (f fileSink) sink(dir string) (Sink, error) {
	s := Sink{Path: f.Path, Ref: evergrant.Ref(f.Ref), Location: f.Location, Command: f.Command,
		MinValid: defaultMinValid, Every: defaultEvery, Mode: defaultMode}
	if f.Path == "" {
		return s, errors.New("path: is required")
	}
	if !filepath.IsAbs(s.Path) {
		s.Path = filepath.Join(dir, s.Path)
	}
	s.Path = filepath.Clean(s.Path)
	if _, err := grant.ParseRef(f.Ref); err != nil {
		return s, fmt.Errorf("ref: %w", err)
	}
	for _, d := range []struct {
		key, text string
		to        *time.Duration
	}{{"min_valid", f.MinValid, &s.MinValid}, {"every", f.Every, &s.Every}} {
		if d.text == "" {
			continue
		}
		v, err := config.ParseDuration(d.text)
		if err != nil {
			return s, fmt.Errorf("%s: %w", d.key, err)
		}
		if *d.to = time.Duration(v); *d.to < time.Second {
			return s, fmt.Errorf("%s: must be a second at least", d.key)
		}
	}
	if f.Mode != "" {
		m, err := strconv.ParseUint(strings.TrimPrefix(f.Mode, "0o"), 8, 9)
		if err != nil || m&0o400 == 0 || m&0o007 != 0 {
			return s, errors.New("mode: must be like 0400 or 0440, and give nothing to all users")
		}
		s.Mode = fs.FileMode(m)
	}
	if len(f.Command) > 0 && f.Command[0] == "" {
		return s, errors.New("command: its first word is the program")
	}
	text := f.Template
	if text == "" {
		text = defaultTemplate
	}
	t, err := template.New("template").Funcs(template.FuncMap{"json": jsonText}).Option("missingkey=error").Parse(text)
	if err == nil {
		// A mistake in it shows now and not when there is a token.
		err = t.Execute(io.Discard, content{Token: evergrant.Token{Expiry: time.Unix(0, 0).UTC(), Locations: []string{"1"}}, Ref: s.Ref})
	}
	if err != nil {
		return s, fmt.Errorf("template: %w", err)
	}
	s.Template = t
	return s, nil
}

// content is what a template is about.
type content struct {
	evergrant.Token
	Ref evergrant.Ref
}

// jsonText writes a value as JSON, for templates of JSON files.
func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
