package proxy

import (
	"fmt"
	"net/http"
	"time"
)

// retryUnreachable is when to try an API again that could not be asked.
const retryUnreachable = 5 * time.Second

// Kind is a kind of refusal. Its value is the status to answer with.
type Kind int

// The kinds.
const (
	Invalid     Kind = http.StatusBadRequest       // the request must not be carried as it is
	Forbidden   Kind = http.StatusForbidden        // the app's configuration does not allow it
	NoMethod    Kind = http.StatusMethodNotAllowed // no request with this method is ever carried
	Limited     Kind = http.StatusTooManyRequests  // the provider's limit is reached and waiting would take too long
	Unreachable Kind = http.StatusBadGateway       // the API could not be asked, or broke off
	Silent      Kind = http.StatusGatewayTimeout   // the API did not answer in time
)

// Error is why a request was not carried, in words for its caller. They quote
// nothing of the request or the answer.
type Error struct {
	Kind       Kind
	Field      string // what of the request is wrong: path, query, body or the name of a header
	Detail     string
	RetryAfter time.Duration // of Limited, Unreachable and Silent
}

// Error implements error.
func (e *Error) Error() string {
	if e.Field != "" {
		return "proxy: " + e.Field + ": " + e.Detail
	}
	return "proxy: " + e.Detail
}

func invalid(field, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Field: field, Detail: fmt.Sprintf(format, args...)}
}
