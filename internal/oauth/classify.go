package oauth

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/evergrant/evergrant/internal/grant"
)

// Classify says what an answer means for a grant, conservatively: only what is
// certain is Granted or Refused. The page of a web server, a firewall or a proxy
// is never an OAuth answer, and neither is the body of a 5xx unless the
// provider's error map says so.
//
// Nothing in the Result quotes a token.
func Classify(a Answer, e Errors) Result {
	r := Result{RetryAfter: a.RetryAfter}
	if !a.Sent {
		r.Outcome = grant.NotSent
		return r
	}
	d, docErr := parseDocument(a.Body)
	success := a.Status >= 200 && a.Status <= 299
	_, tokenErr := d.token(a)

	switch {
	// A JSON object ends by itself: once it is closed nothing of it can be
	// missing, even if the connection broke right after.
	case success && docErr == nil && tokenErr == nil && (a.Complete || d.json):
		r.Outcome = grant.Granted
		return r
	case a.Status == 0, !a.Complete && a.Status != http.StatusTooManyRequests:
		r.Outcome = grant.Lost
		return r
	}

	raw := strings.TrimSpace(d.str("error"))
	if success && raw == "" {
		r.Outcome = grant.Unclear
		if tokensInside(a, d, docErr, tokenErr) {
			r.Outcome = grant.Lost
			r.Description = printable(cmp.Or(docErr, tokenErr).Error(), maxDescription)
		}
		return r
	}
	r.Code = e.code(a.Status, raw)
	r.Outcome = e.outcome(a.Status, r.Code)
	for _, name := range []string{"error_description", "message", "hint"} {
		if r.Description = describe(d.str(name)); r.Description != "" {
			break
		}
	}
	return r
}

// tokensInside reports whether a successful answer that we cannot use probably
// carries tokens: it is cut JSON, has tokens of a kind we do not understand, or
// has them where nobody expects them. A page, and a captive portal's JSON, do not.
func tokensInside(a Answer, d document, docErr, tokenErr error) bool {
	body := trim(a.Body)
	switch {
	case len(body) == 0, body[0] == '<':
		return false
	case errors.Is(docErr, errBrokenJSON), docErr == nil && !errors.Is(tokenErr, errNoAccessToken):
		return true
	case !d.json && strings.Contains(strings.ToLower(a.ContentType), "json") && !json.Valid(body):
		return true // compressed in a way nobody asked for, perhaps
	}
	return bytes.Contains(body, []byte("access_token")) || bytes.Contains(body, []byte("refresh_token"))
}

// code returns an answer's error code fit to be shown, "" if there is none. What
// the map lists may look like anything; it is no secret.
func (e Errors) code(status int, raw string) string {
	_, listed := e[raw]
	_, listedHere := e[qualified(status, raw)]
	return cleanCode(raw, listed || listedHere)
}

// outcome returns what an error code means in an answer of this status.
func (e Errors) outcome(status int, code string) grant.Outcome {
	if o, ok := e[qualified(status, code)]; ok && code != "" {
		return believable(o)
	}
	switch {
	case status == http.StatusTooManyRequests:
		return grant.Throttled
	case status < 200, status >= 300 && status <= 399, status >= 500:
		return grant.Unclear
	}
	if o, ok := e[code]; ok && code != "" {
		return believable(o)
	}
	switch code {
	case "invalid_grant":
		return grant.Refused
	case "invalid_client", "unauthorized_client":
		return grant.Misconfigured
	case "temporarily_unavailable", "slow_down":
		return grant.Throttled
	}
	return grant.Unclear
}

func qualified(status int, code string) string { return strconv.Itoa(status) + ":" + code }

// believable keeps an error map from turning an error into something no error
// can be.
func believable(o grant.Outcome) grant.Outcome {
	switch o {
	case grant.Refused, grant.Misconfigured, grant.Throttled:
		return o
	}
	return grant.Unclear
}
