package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// problem is what the API answers instead of what was asked for (RFC 9457).
type problem struct {
	Status     int
	Code       string `json:"code"`
	Detail     string `json:"detail"`
	Title      string `json:"title"`
	Reason     string `json:"reason"`
	RetryAfter int64  `json:"retry_after"`
	URL        string `json:"reauthorize_url"`
	RequestID  string `json:"request_id"`
	Reply      string `json:"error"` // the sandbox's
}

// Error returns the problem's sentence.
func (p *problem) Error() string {
	switch {
	case p.Detail != "":
		return p.Detail
	case p.Reply != "":
		return p.Reply
	case p.Title != "":
		return p.Title
	}
	return fmt.Sprintf("the server answered %d %s", p.Status, http.StatusText(p.Status))
}

// problemOf reads a problem and gives it an exit code.
func problemOf(res *http.Response, body []byte) error {
	p := &problem{}
	if strings.Contains(res.Header.Get("Content-Type"), "json") {
		_ = json.Unmarshal(body, p) // what is unreadable leaves the status, which is enough
	}
	p.Status = res.StatusCode
	return &failure{code: p.exitCode(), err: p}
}

// exitCode maps what the API answers to what scripts decide by.
func (p *problem) exitCode() int {
	switch {
	case p.Code == "needs_reauthorization", p.Code == "never_connected", p.Code == "location_not_covered":
		return exitReauthorize
	case p.Status == http.StatusNotFound:
		return exitNotFound
	case p.Status == http.StatusUnauthorized, p.Status == http.StatusForbidden:
		return exitNotAllowed
	case p.Status == http.StatusTooManyRequests, p.Status >= 500:
		return exitTemporary
	case p.Status == http.StatusBadRequest:
		return exitUsage
	}
	return exitFailed
}

// about adds to a problem which connection it is about and the next command.
// Other errors stay as they are.
func about(ref string, err error) error {
	var p *problem
	if !errors.As(err, &p) {
		return err
	}
	next := ""
	switch p.Code {
	case "needs_reauthorization", "never_connected":
		next = "send its merchant a link: evergrant link create " + ref
	case "location_not_covered":
		next = "ask somebody who sees it: evergrant link create " + ref + " --add-grant"
	}
	if next == "" && p.exitCode() == exitTemporary && ref != "" {
		next = fmt.Sprintf("try again in %s, or see: evergrant why %s", p.wait(), ref)
	}
	return explain(ref, "evergrant connection list", next, err)
}

// aboutThing is about for things other than connections; list is the command
// that shows what there is.
func aboutThing(what, list string, err error) error { return explain(what, list, "", err) }

// explain puts what a problem is about in front of it and the next step behind.
func explain(what, list, next string, err error) error {
	var f *failure
	var p *problem
	if !errors.As(err, &f) || !errors.As(err, &p) {
		return err
	}
	if next == "" {
		switch f.code {
		case exitNotFound:
			next = "see what there is: " + list
		case exitNotAllowed:
			next = "make a key that may: evergrant key create --help"
			if p.Status == http.StatusUnauthorized {
				next = "set EVERGRANT_API_KEY to a key of this server, or give --config FILE on its machine"
			}
		case exitTemporary:
			next = "try again in " + p.wait()
		}
	}
	text := p.Error()
	if what != "" {
		text = what + ": " + text
	}
	if p.Code == "internal" && p.RequestID != "" {
		text += " (" + p.RequestID + ")"
	}
	if next != "" {
		text += "; " + next
	}
	return &failure{code: f.code, err: &told{text, err}}
}

// wait is how long the server asks to wait.
func (p *problem) wait() string { return span(time.Duration(max(p.RetryAfter, 1)) * time.Second) }

// told replaces an error's text and keeps the error.
type told struct {
	text string
	err  error
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.err }

// checkRef refuses what cannot name a connection before a server is asked.
func checkRef(ref string) error {
	if _, err := grant.ParseRef(ref); err != nil {
		return usage("%v", err)
	}
	return nil
}
