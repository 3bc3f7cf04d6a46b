package connect

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

// visit is one look at a link. Of a link that is not known only the token is
// set.
type visit struct {
	token secret.String
	words *words // nil: English
	link  grant.Link
	conn  grant.Connection
	app   *provider.App
	// variables are those of the provider's endpoints, as the callback named them;
	// nil before that.
	variables map[string]string
}

// find looks a link up by the token in the path. The problem is "" for a link
// that can be used and for one that has been.
func (s *Service) find(r *http.Request) (visit, grant.Problem) {
	var v visit
	var ok bool
	v.words = s.language(r, "")
	if v.token, ok = parseToken(r.PathValue("token")); !ok {
		return v, grant.ProblemLinkUnknown
	}
	ctx := r.Context()
	var err error
	if v.link, err = s.c.Store.LinkByToken(ctx, hash(v.token)); err != nil {
		return v, s.storeProblem(ctx, err)
	}
	v.words = s.language(r, v.link.Locale)
	return s.complete(ctx, v)
}

// complete reads what belongs to the visit's link and judges it.
func (s *Service) complete(ctx context.Context, v visit) (visit, grant.Problem) {
	var err error
	if v.conn, err = s.c.Store.Connection(ctx, grant.Ref{ID: v.link.ConnectionID}); err != nil {
		return v, s.storeProblem(ctx, err)
	}
	var ok bool
	if v.app, ok = s.c.Apps[v.link.App]; !ok {
		s.c.Logger.ErrorContext(ctx, "a link is for an app that is not configured", "link", v.link.ID, "app", v.link.App)
		return v, grant.ProblemOurSetup
	}
	switch v.link.StateAt(s.c.Now()) {
	case grant.LinkStateRevoked:
		return v, grant.ProblemLinkRevoked
	case grant.LinkStateExpired:
		return v, grant.ProblemLinkExpired
	}
	return v, ""
}

// storeProblem is what an error of the store means to a merchant.
func (s *Service) storeProblem(ctx context.Context, err error) grant.Problem {
	if errors.Is(err, store.ErrNotFound) {
		return grant.ProblemLinkUnknown
	}
	s.c.Logger.ErrorContext(ctx, "a merchant's request met a failing store", "err", err)
	return grant.ProblemOurFault
}

// endpointsFor bounds how long a page waits for a provider's metadata.
const endpointsFor = 5 * time.Second

// endpoints returns where to send the merchant.
func (s *Service) endpoints(ctx context.Context, app *provider.App) (provider.Endpoints, error) {
	ctx, cancel := context.WithTimeout(ctx, endpointsFor)
	defer cancel()
	return app.Resolved(ctx, s.c.Sender)
}

// landing is a link's first page. It changes nothing but "opened", so that mail
// scanners cannot use the link up.
func (s *Service) landing(r *http.Request) answer {
	v, p := s.find(r)
	if p != "" {
		return s.problemPage(v, p)
	}
	if v.link.State == grant.LinkStateCompleted {
		return s.alreadyPage(v)
	}
	ep, err := s.endpoints(r.Context(), v.app)
	if err != nil {
		s.c.Logger.WarnContext(r.Context(), "a merchant cannot be sent to the provider", "app", v.app.Name, "err", err)
		return s.problemPage(v, grant.ProblemProviderUnavailable)
	}
	if !robot(r) {
		s.opened(r.Context(), v)
		if !v.link.Landing {
			return s.depart(r, v, ep)
		}
	}
	a := s.landingPage(v, ep, s.missing(r.Context(), v.link, v.conn))
	a.formAction = origin(ep.Authorize)
	return a
}

// errUnchanged leaves a link as it is.
var errUnchanged = errors.New("unchanged")

// opened records that somebody has seen the link, once. A failure costs a
// statistic and is not the merchant's concern.
func (s *Service) opened(ctx context.Context, v visit) {
	_, err := s.c.Store.UpdateLink(ctx, v.link.ID, func(l *grant.Link) error {
		if l.State != grant.LinkStateCreated {
			return errUnchanged
		}
		l.State = grant.LinkStateOpened
		return nil
	}, linkEvent(grant.LinkOpened, v.link, v.conn))
	switch {
	case err == nil:
		s.c.LinkState(v.link.App, string(grant.LinkStateOpened))
	case errors.Is(err, errUnchanged), errors.Is(err, store.ErrStale):
	default:
		s.c.Logger.WarnContext(ctx, "an opened link could not be recorded", "link", v.link.ID, "err", err)
	}
}

// done says that the connection stands.
func (s *Service) done(r *http.Request) answer {
	v, p := s.find(r)
	if p != "" {
		return s.problemPage(v, p)
	}
	if v.link.State != grant.LinkStateCompleted {
		return goTo(s.linkURL(v.token.Reveal(), ""))
	}
	// The connection stands whether or not its locations can be named.
	reached, grants := s.coverage(r.Context(), v.conn)
	return s.donePage(v, grants, reached)
}

// problem says why the last try failed.
func (s *Service) problem(r *http.Request) answer {
	v, p := s.find(r)
	switch {
	case p != "":
		return s.problemPage(v, p)
	case v.link.State == grant.LinkStateCompleted:
		return goTo(s.linkURL(v.token.Reveal(), "done"))
	case v.link.State != grant.LinkStateFailed || v.link.Problem == "":
		return goTo(s.linkURL(v.token.Reveal(), ""))
	}
	return s.problemPage(v, v.link.Problem)
}

// askHelp asks the developer for a new link. Asking again is not told again, and
// looking at the thanks again, in another language perhaps, asks for nothing.
func (s *Service) askHelp(r *http.Request) answer {
	v, p := s.find(r)
	switch {
	case p != grant.ProblemLinkExpired, r.Method != http.MethodPost && v.link.Problem != grant.ProblemLinkExpired:
		return goTo(s.linkURL(r.PathValue("token"), ""))
	case r.Method != http.MethodPost:
		return s.helpPage(v)
	}
	_, err := s.c.Store.UpdateLink(r.Context(), v.link.ID, func(l *grant.Link) error {
		if l.Problem == grant.ProblemLinkExpired {
			return errUnchanged
		}
		l.Problem = grant.ProblemLinkExpired
		return nil
	}, linkEvent(grant.LinkHelpRequested, v.link, v.conn))
	if err != nil && !errors.Is(err, errUnchanged) {
		return s.problemPage(v, s.storeProblem(r.Context(), err))
	}
	return s.helpPage(v)
}
