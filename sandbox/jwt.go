package sandbox

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"sync"
)

// keys sign the sandbox's JWTs.
type keys struct {
	id     string
	access *rsa.PrivateKey
	// refresh signs what only the issuer verifies.
	refresh [64]byte
}

// processKeys is shared by every sandbox of the process and never changes: to
// find an RSA key takes up to seconds on a busy machine, and tests make many
// sandboxes.
var processKeys = sync.OnceValue(newKeys)

// newKeys panics where the machine has no randomness, as crypto/rand does.
func newKeys() *keys {
	k := &keys{}
	var err error
	if k.access, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		panic(fmt.Sprintf("sandbox: no signing key: %v", err))
	}
	_, _ = rand.Read(k.refresh[:]) // never fails
	k.id = fingerprint(k.access.N.String())
	return k
}

// signRS256 makes a JWT that the key at the series' certs endpoint verifies.
func signRS256(typ string, claims map[string]any) string {
	input := jwtInput(map[string]any{"alg": "RS256", "typ": typ, "kid": processKeys().id}, claims)
	sum := sha256.Sum256([]byte(input))
	sig, _ := rsa.SignPKCS1v15(rand.Reader, processKeys().access, crypto.SHA256, sum[:]) // a 2048-bit key signs every SHA-256 sum
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// signHS512 makes a JWT only its issuer can verify, as Keycloak's refresh
// tokens are.
func signHS512(claims map[string]any) string {
	input := jwtInput(map[string]any{"alg": "HS512", "typ": "JWT", "kid": processKeys().id}, claims)
	mac := hmac.New(sha512.New, processKeys().refresh[:])
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// jwks is the key set of RFC 7517.
func jwks() map[string]any {
	pub := processKeys().access.PublicKey
	return map[string]any{"keys": []any{map[string]any{
		"kid": processKeys().id, "kty": "RSA", "alg": "RS256", "use": "sig",
		"n": base64.RawURLEncoding.EncodeToString(pub.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(pub.E)).Bytes()),
	}}}
}

func jwtInput(header, claims map[string]any) string {
	return segment(header) + "." + segment(claims)
}

func segment(m map[string]any) string {
	raw, err := json.Marshal(m)
	if err != nil { // strings, numbers and lists of them always marshal
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return formatUUID(b)
}

// stableUUID returns the same UUID for the same name.
func stableUUID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return formatUUID([16]byte(sum[:16]))
}

func formatUUID(b [16]byte) string {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// decodeSegment is the reverse of segment's encoding.
func decodeSegment(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }
