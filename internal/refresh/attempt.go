package refresh

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/evergrant/evergrant/internal/fault"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
)

// attempt is one open attempt on its way to its outcome.
type attempt struct {
	l     *lane
	claim store.Claim
	room  *spool.Slot
	cred  grant.Credential // what is being spent
	asked time.Time        // just before the attempt was opened
	began time.Time
	// incarnation is the store's in which the attempt was opened.
	incarnation string
	// journaled is set when the answer is in the spool.
	journaled bool
	ans       oauth.Answer // as soon as it is there
	left      bool         // the slot is given back
}

// leave gives the slot back: when the attempt ends, or before, when its answer is
// in the journal. A slot is a request that may be under way and an answer that a
// crash would lose, and from then on it is neither.
func (a *attempt) leave() {
	if !a.left {
		a.left = true
		a.l.leave()
	}
}

// attempt carries an open attempt to its end: it spends the slot, the spool room
// and the flight it is given. asked is just before the attempt was opened.
func (l *lane) attempt(c store.Claim, asked time.Time, f *flight, room *spool.Slot) {
	a := &attempt{l: l, claim: c, room: room, asked: asked, began: l.e.c.Now(), incarnation: l.e.incarnation()}
	var (
		res Result
		err error
	)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: internal error", ErrFailed)
			l.e.c.Logger.Error("panic in a refresh", "grant", c.Grant.ID, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			a.rescue()
		}
		room.Release()
		a.leave()
		l.e.land(c.Grant.ID, f, res, err)
	}()
	res, err = a.carry()
}

// rescueAgain is between two tries to rescue a refresh.
const rescueAgain = 10 * time.Second

// rescue sees to it that a bug of ours does not cost the grant: what came back
// is committed as if found at a start; without an answer, the attempt stays
// open and is settled like that of a process that died.
func (a *attempt) rescue() {
	e, g := a.l.e, a.claim.Grant
	defer func() {
		if r := recover(); r != nil {
			e.c.Logger.Error("panic while rescuing a refresh; trying again", "grant", g.ID, "panic", fmt.Sprint(r))
			// Nobody takes over an attempt whose owner lives.
			e.admit(func() { pause(e.life, rescueAgain); a.rescue() })
		}
	}()
	if a.ans.Status/100 == 2 { // in the journal or not
		if done, err := e.recommitAnswer(context.WithoutCancel(e.life), g, a.ans); done && err == nil {
			a.finish()
			e.c.Changed(g)
			return
		}
	}
	v := grant.Postpone(g, grant.AnswerLost, a.l.app.Policy.ProbeAt(g))
	v.Action = grant.Hold
	a.settle(v, oauth.Result{Outcome: grant.Lost}, nil)
}

// unsent gives a claim back that will not be sent.
func (l *lane) unsent(c store.Claim, f *flight, room *spool.Slot) {
	a := &attempt{l: l, claim: c, room: room, began: l.e.c.Now()}
	a.settle(grant.Postpone(c.Grant, c.Grant.Status.Reason, c.DueAt), oauth.Result{Outcome: grant.NotSent}, nil)
	room.Release()
	l.leave()
	l.e.land(c.Grant.ID, f, Result{RetryAfter: time.Second}, ErrStopped)
}

// carry sends and deals with what comes back.
func (a *attempt) carry() (Result, error) {
	g := a.claim.Grant
	if err := fault.Point("refresh.claimed"); err != nil {
		return a.refused(oauth.Result{Outcome: grant.NotSent, Description: err.Error()})
	}
	cred, err := a.l.e.unseal(a.claim)
	if err != nil {
		return a.fail(grant.Postpone(g, grant.KeyUnavailable, a.began.Add(10*time.Second)), oauth.Result{Outcome: grant.NotSent}, err)
	}
	a.cred = cred
	if cred.RefreshToken.IsZero() {
		return a.spent(g)
	}
	ans, err := a.send()
	if err != nil {
		return a.refused(oauth.Result{Outcome: grant.NotSent, Description: err.Error()})
	}
	res := oauth.Classify(ans, a.l.app.Recipe.Errors)
	if res.Description == "" && ans.Err != nil {
		res.Description = ans.Err.Error()
	}
	switch {
	case res.Outcome == grant.Granted:
		if a.journaled {
			a.leave()
		}
		return a.granted(ans)
	case a.journaled && res.Outcome == grant.Lost:
		a.park(a.claim.Grant, ans) // half an answer is more than none
	case a.journaled:
		a.finish() // a page that is no token response, such as a captive portal's
	}
	return a.refused(res)
}

// spent deals with a grant that has nothing to renew it with.
func (a *attempt) spent(g grant.Grant) (Result, error) {
	if a.began.Before(g.ExpiresAt) {
		return a.fail(grant.Postpone(g, g.Status.Reason, g.ExpiresAt),
			oauth.Result{Outcome: grant.NotSent, Description: "there is no refresh token"}, nil)
	}
	return a.fail(grant.Verdict{Action: grant.Die, Reason: grant.DeadlinePassed},
		oauth.Result{Outcome: grant.NotSent, Description: "there is no refresh token"}, nil)
}

// remaining is how much of the attempt's time is left. Whoever takes an attempt over
// counts from its opening, so whatever it sends has to be over by then, however
// long this process stood still meanwhile.
func (a *attempt) remaining() time.Duration {
	now := a.l.e.c.Now()
	// The first stands still while a machine is suspended, the second can be set back.
	spent := max(now.Sub(a.asked), now.Round(0).Sub(a.asked.Round(0)), 0)
	return a.l.app.Policy.Timeout() - spent
}

// errLate: nothing was sent.
var errLate = errors.New("this process stood still for too long after it had decided to send")

// send sends the one request. Another client secret is tried only when the
// provider has refused the app itself, because then nothing was spent.
func (a *attempt) send() (oauth.Answer, error) {
	e, app := a.l.e, a.l.app
	ctx := context.WithoutCancel(e.life)
	ep, err := app.ResolvedFor(ctx, e.c.Sender, a.cred.Variables)
	if err != nil {
		return oauth.Answer{}, fmt.Errorf("find the token endpoint: %w", err)
	}
	if err := fault.Point("refresh.before-send"); err != nil {
		return oauth.Answer{}, err
	}
	first := a.l.workingSecret()
	for i := range max(len(app.Secrets), 1) {
		n := (first + i) % max(len(app.Secrets), 1)
		left := a.remaining()
		if left <= 0 {
			return oauth.Answer{}, errLate
		}
		a.l.pace.sent(e.c.Now())
		e.c.Metrics.Sent(app.Name)
		ans := e.c.Sender.Send(ctx, oauth.Request{
			TokenURL: ep.RefreshURL(), Client: app.Client(n), Encoding: app.Recipe.Encoding,
			Params: oauth.RefreshParams(a.cred.RefreshToken),
			Fresh:  app.Policy.Rotation.SingleUse(), Timeout: left,
		})
		a.ans = ans
		_ = fault.Point("refresh.received")
		if i+1 < len(app.Secrets) && oauth.Classify(ans, app.Recipe.Errors).Outcome == grant.Misconfigured {
			continue // it brought nothing, and the room in the journal is for the one that may
		}
		if ans.Status >= 200 && ans.Status < 300 && len(ans.Body) > 0 {
			if err := a.journal(ans); err != nil {
				// Room was reserved, so this is a failing disk. The answer is still in
				// memory and goes straight to the store.
				e.c.Logger.Error("an answer could not be journaled", "grant", a.claim.Grant.ID, "err", err)
			}
		}
		a.l.remember(n)
		return ans, nil
	}
	panic("unreachable: the last secret's answer is returned")
}

func (a *attempt) journal(ans oauth.Answer) error {
	g := a.claim.Grant
	err := a.room.Write(spool.Entry{
		Kind: spool.Refresh, AttemptID: g.Attempt.ID, GrantID: g.ID, App: a.l.app.Name, Of: g.Attempt.Of,
		SentAt: ans.SentAt, Status: ans.Status, Type: ans.ContentType, Cut: !ans.Complete, Body: ans.Body,
	})
	a.journaled = err == nil
	return err
}

// workingSecret is the index of the client secret that worked last.
func (l *lane) workingSecret() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.secret
}

func (l *lane) remember(n int) {
	l.mu.Lock()
	l.secret = n
	l.mu.Unlock()
}

// granted commits the credentials of an answer.
func (a *attempt) granted(ans oauth.Answer) (Result, error) {
	e, g := a.l.e, a.claim.Grant
	tok, err := oauth.ParseToken(ans)
	if err != nil {
		// Tokens we cannot use, and a refresh token that is gone: keep the answer
		// and treat it like one that never came.
		a.park(g, ans)
		return a.refused(oauth.Result{Outcome: grant.Lost, Description: err.Error()})
	}
	r, cred, err := e.renewal(a.l.app.Policy, g, a.cred, tok, ans.SentAt)
	if err != nil {
		return Result{RetryAfter: time.Second}, err // the spool has it; recovery commits it
	}
	r.Events = []grant.Event{{
		Type: grant.GrantRefreshed, Connection: g.ConnectionID, Grant: g.ID, App: g.App, Reason: grant.OK,
		Data: map[string]any{
			"duration_ms": ans.ReceivedAt.Sub(ans.SentAt).Milliseconds(), "attempt": g.Attempt.ID,
			"epoch": g.Version.Epoch, "seq": g.Version.Seq + 1, "fingerprint": cred.AccessToken.Fingerprint(),
		},
	}}
	next := g
	next.Version, next.Scope, next.IssuedAt, next.Attempt = r.Of.Next(), r.Scope, r.IssuedAt, nil
	next.ExpiresAt, next.DeadlineAt, next.DueAt = r.Times.ExpiresAt, r.Times.DeadlineAt, r.Times.DueAt
	next.Failures, next.Refusals, next.RefusedAt = 0, 0, time.Time{}
	next.Status = g.Status.Become(grant.OK, e.c.Now(), time.Time{})

	degraded, err := a.commit(renewed{r, next, cred, tok, ans})
	if errors.Is(err, store.ErrStale) {
		return Result{RetryAfter: time.Second}, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if err != nil {
		return Result{RetryAfter: time.Second}, err
	}
	a.learn(oauth.Result{Outcome: grant.Granted})
	a.observe(tok, grant.Verdict{Action: grant.Commit})
	e.c.Metrics.Refreshed(g.App, "ok", string(grant.OK), e.c.Now().Sub(a.began))
	e.tellScope(a.l.app, g, r.Scope)
	return Result{Grant: next, Credential: cred, Degraded: degraded}, nil
}

// renewal builds what a token response makes of a grant.
func (e *Engine) renewal(p grant.Policy, g grant.Grant, old grant.Credential, tok oauth.Token, sentAt time.Time) (store.Renewal, grant.Credential, error) {
	cred := grant.Credential{
		AccessToken: tok.AccessToken, RefreshToken: tok.RefreshToken, TokenType: tok.Type,
		Scope: tok.Scope, Variables: old.Variables,
	}
	if cred.RefreshToken.IsZero() {
		cred.RefreshToken = old.RefreshToken // RFC 6749 section 6: none came, so the old one stays
	}
	if cred.Scope == "" {
		cred.Scope = g.Scope // section 5.1: unchanged
	}
	l := grant.Lifetimes{
		AskedAt: sentAt, AccessLife: tok.ExpiresIn, Ended: tok.Ended, Hint: oauth.JWTLife(tok.AccessToken, sentAt),
		Before: g.Life(), RefreshLife: tok.RefreshExpiresIn, HasRefresh: !cred.RefreshToken.IsZero(), ConsentAt: g.ConsentAt,
	}
	if tok.AccessToken == old.AccessToken {
		l.Repeated = g.ExpiresAt
	}
	times := p.Schedule(g.ID, l)
	cred.ExpiresAt = times.ExpiresAt
	plain, err := cred.Plaintext()
	if err != nil {
		return store.Renewal{}, cred, fmt.Errorf("encode credentials: %w", err)
	}
	to := g.Version.Next()
	sealed, err := e.c.Ring.Seal(seal.Slot{Table: seal.Credentials, Row: g.ID, Epoch: to.Epoch, Seq: to.Seq}, plain)
	if err != nil {
		return store.Renewal{}, cred, err
	}
	return store.Renewal{
		GrantID: g.ID, AttemptID: g.Attempt.ID, Of: g.Version, Sealed: sealed,
		Scope: cred.Scope, IssuedAt: sentAt, Times: times,
	}, cred, nil
}

func (e *Engine) unseal(c store.Claim) (grant.Credential, error) {
	v := c.Grant.Version
	plain, err := e.c.Ring.Open(seal.Slot{Table: seal.Credentials, Row: c.Grant.ID, Epoch: v.Epoch, Seq: v.Seq}, c.Sealed)
	if err != nil {
		return grant.Credential{}, err
	}
	return grant.ParseCredential(plain)
}
