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
	"unique"
)

// String is a secret value: a token, a client secret, a key. The zero value is
// "no secret". It is safe to copy, compare with == and use as a map key;
// compare values an attacker can guess with crypto/subtle instead.
type String struct {
	// A handle, because fmt prints the bare fields of what it may not call
	// methods on, such as an unexported field of the struct around it, and under
	// %p: of a handle that is an address. Handles of equal strings are equal.
	h unique.Handle[string]
}

// New wraps s. The empty string gives the zero value.
func New(s string) String {
	if s == "" {
		return String{}
	}
	return String{unique.Make(s)}
}

// Reveal returns the secret. Its result must go to the party the secret is for
// and nowhere else.
func (s String) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.h.Value()
}

// IsZero reports whether there is no secret.
func (s String) IsZero() bool { return s == String{} }

// Fingerprint names the secret without telling it: the first twelve hex digits
// of its SHA-256. It is safe to log and to send to a caller. The fingerprint of
// the zero value is empty.
func (s String) Fingerprint() string {
	if s.IsZero() {
		return ""
	}
	sum := sha256.Sum256([]byte(s.Reveal()))
	return hex.EncodeToString(sum[:6])
}

// redacted is what every verb, encoder and logger sees.
func (s String) redacted() string {
	if s.IsZero() {
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
