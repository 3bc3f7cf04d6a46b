package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/evergrant/evergrant/provider/builtin"
)

// Source is the world a configuration is read in.
type Source struct {
	File      string // its path, for errors; "" if there is none
	Dir       string // relative paths are relative to it
	LookupEnv func(name string) (string, bool)
	ReadFile  func(path string) ([]byte, error)
	// Set overrides scalar keys by path, such as server.listen, before all else:
	// the command line's flags.
	Set map[string]string
	// NoSecrets leaves the references alone: enough to find a running server's
	// socket, and possible for a user who may not read its secrets.
	NoSecrets bool
}

// defaultSandboxURL is where evergrant sandbox listens if nobody says otherwise.
const defaultSandboxURL = "http://127.0.0.1:8422"

// maxFile bounds what is read of a configuration file.
const maxFile = 1 << 20

// Load reads the configuration at path with its secrets. Set overrides keys by
// path and may be nil. A faulty configuration is a [Problems].
func Load(path string, set map[string]string) (*Config, error) {
	return load(path, Source{Set: set})
}

// LoadWithoutSecrets is Load for programs that only need to know where things are.
func LoadWithoutSecrets(path string) (*Config, error) {
	return load(path, Source{NoSecrets: true})
}

func load(path string, src Source) (*Config, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("configuration %s does not exist; make one with: evergrant init", path)
	case err != nil:
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	src.File, src.Dir = path, filepath.Dir(abs)
	src.LookupEnv, src.ReadFile = os.LookupEnv, readBounded
	return Parse(data, src)
}

// readBounded reads a little more of a file than a secret may have.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSecret+1))
}

// Parse reads a configuration: src.Set over EVERGRANT_* variables over data over
// defaults. A faulty configuration is a [Problems].
func Parse(data []byte, src Source) (*Config, error) {
	root, problems := parseTree(data, src)
	if problems != nil {
		return nil, problems
	}
	c := &Config{file: src.File}
	d := decoder{file: src.File, lines: map[string]int{}}
	d.value("", root, reflect.ValueOf(c).Elem())
	c.lines = d.lines
	c.setDefaults()
	c.SandboxURL = defaultSandboxURL
	if v, ok := src.LookupEnv("EVERGRANT_SANDBOX_URL"); ok && v != "" {
		c.SandboxURL = strings.TrimRight(v, "/")
	}
	ps := c.validate(src.Dir)
	if !src.NoSecrets {
		c.readSecrets(&ps, src)
		c.buildApps(&ps, builtin.Recipes())
	}
	if ps = merge(d.problems, ps); len(ps) > 0 {
		return nil, ps
	}
	return c, nil
}

// merge puts the problems of the file's form before those of its meaning. Once
// the form is wrong, nothing is said of keys that are absent, because they may
// be the misspelt ones, nor of values that could not be read.
func merge(form, meaning Problems) Problems {
	said := map[string]bool{}
	for _, p := range form {
		said[p.Path] = true
	}
	all := slices.Clone(form)
	for _, p := range meaning {
		if len(form) == 0 || p.Line > 0 && !said[p.Path] {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return all
}

// parseTree reads the YAML and applies the overrides to it.
func parseTree(data []byte, src Source) (*yaml.Node, Problems) {
	fail := func(line int, text string) (*yaml.Node, Problems) {
		return nil, Problems{{File: src.File, Line: line, Text: text}}
	}
	if len(data) > maxFile {
		return fail(0, "has more than 1 MiB; this is not a configuration")
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return fail(0, "is empty; make a configuration with: evergrant init")
	} else if err != nil {
		return fail(0, "is not YAML: "+strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fail(0, "holds more than one document; remove what follows the first ---")
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode || root.Anchor != "" {
		return fail(root.Line, "must be a mapping of keys to values, like version: 1")
	}
	for _, path := range overridable() {
		value, ok := src.Set[path]
		if !ok {
			value, ok = src.LookupEnv(variable(path))
			ok = ok && value != ""
		}
		if ok {
			setScalar(root, strings.Split(path, "."), value)
		}
	}
	return root, nil
}

// overridable lists the keys that EVERGRANT_* variables and flags may set: those
// that differ between two machines that share a file.
func overridable() []string {
	return []string{
		"server.public_url", "server.listen", "server.private_listen",
		"storage.sqlite", "storage.mirror", "spool",
		"refresh.window", "refresh.min_interval", "refresh.max_in_flight", "refresh.max_in_flight_strict",
		"links.ttl", "dashboard.url",
		"telemetry.log.format", "telemetry.log.level",
	}
}

// variable returns the name of the variable that sets the key at path:
// EVERGRANT_SERVER_LISTEN for server.listen.
func variable(path string) string {
	return "EVERGRANT_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// setScalar sets a key below a mapping, making the mappings on the way. Where
// the file has something else than a mapping on the way, that is a mistake the
// decoder reports.
func setScalar(n *yaml.Node, path []string, value string) {
	if n.Kind != yaml.MappingNode {
		return
	}
	last := len(path) == 1
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != path[0] {
			continue
		}
		if child := n.Content[i+1]; last || child.ShortTag() == "!!null" {
			n.Content = slices.Delete(n.Content, i, i+2)
			break
		} else {
			setScalar(child, path[1:], value)
			return
		}
	}
	key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: path[0]}
	if last {
		n.Content = append(n.Content, key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value})
		return
	}
	child := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	n.Content = append(n.Content, key, child)
	setScalar(child, path[1:], value)
}
