package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/proxy"
	"github.com/evergrant/evergrant/internal/store"
)

// retryInternal is when to try again after a fault of ours.
const retryInternal = 5 * time.Second

// toProblem translates an error. known is false for errors nobody translated
// before: their text is for the log only.
func toProblem(err error) (p *problem, known bool) {
	var told *problem
	var ee *evergrant.Error
	var carried *proxy.Error
	switch {
	case errors.As(err, &told):
		c := *told
		return &c, true
	case errors.As(err, &carried):
		return fromProxy(carried), true
	case errors.As(err, &ee):
		return fromManager(ee)
	case errors.Is(err, store.ErrNotFound):
		return errNoSuch("object"), true
	case errors.Is(err, store.ErrStale), errors.Is(err, store.ErrExists):
		return errConflict("it has changed meanwhile, or is there already; read it again"), true
	case errors.Is(err, store.ErrUnavailable):
		return temporary("the store cannot be reached", evergrant.ActOperator, retryInternal), true
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return temporary("the request ended before the answer was there", evergrant.ActNobody, time.Second), true
	}
	p = newProblem(http.StatusInternalServerError, codeInternal, "the log has the cause under this request id")
	p.RetryAfter = seconds(retryInternal)
	return p, false
}

func temporary(detail string, by evergrant.Actor, after time.Duration) *problem {
	p := newProblem(http.StatusServiceUnavailable, codeTemporary, detail)
	p.ActBy, p.RetryAfter = string(by), seconds(after)
	return p
}

// fromManager translates an error of the engine.
func fromManager(e *evergrant.Error) (*problem, bool) {
	p := &problem{Code: e.Code, Detail: e.Message, Reason: e.Reason, ActBy: string(e.ActBy)}
	orElse := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	switch {
	case e.Code == codeConflict:
		p.Status = http.StatusConflict
	case errors.Is(e, evergrant.ErrNotFound):
		// The same words for whatever is absent or out of reach.
		return errNotFound(), true
	case errors.Is(e, evergrant.ErrReauthorize):
		p.Status = http.StatusConflict
		orElse(&p.Code, codeReauthorize)
		orElse(&p.ActBy, string(evergrant.ActMerchant))
	case errors.Is(e, evergrant.ErrLocationNotCovered):
		p.Status, p.Code = http.StatusConflict, codeNotCovered
		orElse(&p.ActBy, string(evergrant.ActMerchant))
	case errors.Is(e, evergrant.ErrTemporary):
		p.Status, p.RetryAfter = http.StatusServiceUnavailable, seconds(e.RetryAfter)
		orElse(&p.Code, codeTemporary)
		orElse(&p.ActBy, string(evergrant.ActNobody))
	case errors.Is(e, evergrant.ErrForbidden):
		p.Status, p.Code = http.StatusForbidden, codeForbidden
	case errors.Is(e, evergrant.ErrInvalid):
		p.Status = http.StatusBadRequest
		orElse(&p.Code, codeInvalid)
		// The message of a request that is wrong in one field begins with it.
		if field, message, ok := strings.Cut(e.Message, ": "); ok && !strings.Contains(field, " ") {
			p.Errors = []fieldError{{field, message}}
		}
	default:
		if e.Err == nil {
			return toProblem(errInternal)
		}
		return toProblem(withoutManager{e.Err})
	}
	orElse(&p.ActBy, string(evergrant.ActOperator))
	orElse(&p.Detail, title(p.Code, p.Status))
	return p, true
}

var errInternal = errors.New("an error without a cause")

// withoutManager keeps toProblem from meeting the same *evergrant.Error again.
type withoutManager struct{ err error }

func (w withoutManager) Error() string        { return w.err.Error() }
func (w withoutManager) Is(target error) bool { return errors.Is(w.err, target) }

// fail answers with an error and logs what nobody translated.
func (s *server) fail(c *call, err error) {
	p, known := toProblem(err)
	if !known {
		s.logUnknown(c, err)
	}
	if p.Status == http.StatusConflict && c.target != (grant.Ref{}) {
		s.addStory(c, p)
	}
	p.write(c.w, c.id)
}

// logUnknown logs an error whose text is not for callers.
func (s *server) logUnknown(c *call, err error) {
	s.log.LogAttrs(c.r.Context(), slog.LevelError, "api: request failed",
		attrRequest(c.id), attrRoute(c.r), attrError(cause(err)))
}

// cause is what lies behind the engine's words for callers.
func cause(err error) error {
	var ee *evergrant.Error
	if errors.As(err, &ee) && ee.Err != nil {
		return ee.Err
	}
	return err
}

// addStory tells which connection a conflict is about, who reaches what, and
// where the merchant can repair it.
func (s *server) addStory(c *call, p *problem) {
	ctx := c.r.Context()
	conn, err := s.c.Manager.Connection(ctx, c.target)
	if err != nil {
		return
	}
	p.Connection = conn.ID
	switch p.Code {
	case codeNotCovered:
		p.Locations = s.uncovered(ctx, conn, c.location)
	case codeReauthorize, codeNever:
		if c.key.Can(scopeLinks) {
			p.ReauthorizeURL = s.reauth.url(ctx, conn)
		}
	}
}
