package connect

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/secret"
)

// tokenBytes is how much randomness is in the token of a link and in the cookie
// that binds a browser.
const tokenBytes = 32

// newToken returns 32 random bytes in base64url.
func newToken() secret.String {
	b := make([]byte, tokenBytes)
	rand.Read(b) // never fails (Go 1.24)
	return secret.New(base64.RawURLEncoding.EncodeToString(b))
}

// parseToken returns s if newToken could have made it.
func parseToken(s string) (secret.String, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != tokenBytes {
		return secret.String{}, false
	}
	return secret.New(s), true
}

// hash is what the store keeps of a token, a state or a cookie. They are random,
// so it needs no salt.
func hash(s secret.String) []byte {
	h := sha256.Sum256([]byte(s.Reveal()))
	return h[:]
}

// newShortCode returns a code to read out on the phone, such as 7QM2-KX. Letters
// and digits that look or sound alike are not in it. It names, it opens nothing.
func newShortCode() string {
	const alphabet = "2345679ACDEFHJKMNPQRTVWXYZ"
	var code []byte
	for range 6 {
		n, _ := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet)))) // never fails (Go 1.24)
		code = append(code, alphabet[n.Int64()])
	}
	return string(code[:4]) + "-" + string(code[4:])
}

// stateLife is how long a merchant may take at the provider.
const stateLife = 30 * time.Minute

// cookieName returns the name of the cookie that binds a browser. Over https
// the prefix keeps other hosts of the domain from setting it.
func (s *Service) cookieName() string {
	if s.secure {
		return "__Host-evergrant"
	}
	return "evergrant"
}

// browser returns the value of the request's cookie, if it is one of ours.
func (s *Service) browser(r *http.Request) (secret.String, bool) {
	for _, c := range r.CookiesNamed(s.cookieName()) {
		if v, ok := parseToken(c.Value); ok {
			return v, true
		}
	}
	return secret.String{}, false
}

// bind returns the cookie that binds a browser. It is strictly necessary for
// what the merchant asked for, so it needs no banner.
func (s *Service) bind(value secret.String) *http.Cookie {
	return &http.Cookie{
		Name: s.cookieName(), Value: value.Reveal(), Path: "/", MaxAge: int(stateLife / time.Second),
		Secure: s.secure, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, // Strict would not be sent on the way back
	}
}
