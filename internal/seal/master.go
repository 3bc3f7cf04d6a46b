package seal

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/evergrant/evergrant/internal/secret"
)

// masterBytes is the size of a master key.
const masterBytes = 32

// makeOne is the next step of every error about a bad master key.
const makeOne = "make one with `evergrant master-key generate`"

// Master is a master key: it wraps the data keyset and seals nothing else. It
// never enters the database.
type Master struct {
	// ID names the key in the configuration and beside the keyset it wraps.
	ID string
	// Key is the content of the key file: one line, the base64 (standard or URL
	// alphabet, padded or not) of 32 random bytes. One trailing newline is
	// dropped.
	Key secret.String
}

// GenerateMaster makes the content of a key file: one line of 44 characters,
// without a newline.
func GenerateMaster() secret.String {
	var b [masterBytes]byte
	rand.Read(b[:]) // never fails: see crypto/rand
	return secret.New(base64.StdEncoding.EncodeToString(b[:]))
}

// ParseMaster checks the content of a key file and returns the key. The error
// names the id and the next step, and tells nothing of the content but its
// length.
func ParseMaster(id string, content secret.String) (Master, error) {
	if id == "" {
		return Master{}, errors.New("a master key has no id; give each entry of encryption.keys one, such as k1")
	}
	if _, err := decodeMaster(content.Reveal()); err != nil {
		return Master{}, fmt.Errorf("master key %q %w", id, err)
	}
	return Master{ID: id, Key: content}, nil
}

// decodeMaster returns the bytes of a key. Its errors continue the sentence
// "master key "k1" …".
func decodeMaster(content string) ([]byte, error) {
	line := strings.TrimSuffix(strings.TrimSuffix(content, "\n"), "\r")
	if line == "" {
		return nil, errors.New("is empty; " + makeOne)
	}
	// The decoder would skip newlines, and two keys in one file are a mistake.
	if strings.ContainsAny(line, "\r\n") {
		return nil, errors.New("has more than one line; keep one key in each file")
	}
	enc := base64.RawStdEncoding
	if strings.ContainsAny(line, "-_") {
		enc = base64.RawURLEncoding
	}
	key, err := enc.DecodeString(unpad(line))
	if err != nil { // the decoder's text quotes the content
		return nil, errors.New("is not base64; " + makeOne)
	}
	if len(key) != masterBytes {
		return nil, fmt.Errorf("has %d bytes, needs %d; %s", len(key), masterBytes, makeOne)
	}
	return key, nil
}

// unpad removes base64 padding if it is what the length asks for. Anything else
// is left for the decoder to refuse.
func unpad(line string) string {
	if len(line)%4 != 0 {
		return line
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "="), "=")
}

// aead returns the primitive that wraps the data keyset, and the associated
// data, which names the master key.
func (m Master) aead() (*subtle.XChaCha20Poly1305, []byte, error) {
	if m.ID == "" {
		return nil, nil, errors.New("a master key has no id")
	}
	key, err := decodeMaster(m.Key.Reveal())
	if err != nil {
		return nil, nil, fmt.Errorf("master key %q %w", m.ID, err)
	}
	a, err := subtle.NewXChaCha20Poly1305(key)
	if err != nil {
		return nil, nil, fmt.Errorf("master key %q: %w", m.ID, err)
	}
	return a, append([]byte("evergrant data keyset v1\x00"), m.ID...), nil
}
