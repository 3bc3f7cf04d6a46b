package connect

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

// callback is where the provider sends the browser back to (RFC 6749 section
// 4.1.2). Whatever comes of it, the browser is sent on to the link's own pages,
// which takes the code out of its address bar.
func (s *Service) callback(r *http.Request) answer {
	app, ok := s.c.Apps[r.PathValue("app")]
	if !ok {
		return s.nowhere(r)
	}
	nobody := visit{words: s.language(r, "")}
	if robot(r) {
		// Nobody arrives by HEAD or by reading ahead; the state is not theirs to use up.
		return s.problemPage(nobody, grant.ProblemLostSession)
	}
	params, err := oauth.ParseCallback(r.URL.Query())
	if err != nil || params.State.IsZero() {
		return s.problemPage(nobody, grant.ProblemLostSession)
	}
	browser, ok := s.browser(r)
	if !ok {
		return s.problemPage(nobody, grant.ProblemLostSession)
	}
	// From here on nothing ends because the browser leaves: the code is spent once.
	ctx := context.WithoutCancel(r.Context())
	a, err := s.c.Store.UseAuthorization(ctx, hash(params.State), hash(browser))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.problemPage(nobody, grant.ProblemLostSession)
	case err != nil:
		return s.problemPage(nobody, s.storeProblem(ctx, err))
	}
	t, err := s.openTrip(a)
	if err != nil {
		s.c.Logger.ErrorContext(ctx, "an authorization cannot be opened", "authorization", a.ID, "err", err)
		return s.problemPage(nobody, grant.ProblemOurFault)
	}
	reply := s.arrived(ctx, r, a, t, app.RedirectURI, params)
	reply.lang = t.Lang
	return reply
}

// arrived is the callback of a browser that we sent to the provider.
func (s *Service) arrived(ctx context.Context, r *http.Request, a grant.Authorization, t trip, redirectURI string, params oauth.CallbackParams) answer {
	v := visit{token: t.Token, words: s.speaks(r, t.Lang, "")}
	var err error
	if v.link, err = s.c.Store.Link(ctx, a.LinkID); err != nil {
		return s.problemPage(v, s.storeProblem(ctx, err))
	}
	v.words = s.speaks(r, t.Lang, v.link.Locale)
	v, p := s.complete(ctx, v)
	switch {
	case v.link.State == grant.LinkStateCompleted:
		return s.finishedAt(v, "")
	case !a.UsedAt.IsZero():
		return s.follow(r.Context(), v, a.ID)
	case p == grant.ProblemLinkExpired:
		p = "" // it was good when the merchant set out
	}
	if p == "" {
		p = s.arrival(ctx, v, a, t, r, redirectURI, params)
	}
	if p == "" {
		v, t, p = s.aim(ctx, v, t, params)
	}
	if p == "" {
		p = s.exchange(ctx, v, a, t, params.Code)
	} else {
		s.finish(ctx, v, a, p)
	}
	return s.finishedAt(v, p)
}

// arrival judges everything about a callback but its code.
func (s *Service) arrival(ctx context.Context, v visit, a grant.Authorization, t trip, r *http.Request, redirectURI string, params oauth.CallbackParams) grant.Problem {
	log := s.c.Logger.With("app", v.app.Name, "link", v.link.ID, "authorization", a.ID)
	// Each app has a redirect URI of its own, so an answer that arrives at
	// another app's is another server's (RFC 9700 section 4.4).
	if a.RedirectURI != redirectURI || redirectURI != v.app.RedirectURI {
		log.WarnContext(ctx, "a callback came to another address than the authorization was made for")
		return grant.ProblemLostSession
	}
	if !s.c.Now().Before(a.ExpiresAt) {
		return grant.ProblemLostSession
	}
	ep, err := s.endpoints(ctx, v.app)
	if err != nil {
		log.WarnContext(ctx, "the provider cannot be asked for its endpoints", "err", err)
		return grant.ProblemProviderUnavailable
	}
	if ep.Token != t.TokenURL || ep.Issuer != a.Issuer {
		log.WarnContext(ctx, "the app's endpoints changed while a merchant was at the provider")
		return grant.ProblemLostSession
	}
	if err := oauth.CheckIssuer(r.URL.Query(), a.Issuer, ep.IssRequired); err != nil {
		// Most likely another server's answer (RFC 9700 section 4.4).
		log.ErrorContext(ctx, "a callback was refused; if every one is, the app's issuer is not the provider's", "err", err)
		return grant.ProblemLostSession
	}
	if params.Error != "" {
		log.WarnContext(ctx, "the provider sent a merchant back with an error", "code", params.Error, "description", params.ErrorDescription)
	}
	if v.app.Recipe.IsOurs(params.Error, params.ErrorDescription) {
		return grant.ProblemOurSetup
	}
	return redirectProblem(params.Error)
}

// aim fills in the variables of the token endpoint from the callback's query. The
// state was good, but the browser can have changed everything else: a value is
// taken only if it cannot lead to another host than the provider's.
func (s *Service) aim(ctx context.Context, v visit, t trip, params oauth.CallbackParams) (visit, trip, grant.Problem) {
	vars, err := v.app.Variables(params.Extra)
	if err == nil {
		var ep provider.Endpoints
		ep, err = provider.Endpoints{Token: t.TokenURL}.With(vars)
		v.variables, t.TokenURL = vars, ep.Token
	}
	if err != nil {
		s.c.Logger.WarnContext(ctx, "a callback was refused; its code was sent nowhere", "app", v.app.Name, "link", v.link.ID, "err", err)
		return v, t, grant.ProblemLostSession
	}
	return v, t, ""
}

// redirectProblem is what an error code on the redirect means (RFC 6749 section
// 4.1.2.1, OpenID Connect Core section 3.1.2.6).
func redirectProblem(code string) grant.Problem {
	switch code {
	case "":
		return ""
	case "access_denied", "consent_required", "interaction_required":
		return grant.ProblemDeclined
	case "login_required", "account_selection_required":
		return grant.ProblemLostSession
	case "invalid_scope", "invalid_request", "unauthorized_client", "unsupported_response_type",
		"invalid_client", "invalid_request_object", "invalid_request_uri", "registration_not_supported":
		return grant.ProblemOurSetup
	}
	return grant.ProblemProviderUnavailable
}

// follow waits for the request that came first with the same state and shows
// what that came to: a double tap or the back button is not an error.
func (s *Service) follow(ctx context.Context, v visit, authorizationID string) answer {
	ctx, cancel := context.WithTimeout(ctx, s.patience.follow)
	defer cancel()
	tick := time.NewTicker(s.patience.poll)
	defer tick.Stop()
	for {
		a, err := s.c.Store.Authorization(ctx, authorizationID)
		switch {
		case err == nil && a.Finished:
			return s.finishedAt(v, a.Problem)
		case errors.Is(err, store.ErrNotFound):
			return s.problemPage(v, grant.ProblemLinkUnknown)
		}
		select {
		case <-ctx.Done():
			// The first request died half-way, or is very slow. Trying again is safe:
			// it is another trip.
			return s.problemPage(v, grant.ProblemLostSession)
		case <-tick.C:
		}
	}
}

// finishedAt sends the browser to the page of what an authorization came to.
func (s *Service) finishedAt(v visit, p grant.Problem) answer {
	switch p {
	case "":
		return goTo(s.linkURL(v.token.Reveal(), "done"))
	case grant.ProblemOurFault, grant.ProblemLinkRevoked, grant.ProblemLinkUnknown:
		// Not the link's to keep: it may not be writable, or not there.
		reply := s.problemPage(v, p)
		// In another language it is shown without the code in the address.
		reply.here = s.linkURL(v.token.Reveal(), "")
		return reply
	}
	return goTo(s.linkURL(v.token.Reveal(), "problem"))
}

// finish records the problem an authorization ended with.
func (s *Service) finish(ctx context.Context, v visit, a grant.Authorization, p grant.Problem) {
	e := linkEvent(grant.LinkFailed, v.link, v.conn)
	e.Data["problem"], e.Data["authorization"] = string(p), a.ID
	e.Data["duration_ms"] = s.c.Now().Sub(a.CreatedAt).Milliseconds()
	switch p {
	case grant.ProblemDeclined:
		e.Reason = grant.MerchantDeclined
	case grant.ProblemProviderUnavailable:
		e.Reason = grant.ProviderUnavailable
	case grant.ProblemOurSetup:
		e.Reason = grant.AppCredentialsRejected
	case grant.ProblemOurFault:
		e.Reason = grant.StoreUnavailable
	}
	err := s.c.Store.FinishAuthorization(ctx, a.ID, p, e)
	switch {
	case err == nil:
		s.c.LinkState(v.link.App, string(grant.LinkStateFailed))
	case errors.Is(err, store.ErrStale), errors.Is(err, store.ErrNotFound):
	default:
		s.c.Logger.ErrorContext(ctx, "the end of an authorization could not be recorded",
			"authorization", a.ID, "problem", string(p), "err", err)
	}
}
