package config

import (
	"os"

	"github.com/evergrant/evergrant/internal/secret"
)

// Read follows a reference that stands in another file than a configuration, in
// the folder dir. The zero reference is the zero secret.
func (s Secret) Read(dir string) (secret.String, error) {
	if s == (Secret{}) {
		return secret.String{}, nil
	}
	if err := s.check(dir); err != nil {
		return secret.String{}, err
	}
	if err := s.read(Source{LookupEnv: os.LookupEnv, ReadFile: readBounded}); err != nil {
		return secret.String{}, err
	}
	return s.value, nil
}
