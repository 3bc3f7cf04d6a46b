// Package evergrant hands out working OAuth 2.0 access tokens for the
// businesses your app is connected to. Its words are [Ref], which names a
// connection, [Token], and [Source], from which tokens come: a server
// (package client) or an engine in your own process (package manager).
package evergrant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"golang.org/x/oauth2"
)

// Ref names a connection: "biz_42@k-series" (the business's key in your product,
// at an app) or its id, "conn_…".
type Ref string

// Token is an access token with what is known about it. It prints as
// "token:9f3a1c0b12aa" under every verb and in slog.
type Token struct {
	AccessToken string `json:"-"`
	Type        string // as it is written in the Authorization header
	Scope       string // space separated
	BaseURL     string // where this business's API lives
	Connection  string // conn_…
	Grant       string // grant_…
	Fingerprint string // safe to log; see Source.Reject
	Expiry      time.Time
	Locations   []string // the ids of the locations it reaches
}

// Format implements [fmt.Formatter] so that no verb shows the token.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// String returns "token:" and the fingerprint.
func (t Token) String() string { return "token:" + t.Fingerprint }

// GoString is String.
func (t Token) GoString() string { return t.String() }

// LogValue implements [slog.LogValuer].
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// OAuth2 returns the token for use with golang.org/x/oauth2. It carries no
// refresh token.
func (t Token) OAuth2() *oauth2.Token {
	return &oauth2.Token{AccessToken: t.AccessToken, TokenType: t.Type, Expiry: t.Expiry}
}

// TokenOptions narrows what token is wanted. The zero value is fine.
type TokenOptions struct {
	// MinValid is how long the token must still be valid; 0 means 10 s.
	MinValid time.Duration
	// Location is the id of a location the token must reach, or "".
	Location string
}

// Source is where tokens come from. Its methods are safe for concurrent use and
// return an *[Error]. Callers may be given the same *Token: it is read only.
type Source interface {
	// Token returns a token for the connection that satisfies opts, which may be
	// nil. It never returns an expired one.
	Token(ctx context.Context, ref Ref, opts *TokenOptions) (*Token, error)
	// Reject reports that the provider's API answered 401 to the token with this
	// fingerprint, and returns a token to try instead. However many callers
	// reject the same token, it is refreshed at most once.
	Reject(ctx context.Context, ref Ref, fingerprint string) (*Token, error)
}

// Actor is who has to do something about an error.
type Actor string

// The actors.
const (
	ActMerchant Actor = "merchant"
	ActOperator Actor = "operator"
	ActProvider Actor = "provider"
	ActNobody   Actor = "nobody"
)

// The kinds of error; test for them with [errors.Is].
var (
	// ErrNotFound: no such connection, or not yours.
	ErrNotFound = errors.New("no such connection")
	// ErrReauthorize: the business must authorize (again).
	ErrReauthorize = errors.New("the business must authorize")
	// ErrTemporary: time may cure it; see Error.RetryAfter.
	ErrTemporary = errors.New("temporarily unavailable")
	// ErrForbidden: the API key may not do this.
	ErrForbidden = errors.New("not allowed")
	// ErrLocationNotCovered: no grant of the connection reaches the location.
	ErrLocationNotCovered = errors.New("location not covered")
	// ErrInvalid: the request itself is wrong.
	ErrInvalid = errors.New("invalid request")
)

// Error is what a [Source] returns.
type Error struct {
	Op             string // what was attempted, "token" or "reject"
	Ref            Ref
	Code           string // the API's problem code, such as needs_reauthorization
	Reason         string // such as refresh_rejected
	Message        string // one sentence for people
	ActBy          Actor
	RetryAfter     time.Duration
	ReauthorizeURL string // a link for the merchant, if the key may make links
	RequestID      string
	Err            error // one of the kinds above, or what caused it
}

// Error returns the operation, the ref and the sentence.
func (e *Error) Error() string {
	msg := e.Message
	if msg == "" && e.Err != nil {
		msg = e.Err.Error()
	}
	if msg == "" {
		msg = e.Code
	}
	if e.Ref == "" {
		return fmt.Sprintf("evergrant: %s: %s", e.Op, msg)
	}
	return fmt.Sprintf("evergrant: %s %s: %s", e.Op, e.Ref, msg)
}

// Unwrap returns the kind or the cause.
func (e *Error) Unwrap() error { return e.Err }
