package config

import (
	"bytes"

	"go.yaml.in/yaml/v3"
)

// YAML writes the configuration with its defaults and absolute paths. Secrets
// appear as their references. Parsing the result gives the same configuration.
func (c *Config) YAML() ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(c); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
