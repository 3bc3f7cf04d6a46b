package refresh

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/fault"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

// commitPatience is how long a commit may fail before its token is handed out
// from the spool.
const commitPatience = 250 * time.Millisecond

// renewed is a successful answer with everything made from it.
type renewed struct {
	store.Renewal
	next grant.Grant
	cred grant.Credential
	tok  oauth.Token
	ans  oauth.Answer
}

// commit makes a renewal current and publishes it. If the store cannot be
// written, the answer is made durable in the spool, handed out as degraded, and
// committed in the background for as long as it takes; a process that ends
// before that leaves it to its successor. In a store that others share nothing is
// handed out before its commit. ErrStale means that consent or a disconnect came
// between: the answer is parked.
func (a *attempt) commit(r renewed) (degraded bool, err error) {
	e := a.l.e
	ctx := context.WithoutCancel(e.life)
	err = e.save(ctx, r.Renewal)
	for started, n := e.c.Now(), 0; err != nil && !errors.Is(err, store.ErrStale) && e.c.Now().Sub(started) < commitPatience; n++ {
		pause(e.life, 20*time.Millisecond<<min(n, 4))
		if e.life.Err() != nil {
			break
		}
		err = e.save(ctx, r.Renewal)
	}
	switch {
	case err == nil:
		a.finish()
		e.c.Renewed(r.next, r.cred, false)
		return false, nil
	case errors.Is(err, store.ErrStale) && a.commitAnew(ctx, r):
		a.finish()
		e.c.Changed(r.next)
		return false, nil
	case errors.Is(err, store.ErrStale):
		a.superseded(r)
		return false, err
	}
	if serr := a.flush(ctx); serr != nil {
		// Nothing durable holds the answer for sure, so nobody may use it yet.
		e.admit(func() { a.commitLater(r) })
		return false, errors.Join(err, serr)
	}
	if e.shared() {
		// Others may take this process for dead and ask again. Where using what came
		// retires what it replaces, they would be refused, and the grant lost.
		e.admit(func() { a.commitLater(r) })
		return false, err
	}
	e.c.Logger.Error("the store cannot be written; a new token is served from the journal", "grant", r.next.ID, "err", err)
	e.c.Renewed(r.next, r.cred, true)
	e.admit(func() { a.commitLater(r) })
	return true, nil
}

// flush makes the spooled answer survive the loss of power.
func (a *attempt) flush(ctx context.Context) error {
	if !a.journaled {
		return errors.New("the answer is not in the spool")
	}
	return a.room.Sync(ctx)
}

// commitLater commits an answer that is in memory, and most likely in the spool,
// until it succeeds or the engine stops.
func (a *attempt) commitLater(r renewed) {
	e := a.l.e
	var err error
	if !e.insist(func(ctx context.Context) error { err = e.save(ctx, r.Renewal); return err }) {
		return
	}
	if errors.Is(err, store.ErrStale) {
		if a.commitAnew(context.WithoutCancel(e.life), r) {
			a.finish()
		} else {
			a.superseded(r)
		}
		e.c.Changed(r.next)
		return
	}
	a.finish()
	e.c.Renewed(r.next, r.cred, false)
}

// insist tries until try succeeds or finds the attempt superseded, and reports
// whether it did. When the engine stops, it tries once more and gives up.
func (e *Engine) insist(try func(context.Context) error) bool {
	for n := 0; ; n++ {
		pause(e.life, grant.Backoff(n, e.spread()))
		err := try(context.WithoutCancel(e.life))
		switch {
		case err == nil || errors.Is(err, store.ErrStale):
			return true
		case e.life.Err() != nil:
			return false
		}
	}
}

// save makes a renewal current in the store. Saving it again changes nothing.
func (e *Engine) save(ctx context.Context, r store.Renewal) error {
	if err := fault.Point("refresh.before-commit"); err != nil {
		return err
	}
	if err := e.c.Store.Commit(ctx, r); err != nil {
		return err
	}
	return fault.Point("refresh.committed")
}

// finish marks the spooled answer as committed.
func (a *attempt) finish() {
	if !a.journaled {
		return
	}
	if err := a.room.Done(); err != nil {
		a.l.e.c.Logger.Warn("a committed answer could not be marked; it will be recognised at the next start", "err", err)
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// park keeps an answer that cannot become current.
func (a *attempt) park(g grant.Grant, ans oauth.Answer) {
	e := a.l.e
	if err := e.park(context.WithoutCancel(e.life), g.ID, g.Attempt.ID, g.Attempt.Of, ans); err != nil {
		e.c.Logger.Error("an answer could not be parked; it stays in the spool", "grant", g.ID, "err", err)
		return
	}
	a.finish()
}

func (e *Engine) park(ctx context.Context, grantID, attemptID string, of grant.Version, ans oauth.Answer) error {
	sealed, err := e.sealAnswer(attemptID, of, ans)
	if err != nil {
		return err
	}
	if err := fault.Point("refresh.before-park"); err != nil {
		return err
	}
	if err := e.c.Store.Park(ctx, store.Orphan{AttemptID: attemptID, GrantID: grantID, Of: of, Sealed: sealed, ParkedAt: e.c.Now()}); err != nil {
		return err
	}
	return fault.Point("refresh.parked")
}

func orphanSlot(attemptID string, of grant.Version) seal.Slot {
	return seal.Slot{Table: seal.Orphans, Row: attemptID, Epoch: of.Epoch, Seq: of.Seq}
}

// superseded deals with an answer that came too late to become current.
func (a *attempt) superseded(r renewed) {
	a.park(a.claim.Grant, r.ans)
	a.revokeIfDisconnected(r.tok)
}

// revokeIfDisconnected revokes the tokens of an answer that came for a grant that has been
// disconnected meanwhile.
func (a *attempt) revokeIfDisconnected(tok oauth.Token) {
	e := a.l.e
	ctx := context.WithoutCancel(e.life)
	g, err := e.c.Store.Grant(ctx, a.claim.Grant.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) || err == nil && g.Status.State != grant.Disconnected {
		return
	}
	ep, err := a.l.app.ResolvedFor(ctx, e.c.Sender, a.cred.Variables)
	if err != nil || ep.Revoke == "" {
		return
	}
	last, hint := tok.RefreshToken, "refresh_token"
	if last.IsZero() {
		last, hint = tok.AccessToken, "access_token"
	}
	if err := e.c.Sender.Revoke(ctx, ep.Revoke, a.l.app.Client(a.l.workingSecret()), last, hint); err != nil {
		e.c.Logger.Warn("tokens that came after a disconnect could not be revoked", "grant", a.claim.Grant.ID, "err", err)
	}
}

// tellScope records that a refresh brought another scope than the grant had, or,
// where nobody knew which it had, one that lacks what the app requires.
func (e *Engine) tellScope(app *provider.App, g grant.Grant, scope string) {
	missing := app.MissingScopes(scope)
	if sameScope(g.Scope, scope) || g.Scope == "" && len(missing) == 0 {
		return
	}
	ev := grant.Event{Type: grant.ConnectionScopeChanged, Connection: g.ConnectionID, Grant: g.ID, App: g.App,
		Data: map[string]any{"scope": scope, "was": g.Scope, "missing": missing}}
	if len(missing) > 0 {
		ev.Reason = grant.ScopeMissing
	}
	_, err := e.c.Store.UpdateConnection(context.WithoutCancel(e.life), g.ConnectionID, func(c *grant.Connection) error {
		c.Flags = grant.SetFlag(slices.Clone(c.Flags), grant.ScopeMissing, len(missing) > 0)
		return nil
	}, ev)
	if err != nil {
		e.c.Logger.Error("a changed scope could not be recorded", "connection", g.ConnectionID, "err", err)
	}
}

// sameScope compares lists of scopes, whose order means nothing (RFC 6749 section
// 3.3).
func sameScope(a, b string) bool {
	if a == b {
		return true
	}
	// Some providers separate them by commas.
	fields := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' })
	}
	x, y := fields(a), fields(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}
