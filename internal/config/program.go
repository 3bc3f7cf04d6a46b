package config

import (
	"os"

	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider/builtin"
)

// Given is a secret that a program has at hand. "" is the zero Secret.
func Given(value string) Secret { return Secret{value: secret.New(value)} }

// Complete checks a configuration that a program made, with secrets by
// [Given], and fills in what it leaves open, as [Parse] does for a file.
// Relative paths are relative to the working directory. The error is a
// [Problems], with the paths of the file's keys.
func (c *Config) Complete() error {
	dir, err := os.Getwd()
	if err != nil {
		return Problems{{Text: "the working directory cannot be found; use absolute paths"}}
	}
	c.Version = 1
	c.setDefaults()
	if c.SandboxURL == "" {
		c.SandboxURL = defaultSandboxURL
	}
	ps := c.validate(dir)
	c.readSecrets(&ps, Source{LookupEnv: os.LookupEnv, ReadFile: readBounded})
	c.buildApps(&ps, builtin.Recipes())
	if len(ps) > 0 {
		return ps
	}
	return nil
}
