package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/words"
)

// problem is an error as it is answered (RFC 9457).
type problem struct {
	Type           string       `json:"type" doc:"urn:evergrant:problem: and the code"`
	Title          string       `json:"title" doc:"one sentence, the same for every problem with this code"`
	Status         int          `json:"status"`
	Detail         string       `json:"detail,omitempty" doc:"one sentence about this one"`
	Code           string       `json:"code" doc:"what programs decide by"`
	Reason         string       `json:"reason,omitempty" doc:"why the connection is in its state"`
	ActBy          string       `json:"act_by" enum:"merchant,operator,provider,nobody"`
	RequestID      string       `json:"request_id"`
	Connection     string       `json:"connection,omitempty" doc:"id of the connection it is about"`
	RetryAfter     int64        `json:"retry_after,omitempty" doc:"seconds; as in the Retry-After header"`
	ReauthorizeURL string       `json:"reauthorize_url,omitempty" doc:"link for the merchant; only for keys with the links scope"`
	Locations      []string     `json:"locations,omitempty" nullable:"false" doc:"the locations nobody reaches"`
	Errors         []fieldError `json:"errors,omitempty" nullable:"false" doc:"what is wrong with the request, field by field"`

	authenticate string // WWW-Authenticate
	allow        string // Allow
}

// fieldError says what is wrong with one field of a request.
type fieldError struct {
	Field   string `json:"field" doc:"path of a body member, name of a query or path parameter, or body"`
	Message string `json:"message"`
}

// Error implements error.
func (p *problem) Error() string { return p.Code + ": " + p.Detail }

// text is the problem on one line.
func (p *problem) text() string {
	if len(p.Errors) == 0 {
		return p.Code + ": " + p.Detail
	}
	all := make([]string, len(p.Errors))
	for i, e := range p.Errors {
		all[i] = e.Field + ": " + e.Message
	}
	return p.Code + ": " + strings.Join(all, "; ")
}

// The codes that begin here; the others come from the manager.
const (
	codeInvalid       = "invalid_request"
	codeUnauthorized  = "unauthorized"
	codeForbidden     = "forbidden"
	codeNotFound      = "not_found"
	codeMethod        = "method_not_allowed"
	codeConflict      = "conflict"
	codeChanged       = "precondition_failed"
	codeTooLarge      = "request_too_large"
	codeKeyReused     = "idempotency_key_reused"
	codeReauthorize   = "needs_reauthorization"
	codeNever         = "never_connected"
	codeNotCovered    = "location_not_covered"
	codeTemporary     = "temporarily_unavailable"
	codeLimited       = "rate_limited"
	codeInternal      = "internal"
	problemTypePrefix = "urn:evergrant:problem:"
)

// title returns the sentence that goes with a code.
func title(code string, status int) string {
	if e, ok := words.Of(code); ok && e.Title != "" {
		return e.Title
	}
	return http.StatusText(status)
}

// newProblem returns a problem the caller has to act on; a caller is the
// operator's program.
func newProblem(status int, code, detail string) *problem {
	return &problem{Status: status, Code: code, Detail: detail, ActBy: string(evergrant.ActOperator)}
}

func errNotFound() *problem {
	return newProblem(http.StatusNotFound, codeNotFound, "no such connection, or not within reach of this API key")
}

func errNoSuch(what string) *problem {
	return newProblem(http.StatusNotFound, codeNotFound, "no such "+what+", or not within reach of this API key")
}

func errConflict(detail string) *problem {
	return newProblem(http.StatusConflict, codeConflict, detail)
}

func errChanged() *problem {
	return newProblem(http.StatusPreconditionFailed, codeChanged, "it is not any more what If-Match names; read it again")
}

// fields gathers what is wrong with a request.
type fields []fieldError

func (f *fields) add(field, format string, args ...any) {
	*f = append(*f, fieldError{field, fmt.Sprintf(format, args...)})
}

// err returns the problem, nil if nothing is wrong.
func (f fields) err() error {
	if len(f) == 0 {
		return nil
	}
	p := newProblem(http.StatusBadRequest, codeInvalid, f[0].Field+": "+f[0].Message)
	p.Errors = f
	return p
}

// write answers with the problem.
func (p *problem) write(w http.ResponseWriter, requestID string) {
	p.RequestID = requestID
	p.Type = problemTypePrefix + p.Code
	p.Title = title(p.Code, p.Status)
	h := w.Header()
	if p.Status >= 500 || p.Status == http.StatusTooManyRequests {
		p.RetryAfter = max(p.RetryAfter, 1)
		h.Set("Retry-After", strconv.FormatInt(p.RetryAfter, 10))
	}
	if p.authenticate != "" {
		h.Set("WWW-Authenticate", p.authenticate)
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	h.Set("Content-Type", "application/problem+json")
	writeBody(w, p.Status, encode(p))
}

// encode marshals a wire type, which cannot fail, and ends it with a newline.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		// Only an event's free-form data could hold what JSON cannot say.
		return []byte("null\n")
	}
	return b.Bytes()
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone; there is nobody to tell
}

// seconds rounds a wait up to whole seconds, and to one at least.
func seconds(d time.Duration) int64 {
	return max(int64((d+time.Second-1)/time.Second), 1)
}
