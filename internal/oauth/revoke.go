package oauth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/evergrant/evergrant/internal/secret"
)

// RevokeError is why a token may still live after [Sender.Revoke].
type RevokeError struct {
	Status int    // 0 if there was no answer
	Code   string // as Result.Code
	// Temporary says that trying again may help. After a 503 the token must be
	// assumed to live (RFC 7009 section 2.2.1).
	Temporary  bool
	RetryAfter time.Duration // 0 if the server states none
	Err        error         // why there was no complete answer, or nil
}

// Error implements error.
func (e *RevokeError) Error() string {
	switch {
	case e.Err != nil:
		return "revoke: " + e.Err.Error()
	case e.Code != "":
		return fmt.Sprintf("revoke: answered %d %s", e.Status, e.Code)
	}
	return fmt.Sprintf("revoke: answered %d", e.Status)
}

// Unwrap returns Err.
func (e *RevokeError) Unwrap() error { return e.Err }

// Revoke asks the server, once, to forget a token (RFC 7009 section 2.1). hint
// is "refresh_token", "access_token" or "". A token that was dead already, and a
// type of token the server does not revoke, are no errors. Like Send it ignores
// the cancellation of ctx; it takes at most 10 s. Errors are *[RevokeError].
func (s *Sender) Revoke(ctx context.Context, revokeURL string, c Client, token secret.String, hint string) error {
	if err := CheckEndpoint(revokeURL); err != nil {
		return &RevokeError{Err: fmt.Errorf("endpoint: %w", err)}
	}
	params := url.Values{"token": {token.Reveal()}}
	if hint != "" {
		params.Set("token_type_hint", hint)
	}
	if hint == "refresh_token" {
		// R-Series reads this one instead of token. Other servers ignore what they
		// do not know, as RFC 6749 section 3.2 has them.
		params.Set("refresh_token", token.Reveal())
	}
	a := s.Send(ctx, Request{TokenURL: revokeURL, Client: c, Encoding: Form, Params: params})
	if a.Status >= 200 && a.Status <= 299 {
		return nil // the status is the whole answer (RFC 7009 section 2.2)
	}
	d, _ := parseDocument(a.Body)
	e := &RevokeError{Status: a.Status, Code: cleanCode(d.str("error"), false), RetryAfter: a.RetryAfter, Err: a.Err}
	switch {
	case a.Status == http.StatusBadRequest && (e.Code == "unsupported_token_type" || e.Code == "invalid_token"):
		return nil
	case a.Status == 0, a.Status == http.StatusTooManyRequests, a.Status >= 500:
		e.Temporary = true
	}
	return e
}
