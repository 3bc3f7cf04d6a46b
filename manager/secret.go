package manager

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/evergrant/evergrant/internal/seal"
)

// Secret is a string that does not print: under every verb of fmt, in slog and
// in JSON it is "secret". Convert to and from string by hand.
type Secret string

// Format implements [fmt.Formatter].
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String does not show the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "secret"
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText does not show the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// NewMasterKey makes a master key. Keep it: what is sealed with it opens with
// nothing else.
func NewMasterKey() Secret { return Secret(seal.GenerateMaster().Reveal()) }
