package oauth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/secret"
)

// maxJWT is the longest token whose claims are looked at.
const maxJWT = 64 << 10

// JWTClaims returns what a signed JWT claims, without checking the signature:
// a hint at whose token it is, fit for telling two grants apart and for nothing
// that grants access. Numbers are [json.Number]. ok is false for anything that
// is not a JWT of at most 64 KiB.
func JWTClaims(token secret.String) (claims map[string]any, ok bool) {
	s := token.Reveal()
	if len(s) > maxJWT {
		return nil, false
	}
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return nil, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	if err := dec.Decode(&claims); err != nil || claims == nil {
		return nil, false
	}
	return claims, true
}

// JWTLife is how long a JWT says it lives from a moment on (RFC 7519 section
// 4.1.4), unverified; 0 if it does not say, is no JWT, or has ended.
func JWTLife(token secret.String, from time.Time) time.Duration {
	claims, ok := JWTClaims(token)
	if !ok {
		return 0
	}
	exp, _ := claims["exp"].(json.Number)
	life, _ := lifetime(exp.String(), false, true, from)
	return life
}
