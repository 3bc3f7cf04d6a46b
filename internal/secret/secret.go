// Package secret holds a string that cannot print itself: not through fmt,
// encoding/json, slog or a panic. The one way out is [String.Reveal], which a
// reviewer can grep for.
package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
)

// String is a secret value: a token, a client secret, a key. The zero value is
// "no secret". It is safe to copy, compare with == and use as a map key;
// compare values an attacker can guess with crypto/subtle instead.
type String struct{ v string }

// New wraps s.
func New(s string) String { return String{v: s} }

// Reveal returns the secret. Its result must go to the party the secret is for
// and nowhere else.
func (s String) Reveal() string { return s.v }

// IsZero reports whether there is no secret.
func (s String) IsZero() bool { return s.v == "" }

// Fingerprint names the secret without telling it: the first twelve hex digits
// of its SHA-256. It is safe to log and to send to a caller. The fingerprint of
// the zero value is empty.
func (s String) Fingerprint() string {
	if s.v == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s.v))
	return hex.EncodeToString(sum[:6])
}

// redacted is what every verb, encoder and logger sees.
func (s String) redacted() string {
	if s.v == "" {
		return "secret:none"
	}
	return "secret:" + s.Fingerprint()
}

// Format implements [fmt.Formatter]; it covers every verb.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.redacted()) }

// String implements [fmt.Stringer].
func (s String) String() string { return s.redacted() }

// GoString implements [fmt.GoStringer].
func (s String) GoString() string { return s.redacted() }

// LogValue implements [slog.LogValuer].
func (s String) LogValue() slog.Value { return slog.StringValue(s.redacted()) }

// MarshalText implements [encoding.TextMarshaler], and through it covers JSON,
// YAML and map keys.
func (s String) MarshalText() ([]byte, error) { return []byte(s.redacted()), nil }
