package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/evergrant/evergrant/internal/secret"
)

// Secret is a secret by reference: exactly one of File, Env and Credential is
// filled in. It prints, and is written back, as the reference.
type Secret struct {
	File       string `yaml:"file,omitempty"`
	Env        string `yaml:"env,omitempty"`
	Credential string `yaml:"credential,omitempty"` // a file in $CREDENTIALS_DIRECTORY

	value secret.String
}

// Secrets is one or more secrets; a single one is written without a list.
type Secrets []Secret

// Value returns what the reference leads to; it is zero in a configuration that
// was loaded without secrets.
func (s Secret) Value() secret.String { return s.value }

// given reports whether the secret was made by [Given].
func (s Secret) given() bool {
	return s.File == "" && s.Env == "" && s.Credential == "" && !s.value.IsZero()
}

// String returns the reference as it is written in the file.
func (s Secret) String() string {
	switch {
	case s.File != "":
		return "{file: " + s.File + "}"
	case s.Env != "":
		return "{env: " + s.Env + "}"
	case s.Credential != "":
		return "{credential: " + s.Credential + "}"
	case s.given():
		return "the value given"
	}
	return "{}"
}

// MarshalYAML writes a single secret without a list.
func (s Secrets) MarshalYAML() (any, error) {
	if len(s) == 1 {
		return s[0], nil
	}
	return []Secret(s), nil
}

// maxSecret bounds what is read of a secret's file: the longest is a private key.
const maxSecret = 64 << 10

// check reports a reference that is not exactly one of the three forms, and
// makes a file's path absolute.
func (s *Secret) check(dir string) error {
	n := 0
	for _, v := range []string{s.File, s.Env, s.Credential} {
		if v != "" {
			n++
		}
	}
	if n == 0 && s.given() {
		return nil
	}
	if n != 1 {
		return errors.New("needs exactly one of file, env and credential, like {file: PATH}, {env: NAME} or {credential: NAME}")
	}
	if s.File != "" {
		s.File = absolute(dir, s.File)
	}
	if s.Credential != "" && s.Credential != filepath.Base(s.Credential) {
		return errors.New("names a credential with a path; give only the name of a file in $CREDENTIALS_DIRECTORY")
	}
	if s.Env != "" && strings.ContainsAny(s.Env, "=\x00") {
		return errors.New("names an impossible environment variable")
	}
	return nil
}

// read follows a reference; check has spoken about one that leads nowhere.
func (s *Secret) read(src Source) error {
	var text string
	switch {
	case *s == (Secret{}), s.given():
		return nil
	case s.Env != "":
		v, ok := src.LookupEnv(s.Env)
		if !ok {
			return fmt.Errorf("environment variable %s is not set; set it or refer to a file", s.Env)
		}
		text = v
	case s.Credential != "":
		dir, ok := src.LookupEnv("CREDENTIALS_DIRECTORY")
		if !ok || dir == "" {
			return errors.New("$CREDENTIALS_DIRECTORY is not set; start under systemd with LoadCredential=, or refer to a file")
		}
		v, err := readSecretFile(src, filepath.Join(dir, s.Credential))
		if err != nil {
			return err
		}
		text = v
	default:
		v, err := readSecretFile(src, s.File)
		if err != nil {
			return err
		}
		text = v
	}
	if text == "" {
		return fmt.Errorf("%s is empty", s)
	}
	s.value = secret.New(text)
	return nil
}

// readSecretFile reads a secret's file without its one trailing newline. Its
// errors name the file and what to do.
func readSecretFile(src Source, path string) (string, error) {
	b, err := src.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("file %s does not exist; create it or correct the path", path)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("file %s may not be read by this user; change its owner or mode", path)
	case err != nil:
		return "", fmt.Errorf("read secret: %w", err)
	case len(b) > maxSecret:
		return "", fmt.Errorf("file %s has more than 64 KiB; it is not a secret", path)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// absolute resolves a path of the file relative to the file's folder.
func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}
