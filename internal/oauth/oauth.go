// Package oauth is the wire: the authorize URL, the one-shot token request, the
// tolerant reading of whatever a token endpoint answers, what such an answer
// means for the grant, revocation and discovery. It follows RFC 6749 and names
// the other documents where it follows them.
//
// golang.org/x/oauth2 is not used here: it probes client authentication by
// sending a single-use token twice, and drops a whole answer over one odd field.
//
// Nothing in this package logs, and no error of it contains a token, a code, a
// client secret or an unbounded piece of a remote body.
package oauth

import (
	"fmt"
	"net/url"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
)

// ClientAuth is how the app proves itself at the token endpoint (RFC 6749
// section 2.3, RFC 7523). It is always chosen, never probed.
type ClientAuth string

// The ways.
const (
	Basic         ClientAuth = "basic"
	Post          ClientAuth = "post"
	None          ClientAuth = "none"
	PrivateKeyJWT ClientAuth = "private_key_jwt"
)

// Encoding is where the parameters of a token request go.
type Encoding string

// The encodings. Query is for K-Series V1, whose token endpoint reads the URL;
// JSON, an object of strings, for servers that read nothing else.
const (
	Form  Encoding = "form"
	Query Encoding = "query"
	JSON  Encoding = "json"
)

// Client is our registration at one authorization server.
type Client struct {
	ID string
	// Secret is the client secret, or for PrivateKeyJWT the private key in PEM.
	Secret secret.String
	Auth   ClientAuth
	// Audience of client assertions: the issuer, or the token endpoint if "".
	Audience string
}

// Request is one token request.
type Request struct {
	TokenURL string
	Client   Client
	Encoding Encoding
	Params   url.Values // grant_type and what belongs to it
	// Fresh sends on a connection of its own, so that a failure before the first
	// byte is written is known to be one.
	Fresh   bool
	Timeout time.Duration // from the call to the last byte of the body; 0 means 10 s
	// NotAfter is the send deadline: past it no byte is written, and the request
	// counts as not sent. It guards against a process that is paused between
	// deciding to send and sending. Zero means the end of Timeout.
	NotAfter time.Time
}

// Answer is what came back, raw. It is kept before it is understood.
type Answer struct {
	SentAt      time.Time // just before the request was written
	ReceivedAt  time.Time
	Sent        bool // at least one byte of the request may have left
	Complete    bool // the body ended by itself and within the limit
	Status      int  // 0 if no header came
	ContentType string
	RetryAfter  time.Duration // from the header, both forms; 0 if absent or unusable
	Body        []byte        // at most MaxBody bytes, decompressed; secret
	// Err says why there is no complete answer, in words safe to show.
	Err error
}

// Format implements [fmt.Formatter]: no verb shows the parameters or the query.
func (r Request) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "token request of client %q", r.Client.ID)
}

// Format implements [fmt.Formatter]: no verb shows the body.
func (a Answer) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "answer %d, %d bytes, sent %t, complete %t", a.Status, len(a.Body), a.Sent, a.Complete)
}

// MaxBody is how much of a token endpoint's answer is read.
const MaxBody = 1 << 20

// Errors maps a provider's error codes to what they mean for a grant. A code
// that is not listed means what RFC 6749 says. Keys are "error" codes, or
// "status:error" to tell statuses apart, as in "400:invalid_request". For
// answers that are by default not believed, 5xx, 3xx and 429, only the second
// form counts. Values other than Refused, Misconfigured, Throttled and Unclear
// are read as Unclear.
type Errors map[string]grant.Outcome

// Result is what an answer means.
type Result struct {
	Outcome     grant.Outcome
	Code        string // the OAuth error code, printable ASCII, at most 64 characters; "" if none
	Description string // for people: printable, at most 200 characters, with anything token-like removed
	RetryAfter  time.Duration
}

// Token is a token response, read tolerantly (RFC 6749 section 5.1).
type Token struct {
	AccessToken  secret.String
	RefreshToken secret.String // zero if absent, null, empty or blank
	IDToken      secret.String
	Type         string // "Bearer" in this case however it was written
	Scope        string // "" if the answer has none
	// ExpiresIn is the access token's stated life, capped at grant.MaxLifetime; 0
	// if it is absent or makes no sense.
	ExpiresIn time.Duration
	// Ended is set if the only stated life is 0 or less, as of a repeated answer
	// whose access token has ended meanwhile.
	Ended bool
	// RefreshExpiresIn is the refresh token's stated life; 0 if absent or 0,
	// which with Keycloak means "no countdown".
	RefreshExpiresIn time.Duration
	// Odd names the members that were present and made no sense.
	Odd []string
	// Extra holds the other members, secret ones removed, scalars as text.
	Extra map[string]string
}
