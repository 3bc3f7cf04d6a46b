package manager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/words"
)

// The problem codes.
const (
	codeNotFound             = "not_found"
	codeInvalid              = "invalid_request"
	codeConflict             = "conflict"
	codeNeedsReauthorization = "needs_reauthorization"
	codeNeverConnected       = "never_connected"
	codeLocationNotCovered   = "location_not_covered"
	codeUnavailable          = "temporarily_unavailable"
	codeInternal             = "internal"
)

func notFound(op string, ref string) error {
	return &evergrant.Error{Op: op, Ref: evergrant.Ref(ref), Code: codeNotFound,
		Message: fmt.Sprintf("there is no connection %s", ref), ActBy: evergrant.ActOperator, Err: evergrant.ErrNotFound}
}

func invalid(op, ref, format string, args ...any) error {
	return &evergrant.Error{Op: op, Ref: evergrant.Ref(ref), Code: codeInvalid,
		Message: fmt.Sprintf(format, args...), ActBy: evergrant.ActOperator, Err: evergrant.ErrInvalid}
}

// unusable is the error for a connection that has no live grant.
func unusable(op string, ref string, s grant.Status) error {
	e := &evergrant.Error{Op: op, Ref: evergrant.Ref(ref), Code: codeNeedsReauthorization, Reason: string(s.Reason),
		ActBy: evergrant.Actor(s.ActBy()), Err: evergrant.ErrReauthorize}
	switch s.State {
	case grant.Pending:
		e.Code = codeNeverConnected
	case grant.Disconnected:
		e.ActBy = evergrant.ActMerchant
	}
	e.Message = sentence(s.Reason) + " Send it a link."
	return e
}

// sentence says how a business is for a reason, in the words that are used for it
// everywhere; "" if there are none.
func sentence(r grant.Reason) string {
	e, ok := words.Of(string(r))
	if !ok || e.Is == "" {
		return ""
	}
	return "The business " + e.Is
}

// temporary is the error for what time may cure.
func temporary(op, ref string, reason grant.Reason, retryAfter time.Duration, msg string) error {
	actor := evergrant.ActProvider
	if reason != "" {
		actor = evergrant.Actor(reason.ActBy())
	}
	if is := sentence(reason); is != "" && reason != grant.OK {
		msg += ". " + is
	}
	return &evergrant.Error{Op: op, Ref: evergrant.Ref(ref), Code: codeUnavailable, Reason: string(reason), ActBy: actor,
		RetryAfter: max(retryAfter, time.Second), Message: msg, Err: evergrant.ErrTemporary}
}

// internal maps an error of the store, or one nobody expected. Its text stays in
// the chain for the log; the message for callers does not carry it.
func (m *Manager) internal(op, ref string, err error) error {
	var known *evergrant.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, store.ErrNotFound):
		return notFound(op, ref)
	case errors.Is(err, store.ErrUnavailable):
		return &evergrant.Error{Op: op, Ref: evergrant.Ref(ref), Code: codeUnavailable, Reason: string(grant.StoreUnavailable),
			ActBy: evergrant.ActOperator, RetryAfter: 2 * time.Second, Message: "the store cannot be reached",
			Err: errors.Join(evergrant.ErrTemporary, err)}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &evergrant.Error{Op: op, Ref: evergrant.Ref(ref), Code: codeUnavailable, ActBy: evergrant.ActNobody,
			RetryAfter: time.Second, Message: "the request ended before the answer was there", Err: errors.Join(evergrant.ErrTemporary, err)}
	}
	return &evergrant.Error{Op: op, Ref: evergrant.Ref(ref), Code: codeInternal, ActBy: evergrant.ActOperator,
		Message: "something went wrong here; the log has the details", Err: err}
}
