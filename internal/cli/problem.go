package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/words"
)

// exitCode maps what a server answers to what scripts decide by.
func exitCode(e *evergrant.Error) int {
	switch {
	case errors.Is(e, evergrant.ErrReauthorize), errors.Is(e, evergrant.ErrLocationNotCovered):
		return exitReauthorize
	case errors.Is(e, evergrant.ErrNotFound):
		return exitNotFound
	case errors.Is(e, evergrant.ErrForbidden):
		return exitNotAllowed
	case errors.Is(e, evergrant.ErrTemporary):
		return exitTemporary
	case e.Code == "invalid_request":
		return exitUsage
	}
	return exitFailed
}

// failed tells of a call that failed: what it was about, what is wrong, and the
// next command. list is the command that shows what there is. Errors that no
// server answered with stay as they are.
func (r *remote) failed(what, list string, err error) error {
	var e *evergrant.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Code == "server_unreachable" {
		return r.unreachable(err)
	}
	text := e.Message
	if text == "" {
		text = "the server answered " + e.Code
	}
	if what != "" {
		text = what + ": " + text
	}
	if e.Code == "internal" && e.RequestID != "" {
		text += " (" + e.RequestID + ")"
	}
	if next := nextCommand(e, what, list); next != "" {
		text += "; next: " + next
	}
	return &failure{code: exitCode(e), err: &told{text, err}}
}

// failedRef is failed for a call about a connection.
func (r *remote) failedRef(ref string, err error) error {
	return r.failed(ref, "evergrant connection list", err)
}

// nextCommand is what to do about an error.
func nextCommand(e *evergrant.Error, ref, list string) string {
	switch exitCode(e) {
	case exitReauthorize:
		if errors.Is(e, evergrant.ErrLocationNotCovered) {
			return "evergrant link create " + ref + " --add-grant"
		}
		return "evergrant link create " + ref
	case exitNotFound:
		return list
	case exitNotAllowed:
		if e.Code == "unauthorized" {
			return "set EVERGRANT_API_KEY to a key of this server, or give --config FILE on its machine"
		}
		return "evergrant key create --help, for a key that may"
	case exitTemporary:
		wait := words.Span(max(e.RetryAfter, time.Second))
		if _, err := grant.ParseRef(ref); err == nil {
			return "evergrant why " + ref + ", or the same again in " + wait
		}
		return "the same again in " + wait
	}
	return ""
}

// unreachable says what a request without an answer means.
func (r *remote) unreachable(err error) error {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return &failure{code: exitFailed, err: errors.New("interrupted")}
	case errors.Is(err, fs.ErrPermission):
		return &failure{code: exitNotAllowed, err: fmt.Errorf(
			"%s belongs to another user; run this as the server's user, or set EVERGRANT_SERVER and EVERGRANT_API_KEY", r.where)}
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return &failure{code: exitTemporary, err: fmt.Errorf("no server answers at %s; start it with: %s", r.where, r.start)}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &failure{code: exitTemporary, err: fmt.Errorf("the server at %s takes too long to answer; read its log", r.where)}
	}
	return &failure{code: exitTemporary, err: err}
}

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

// duration reads a duration flag; "" is none.
func duration(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := config.ParseDuration(text)
	if err != nil {
		return 0, usage("%s %v", flag, err)
	}
	return time.Duration(d), nil
}
