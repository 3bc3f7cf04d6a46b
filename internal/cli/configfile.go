package cli

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/evergrant/evergrant/internal/config"
)

type configCmd struct {
	Validate configValidateCmd `cmd:"" help:"Check a configuration with its secrets; start nothing."`
	Show     configShowCmd     `cmd:"" help:"Print a configuration with its defaults; secrets as their references."`
	Schema   configSchemaCmd   `cmd:"" help:"Print the JSON Schema of a configuration, for editors."`
}

type configValidateCmd struct {
	File string `arg:"" optional:"" help:"Configuration file."`
}

// Run checks a configuration.
func (c *configValidateCmd) Run(s *session) error {
	file := s.configFile(c.File)
	conf, err := config.Load(file, nil)
	if err != nil {
		return err
	}
	if s.root.JSON {
		return s.printValue(map[string]any{"valid": true, "file": file})
	}
	apps := fmt.Sprintf("%d apps", len(conf.Apps))
	if len(conf.Apps) == 1 {
		apps = "1 app"
	}
	s.say("%s is valid: %s, merchants at %s.", file, apps, conf.Server.PublicURL)
	return nil
}

type configShowCmd struct {
	File string `arg:"" optional:"" help:"Configuration file."`
}

// Run prints a configuration.
func (c *configShowCmd) Run(s *session) error {
	conf, err := config.LoadWithoutSecrets(s.configFile(c.File))
	if err != nil {
		return err
	}
	text, err := conf.YAML()
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if s.root.JSON {
		var v map[string]any
		if err := yaml.Unmarshal(text, &v); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		return s.printValue(v)
	}
	_, err = s.stdout.Write(text)
	return err
}

type configSchemaCmd struct{}

// Run prints the schema, which is JSON with and without --json.
func (*configSchemaCmd) Run(s *session) error { return s.printValue(config.Schema()) }

// configFile is the configuration a command is about.
func (s *session) configFile(arg string) string {
	switch {
	case arg != "":
		return arg
	case s.root.Config != "":
		return s.root.Config
	}
	return localConfig
}
