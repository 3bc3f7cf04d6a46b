package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"

	"github.com/evergrant/evergrant/internal/secret"
)

// AuthorizeRequest is what an authorize URL is made from.
type AuthorizeRequest struct {
	Endpoint    string // may have a query of its own, which is kept
	ClientID    string
	RedirectURI string // "" leaves it out, for providers that register exactly one
	State       string
	Scopes      []string
	Verifier    secret.String // PKCE; zero means none
	// Extra parameters, such as prompt. They cannot replace those above.
	Extra url.Values
}

// AuthorizeURL returns where to send the user's browser (RFC 6749 section
// 4.1.1), with a PKCE challenge by S256 (RFC 7636 section 4.3). Spaces are
// written %20, because some servers do not read "+".
func AuthorizeURL(r AuthorizeRequest) (string, error) {
	u, err := endpoint(r.Endpoint)
	if err != nil {
		return "", fmt.Errorf("authorize endpoint: %w", err)
	}
	if r.ClientID == "" {
		return "", errors.New("authorize URL: client_id is empty; set it in the app's configuration")
	}
	if r.State == "" {
		return "", errors.New("authorize URL: state is empty")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", errors.New("authorize endpoint: its query is malformed")
	}
	maps.Copy(q, r.Extra)
	q.Set("response_type", "code")
	q.Set("client_id", r.ClientID)
	q.Set("state", r.State)
	setOrDrop(q, "redirect_uri", r.RedirectURI)
	setOrDrop(q, "scope", strings.Join(r.Scopes, " "))
	if r.Verifier.IsZero() {
		q.Del("code_challenge")
		q.Del("code_challenge_method")
	} else {
		q.Set("code_challenge", challenge(r.Verifier))
		q.Set("code_challenge_method", "S256")
	}
	// Encode writes a literal plus as %2B, so every "+" left is a space.
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return u.String(), nil
}

func setOrDrop(q url.Values, name, value string) {
	if value == "" {
		q.Del(name)
		return
	}
	q.Set(name, value)
}

// challenge is the S256 transformation (RFC 7636 section 4.2).
func challenge(verifier secret.String) string {
	sum := sha256.Sum256([]byte(verifier.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// NewVerifier returns a PKCE verifier of 256 random bits in 43 characters (RFC
// 7636 sections 4.1 and 7.1).
func NewVerifier() secret.String { return random32() }

// NewState returns a state parameter: 32 random bytes in base64url.
func NewState() secret.String { return random32() }

func random32() secret.String {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: it crashes the program instead
	return secret.New(base64.RawURLEncoding.EncodeToString(b[:]))
}
