package lightspeed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/oauth"
)

// Error is an answer of an API that is not a success. Find it with [errors.As]:
//
//	var e *lightspeed.Error
//	if errors.As(err, &e) && e.Status == http.StatusForbidden { … }
//
// What it quotes of the answer is short, printable and without anything that
// looks like a token.
type Error struct {
	Path   string // what was asked for, without its query
	Status int    // of HTTP; the one to go by
	// Code is the vendor's word for it, "" if there is none: invalid_token
	// (K-Series), access_denied or BadAuthenticationRequestError (R-Series).
	Code string
	// Message is the vendor's sentence, "" if there is none. Its wording is nobody's
	// promise.
	Message string
	// Hint is what R-Series adds, such as "Access token has been revoked".
	Hint string
	// Fields are what K-Series finds wrong with single fields of a request.
	Fields []FieldError
	// Request is the vendor's name for the request, for its support, where the
	// answer has one.
	Request string
	// RetryAfter is how long the API asks to be left alone, 0 if it does not say.
	RetryAfter time.Duration
}

// FieldError is what is wrong with one field.
type FieldError struct {
	Field   string
	Message string
}

// Error returns the path, the status and what the vendor said.
func (e *Error) Error() string {
	parts := []string{fmt.Sprintf("GET %s: %d %s", e.Path, e.Status, http.StatusText(e.Status))}
	for _, s := range []string{e.Code, e.Message, e.Hint} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	for _, f := range e.Fields {
		parts = append(parts, f.Field+" "+f.Message)
	}
	return strings.Join(parts, ": ")
}

// Temporary reports whether time may cure it: 408, 429 and 5xx.
func (e *Error) Temporary() bool {
	return e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout || e.Status >= 500
}

// Bounds of what is taken of an error.
const (
	mostErrorBody   = 64 << 10
	mostFieldErrors = 20
	mostCode        = 64
)

// errorOf reads an error answer. Its body may be anything.
func errorOf(resp *http.Response, path string) *Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, mostErrorBody))
	e := readError(resp.StatusCode, resp.Header.Get("WWW-Authenticate"), body, sentToken(resp))
	e.Path, e.RetryAfter = path, retryAfter(resp.Header, time.Now())
	return e
}

// sentToken is the token of the request that was answered, where the client
// leaves it in sight, so that an answer that quotes it is not quoted.
func sentToken(resp *http.Response) string {
	if resp.Request == nil {
		return ""
	}
	_, token, _ := strings.Cut(resp.Request.Header.Get("Authorization"), " ")
	return token
}

// readError reads the bodies that the series have for errors: K-Series' three
// (https://api-docs.lsk.lightspeed.app) and Spring's, R-Series' two
// (https://developers.lightspeedhq.com/retail/introduction/errors/ and recorded
// ones, which come as text/html too), X-Series'
// (https://x-series-api.lightspeedhq.com/docs/rate_limiting) and L-Series'.
func readError(status int, challenge string, body []byte, token string) *Error {
	var doc struct {
		Error       scalar   `json:"error"`
		Description scalar   `json:"error_description"`
		Message     scalar   `json:"message"`
		Hint        scalar   `json:"hint"`
		Class       scalar   `json:"errorClass"`
		Request     scalar   `json:"requestId"`
		L           scalar   `json:"description"`
		LMany       []scalar `json:"errors"`
		Fields      []struct {
			Field   scalar `json:"field"`
			Message scalar `json:"message"`
		} `json:"apiSubExceptions"`
	}
	// A member of another type than usual costs only itself.
	_ = json.Unmarshal(body, &doc)
	if token != "" && bytes.Contains(body, []byte(token)) {
		doc.Error, doc.Class, doc.Request = "", "", "" // the names; sentences are cleaned below
	}
	show := func(s scalar) string {
		if token != "" {
			s = scalar(strings.ReplaceAll(string(s), token, "[…]"))
		}
		return oauth.Showable(string(s))
	}
	e := &Error{Status: status, Hint: show(doc.Hint), Request: doc.Request.requestID()}
	e.Code = errorCode(doc.Class)
	if e.Code == "" {
		e.Code = errorCode(doc.Error)
	}
	sentences := append([]scalar{doc.Message, doc.Description, doc.L}, doc.LMany...)
	if errorCode(doc.Error) == "" {
		sentences = append(sentences, doc.Error) // K-Series' finance API has its sentence here
	}
	for _, s := range sentences {
		if e.Message = show(s); e.Message != "" {
			break
		}
	}
	for _, f := range doc.Fields[:min(len(doc.Fields), mostFieldErrors)] {
		e.Fields = append(e.Fields, FieldError{show(f.Field), show(f.Message)})
	}
	if e.Code == "" && (token == "" || !strings.Contains(challenge, token)) {
		e.Code = errorCode(challengeError(challenge))
	}
	return e
}

// errorCode returns s if it is written like the name of an error, in letters and
// at most one word or joined by "_": no token looks like that.
func errorCode(s scalar) string {
	if len(s) == 0 || len(s) > mostCode || strings.Trim(string(s), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return ""
	}
	// A word of a name is longer than what comes of chance.
	if !strings.Contains(string(s), "_") && len(s) > 20 && !strings.HasSuffix(string(s), "Error") && !strings.HasSuffix(string(s), "Exception") {
		return ""
	}
	return string(s)
}

// requestID returns s if it is what requests are called: short, of hexadecimal
// digits and "-".
func (s scalar) requestID() string {
	if len(s) > 40 || strings.Trim(string(s), "0123456789abcdefABCDEF-") != "" {
		return ""
	}
	return string(s)
}

// challengeError is the error parameter of a Bearer challenge (RFC 6750 section 3).
func challengeError(h string) scalar {
	_, after, ok := strings.Cut(h, `error="`)
	if !ok {
		return ""
	}
	code, _, _ := strings.Cut(after, `"`)
	return scalar(code)
}

// mostRetryAfter is the longest a Retry-After is believed.
const mostRetryAfter = 24 * time.Hour

// retryAfter reads Retry-After (RFC 9110 section 10.2.3): seconds as R-Series
// sends them, or a date as X-Series does, which is compared with the server's own
// clock where the answer tells it. What makes no sense is 0.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		if !(s > 0) { // NaN too
			return 0
		}
		return time.Duration(min(s, mostRetryAfter.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), mostRetryAfter)
}
