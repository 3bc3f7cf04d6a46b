// Package access says who may do what: API keys, their scopes and the apps and
// businesses they are limited to; people, and their roles in the dashboard; and how
// often a place may fail to get in. It reads no store and no request.
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
)

// Scope is one right an API key can have.
type Scope string

// The scopes. Admin includes the others.
const (
	Tokens      Scope = "tokens"      // read tokens, use the proxy
	Connections Scope = "connections" // read and change connections
	Links       Scope = "links"
	Events      Scope = "events"
	Admin       Scope = "admin"
)

// ParseScope returns the scope named s.
func ParseScope(s string) (Scope, error) {
	switch sc := Scope(s); sc {
	case Tokens, Connections, Links, Events, Admin:
		return sc, nil
	}
	return "", fmt.Errorf("scope %q is not one of tokens, connections, links, events, admin", s)
}

// Key is an API key as it is kept: its hash, never the key.
type Key struct {
	ID         string // key_…
	Name       string
	Hash       [sha256.Size]byte
	Scopes     []Scope
	Apps       []string // nil: every app
	Businesses []string // nil: every business
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	RevokedAt  time.Time // zero: not revoked
	LastUsedAt time.Time
	FromFile   bool // named in the configuration file, not in the store
}

// Prefix begins every API key.
const Prefix = "evg_"

// minRandom is how many characters must follow the prefix of a key somebody else made.
const minRandom = 32

// NewSecret makes the secret of a new key: 32 random bytes behind the prefix.
func NewSecret() secret.String {
	var b [32]byte
	rand.Read(b[:])
	return secret.New(Prefix + base64.RawURLEncoding.EncodeToString(b[:]))
}

// CheckSecret reports why s cannot be an API key: it must be the prefix and at
// least 32 URL-safe characters.
func CheckSecret(s secret.String) error {
	v := s.Reveal()
	if len(v) < len(Prefix)+minRandom || v[:len(Prefix)] != Prefix {
		return fmt.Errorf("an API key is %s followed by at least %d URL-safe characters", Prefix, minRandom)
	}
	for _, c := range []byte(v[len(Prefix):]) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return fmt.Errorf("an API key may contain only a-z, A-Z, 0-9, - and _ after %s", Prefix)
		}
	}
	return nil
}

// Hash is how a key is stored and looked up. Keys are long and random, so a
// plain hash keeps them; looking up by hash compares nothing an attacker can
// steer.
func Hash(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }

// Valid reports whether the key works at now.
func (k *Key) Valid(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// Can reports whether the key has the scope.
func (k *Key) Can(s Scope) bool {
	return slices.Contains(k.Scopes, s) || slices.Contains(k.Scopes, Admin)
}

// Reaches reports whether the key is allowed to see the connection at all. What
// it does not reach, it is told does not exist.
func (k *Key) Reaches(ref grant.Ref) bool {
	return (k.Apps == nil || slices.Contains(k.Apps, ref.App)) &&
		(k.Businesses == nil || slices.Contains(k.Businesses, ref.Key))
}

// Limited reports whether the key is limited to some apps or businesses.
func (k *Key) Limited() bool { return k.Apps != nil || k.Businesses != nil }
