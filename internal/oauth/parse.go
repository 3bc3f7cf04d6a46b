package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/secret"
)

// maxAccessToken is the longest access token taken: what fits into a request
// header almost nowhere, and still more than anybody issues.
const maxAccessToken = 64 << 10

// Why an answer has no usable access token.
var (
	errNoAccessToken   = errors.New("the answer has no access_token")
	errAccessTooLong   = errors.New("the access_token is longer than 64 KiB")
	errAccessMalformed = errors.New("the access_token has characters that cannot be in a header")
)

// bearer is the one token type we can use (RFC 6750), as it is written.
const bearer = "Bearer"

// ParseToken reads a token response (RFC 6749 section 5.1) out of an answer,
// whatever its status and Content-Type. It fails only if there is no usable
// access token; every other member that makes no sense is left out and named in
// Odd, because a rotated refresh token must not be lost over it. The error
// quotes at most the token type.
func ParseToken(a Answer) (Token, error) {
	d, err := parseDocument(a.Body)
	if err != nil {
		return Token{}, err
	}
	return d.token(a)
}

func (d *document) token(a Answer) (Token, error) {
	access, err := d.accessToken()
	if err != nil {
		return Token{}, err
	}
	typ, err := d.tokenType()
	if err != nil {
		return Token{}, err
	}
	t := Token{AccessToken: access, Type: typ}
	t.RefreshToken = d.optionalSecret("refresh_token", &t.Odd)
	t.IDToken = d.optionalSecret("id_token", &t.Odd)
	t.Scope = d.scope(&t.Odd)
	now := a.SentAt
	if now.IsZero() {
		now = a.ReceivedAt
	}
	t.ExpiresIn = d.life(accessExpiry(), now, &t.Odd)
	t.Ended = t.ExpiresIn == 0 && d.ended(accessExpiry())
	t.RefreshExpiresIn = d.life(refreshExpiry(), now, &t.Odd)
	for _, name := range known() {
		if d.twice[name] && !slices.Contains(t.Odd, name) {
			t.Odd = append(t.Odd, name)
		}
	}
	t.Extra = d.extra()
	return t, nil
}

func (d *document) accessToken() (secret.String, error) {
	s, ok := d.text("access_token")
	switch {
	case !ok, strings.TrimSpace(s) == "":
		return secret.String{}, errNoAccessToken
	case len(s) > maxAccessToken:
		return secret.String{}, errAccessTooLong
	}
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			return secret.String{}, errAccessMalformed
		}
	}
	return secret.New(s), nil
}

// tokenType returns "Bearer" for every way of writing it, and for silence. A
// token of a type we do not understand must not be used (RFC 6749 section 7.1).
func (d *document) tokenType() (string, error) {
	s, ok := d.text("token_type")
	s = strings.TrimSpace(s)
	switch {
	case !ok:
		return "", errors.New("the token_type is not a string")
	case s == "", strings.EqualFold(s, bearer), strings.EqualFold(s, "BearerToken"): // Apigee's default
		return bearer, nil
	}
	return "", fmt.Errorf("the token_type %q is not supported, only Bearer is", printable(describe(s), 40))
}

// optionalSecret returns a token member; absent, null, empty and blank are all
// the same "none".
func (d *document) optionalSecret(name string, odd *[]string) secret.String {
	s, ok := d.text(name)
	if !ok {
		*odd = append(*odd, name)
	}
	if strings.TrimSpace(s) == "" {
		return secret.String{}
	}
	return secret.New(s)
}

// scope returns the granted scope, from a string or an array of strings.
func (d *document) scope(odd *[]string) string {
	var parts []string
	strange := false
	switch v := d.values["scope"].(type) {
	case nil:
	case string:
		parts = strings.Fields(v)
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			strange = strange || !ok
			parts = append(parts, strings.Fields(s)...)
		}
	default:
		strange = true
	}
	n := len(parts)
	parts = slices.DeleteFunc(parts, func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e }) // RFC 6749 section 3.3
	})
	if strange || len(parts) < n {
		*odd = append(*odd, "scope")
	}
	return strings.Join(parts, " ")
}

// Bounds of Token.Extra.
const (
	maxExtras     = 32
	maxExtraName  = 64
	maxExtraValue = 512
)

// extra returns the members nobody has named, bounded, without secrets.
func (d *document) extra() map[string]string {
	var m map[string]string
	named := known()
	for _, name := range d.names {
		if len(m) == maxExtras {
			break
		}
		v, ok := scalar(d.values[name])
		if !ok || slices.Contains(named, name) || len(name) > maxExtraName || len(v) > maxExtraValue ||
			secretName(name) || strings.HasPrefix(v, "eyJ") { // a JWT under another name
			continue
		}
		if m == nil {
			m = map[string]string{}
		}
		m[name] = v
	}
	return m
}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

// secretName reports whether a member of this name may hold a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, s := range []string{"token", "secret", "password", "assertion", "credential", "private", "api_key", "apikey", "cookie"} {
		if strings.Contains(name, s) {
			return true
		}
	}
	return false
}

// known lists the members that ParseToken and Classify read themselves.
func known() []string {
	return append([]string{"access_token", "refresh_token", "id_token", "token_type", "scope",
		"error", "error_description", "error_uri"},
		slices.Concat(accessExpiry().names(), refreshExpiry().names())...)
}

// expiry names the members that tell a lifetime.
type expiry struct {
	in    []string // seconds from now
	at    []string // moments: seconds since 1970, or RFC 3339
	mixed []string // either
	zero  bool     // 0 means "not told" and is not odd
}

func (e expiry) names() []string { return slices.Concat(e.in, e.mixed, e.at) }

func accessExpiry() expiry {
	// X-Series' expires is a moment, other servers' a lifetime. The last one's is Clover.
	return expiry{in: []string{"expires_in"}, at: []string{"expires_at", "access_token_expiration"}, mixed: []string{"expires"}}
}

func refreshExpiry() expiry {
	return expiry{
		in:   []string{"refresh_expires_in", "refresh_token_expires_in", "x_refresh_token_expires_in"},
		at:   []string{"refresh_token_expires_at", "refresh_token_expiration"},
		zero: true, // Keycloak, with offline_access
	}
}

// life returns the first lifetime that makes sense. Those before it that do not
// are odd.
// ended reports whether a life from now on is stated and is 0 or less.
func (d *document) ended(e expiry) bool {
	return slices.ContainsFunc(e.in, func(name string) bool {
		s, ok := d.text(name)
		f, number := decimal(strings.TrimSpace(s))
		return ok && number && f <= 0
	})
}

func (d *document) life(e expiry, now time.Time, odd *[]string) time.Duration {
	for _, name := range e.names() {
		s, ok := d.text(name)
		if ok && d.values[name] == nil {
			continue
		}
		life, sensible := time.Duration(0), false
		if ok {
			relative, moment := slices.Contains(e.in, name), slices.Contains(e.at, name)
			life, sensible = lifetime(strings.TrimSpace(s), !moment, !relative, now)
		}
		switch {
		case sensible && life > 0:
			return life
		case sensible && life == 0 && e.zero:
		default:
			*odd = append(*odd, name)
		}
	}
	return 0
}
