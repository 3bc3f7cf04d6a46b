package connect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/fault"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/issue"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
)

// exchange turns a code into a stored grant and returns the problem it met, ""
// for none. The authorization is finished when it returns, unless the store is
// down.
func (s *Service) exchange(ctx context.Context, v visit, a grant.Authorization, t trip, code secret.String) grant.Problem {
	log := s.c.Logger.With("app", v.app.Name, "link", v.link.ID, "authorization", a.ID)
	slot, err := s.c.Spool.Reserve()
	if err != nil {
		log.ErrorContext(ctx, "no code is exchanged while its answer could not be kept", "err", err)
		s.finish(ctx, v, a, grant.ProblemOurFault)
		return grant.ProblemOurFault
	}
	defer slot.Release()

	_ = fault.Point("connect.before-send")
	ans, res := s.send(ctx, v, t, a.RedirectURI, code)
	_ = fault.Point("connect.received")
	if ans.Status/100 != 2 { // no tokens in it
		p, _ := s.settle(ctx, v, a, ans, res)
		return p
	}
	entry := spool.Entry{
		Kind: spool.Exchange, AttemptID: a.ID, App: v.app.Name,
		SentAt: ans.SentAt, Status: ans.Status, Type: ans.ContentType, Cut: !ans.Complete, Body: ans.Body,
	}
	// Kept before it is understood. A disk that fails now costs the safety net,
	// not the answer, which is still in hand.
	if err := keep(ctx, slot, entry); err != nil {
		log.ErrorContext(ctx, "the answer to a code exchange is not in the spool", "err", err)
	}
	_ = fault.Point("connect.spooled")
	p, err := s.settle(ctx, v, a, ans, res)
	_ = fault.Point("connect.issued")
	if err != nil {
		log.ErrorContext(ctx, "tokens just issued are not stored yet; they wait in the spool", "err", err)
		s.storeLater(entry, slot)
		return grant.ProblemOurFault
	}
	s.drop(slot, a.ID)
	return p
}

// drop removes the spool entry of what is stored.
func (s *Service) drop(slot *spool.Slot, authorizationID string) {
	if err := slot.Done(); err != nil {
		s.c.Logger.Warn("a spool entry stays though it is stored; it will be found superseded", "authorization", authorizationID, "err", err)
	}
}

// send sends the code, once: a second time only with the app's other secret and
// after the provider has refused the app itself, which spends no code.
func (s *Service) send(ctx context.Context, v visit, t trip, redirectURI string, code secret.String) (oauth.Answer, oauth.Result) {
	for i := 0; ; i++ {
		ans := s.c.Sender.Send(ctx, oauth.Request{
			TokenURL: t.TokenURL, Client: v.app.Client(i), Encoding: v.app.Recipe.Encoding,
			Params: v.app.ExchangeParams(oauth.CodeParams(code, v.app.RedirectParam(redirectURI), t.Verifier)),
			Fresh:  true, Timeout: v.app.Policy.Timeout(),
		})
		res := oauth.Classify(ans, v.app.Recipe.Errors)
		if res.Outcome == grant.Misconfigured && i+1 < len(v.app.Secrets) {
			continue
		}
		return ans, res
	}
}

func keep(ctx context.Context, slot *spool.Slot, e spool.Entry) error {
	if err := slot.Write(e); err != nil {
		return err
	}
	return slot.Sync(ctx)
}

// settle makes an answer's meaning durable: a grant, or the problem it is. An
// error means that neither could be stored yet.
func (s *Service) settle(ctx context.Context, v visit, a grant.Authorization, ans oauth.Answer, res oauth.Result) (grant.Problem, error) {
	p := outcomeProblem(res.Outcome)
	if p != "" {
		s.c.Logger.WarnContext(ctx, "a code was not exchanged", "app", v.app.Name, "authorization", a.ID,
			"outcome", res.Outcome.String(), "status", ans.Status, "code", res.Code, "description", res.Description, "err", ans.Err)
		if p == grant.ProblemOurSetup {
			s.c.AppRejected(v.app.Name)
		}
		s.finish(ctx, v, a, p)
		return p, nil
	}
	token, err := oauth.ParseToken(ans)
	if err != nil {
		s.c.Logger.ErrorContext(ctx, "an answer to a code exchange makes no sense", "app", v.app.Name, "authorization", a.ID, "err", err)
		s.finish(ctx, v, a, grant.ProblemProviderUnavailable)
		return grant.ProblemProviderUnavailable, nil
	}
	if v.variables == nil {
		// Found in the spool: the callback is gone, but the answer says for whom it
		// is, and it came from the provider.
		if v.variables, err = v.app.Variables(token.Extra); err != nil {
			return "", fmt.Errorf("whose tokens these are is not known: %w", err)
		}
	}
	issued, err := s.issue(ctx, issue.Request{
		App: v.app, Connection: v.conn, Token: token, AskedAt: ans.SentAt, Purpose: v.link.Purpose, Variables: v.variables,
		ExpectBusiness: v.link.ExpectBusiness, LinkID: v.link.ID, AuthorizationID: a.ID,
		Took: ans.ReceivedAt.Sub(ans.SentAt), Began: a.CreatedAt,
	})
	switch {
	case err == nil:
		s.c.LinkState(v.link.App, string(grant.LinkStateCompleted))
		s.place(ctx, v, issued)
		return "", nil
	case errors.Is(err, issue.ErrOtherIdentity):
		s.finish(ctx, v, a, grant.ProblemOtherIdentity)
		return grant.ProblemOtherIdentity, nil
	case errors.Is(err, issue.ErrFinished):
		return s.finished(ctx, v)
	case errors.Is(err, store.ErrNotFound): // the connection was deleted meanwhile
		return grant.ProblemLinkUnknown, nil
	}
	return "", err
}

// outcomeProblem is what an outcome means to the merchant, "" for tokens. An
// outcome that is not known is one too: the code is not sent again, and a new
// trip brings a new one.
func outcomeProblem(o grant.Outcome) grant.Problem {
	switch o {
	case grant.Granted:
		return ""
	case grant.Refused:
		return grant.ProblemCodeRejected
	case grant.Misconfigured:
		return grant.ProblemOurSetup
	}
	return grant.ProblemProviderUnavailable
}

// issue stores the tokens. A store that is down is tried again for a while: the
// merchant is waiting, and the code cannot be used again.
func (s *Service) issue(ctx context.Context, r issue.Request) (issue.Result, error) {
	const first, most = 100 * time.Millisecond, 2 * time.Second
	until := time.NewTimer(s.patience.save)
	defer until.Stop()
	for wait := first; ; wait = min(2*wait, most) {
		res, err := s.issueOnce(ctx, r)
		if !errors.Is(err, store.ErrUnavailable) {
			return res, err
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-until.C:
			again.Stop()
			return res, err
		case <-ctx.Done():
			again.Stop()
			return res, err
		}
	}
}

func (s *Service) issueOnce(ctx context.Context, r issue.Request) (issue.Result, error) {
	if err := fault.Point("connect.before-issue"); err != nil {
		return issue.Result{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return s.c.Issuer.Issue(ctx, r)
}

// finished says what a link came to that somebody else finished.
func (s *Service) finished(ctx context.Context, v visit) (grant.Problem, error) {
	l, err := s.c.Store.Link(ctx, v.link.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return grant.ProblemLinkUnknown, nil
	case err != nil:
		return "", fmt.Errorf("read link: %w", err)
	case l.State == grant.LinkStateRevoked:
		return grant.ProblemLinkRevoked, nil
	}
	return "", nil
}

// place stores the locations that were given by hand with the link, where the
// provider has no call that lists them, beside those that were given before.
func (s *Service) place(ctx context.Context, v visit, issued issue.Result) {
	if len(v.link.Locations) == 0 || !issued.Unlisted {
		return
	}
	seen, err := s.c.Store.Locations(ctx, v.conn.ID)
	ls := slices.DeleteFunc(seen, func(l grant.Location) bool {
		return l.GrantID != issued.Grant.ID || l.Lost() || l.LostBy != nil || slices.Contains(v.link.Locations, l.ID)
	})
	for _, id := range v.link.Locations {
		ls = append(ls, grant.Location{GrantID: issued.Grant.ID, ID: id, SeenAt: s.c.Now()})
	}
	if err == nil {
		err = s.c.Store.SetLocations(ctx, issued.Grant.ID, ls)
	}
	if err != nil {
		s.c.Logger.ErrorContext(ctx, "the locations of a link could not be stored; set them by hand", "link", v.link.ID, "err", err)
	}
}
