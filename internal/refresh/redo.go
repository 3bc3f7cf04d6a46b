package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
)

// lookBack is how many of the journal's newest answers must be in the store for
// it to count as complete. A store that lost commits lost the newest ones.
const lookBack = 32

// redo brings a store that was restored from a backup, or lost commits with its
// disk, up to what the spool and the mirror still know: the newest tokens of each
// grant are committed over the older version. The refresh tokens of the store are
// spent, and sending one may end its grant, so this comes before anything is
// sent. Doing it again changes nothing.
//
// Before it changes anything it has the spool remember that it was here: what is
// in doubt afterwards, and has not been told yet, is in doubt at the next start.
//
// It reports whether the store is behind, and which grants are known to be
// current now: all that are known of if the store is behind or thorough is set,
// and too few otherwise.
func (e *Engine) redo(ctx context.Context, thorough bool) (behind bool, current map[string]bool, err error) {
	r := redoing{Engine: e, thorough: thorough, newest: make(map[string]grant.Version), current: make(map[string]bool)}
	if err := r.fromSpool(ctx); err != nil {
		return r.behind, nil, err
	}
	if e.c.Mirror != nil {
		if err := r.fromMirror(ctx); err != nil {
			return r.behind, nil, err
		}
	}
	if r.behind {
		e.c.Logger.Error("the database is older than the journal: it was restored from a backup, or lost commits; "+
			"what the journal still holds was committed again",
			"redone", r.redone, "failed", r.failed)
		if err := e.replay(ctx); err != nil {
			return r.behind, nil, err
		}
	}
	return r.behind, r.current, nil
}

// restoring is what the spool says the store's last run was while the store is
// being redone: none, so that whoever comes next looks at all of it.
const restoring = "restoring"

// redoing is what redo has found so far.
type redoing struct {
	*Engine
	thorough, behind bool
	// running is set in a process that goes on: the answers it has not committed
	// yet, because the store was out of reach, are redone with the others.
	running        bool
	newest         map[string]grant.Version // what the spool's newest answer of a grant became, as counted then
	current        map[string]bool
	redone, failed int
}

// fromSpool redoes the answers that earlier processes committed.
func (r *redoing) fromSpool(ctx context.Context) error {
	for entry, done := range r.c.Spool.Kept() {
		if !r.behind && !r.thorough && len(r.newest) == lookBack {
			return nil
		}
		if _, again := r.newest[entry.GrantID]; entry.Kind != spool.Refresh || again {
			continue
		}
		ans := answerOf(entry)
		tok, err := oauth.ParseToken(ans)
		if err != nil || oauth.Classify(ans, r.errorsOf(entry.App)).Outcome != grant.Granted {
			continue // it was never committed
		}
		g, err := r.lost(ctx, entry, done || r.running)
		if err != nil {
			return fmt.Errorf("attempt %s: %w", entry.AttemptID, err)
		}
		r.newest[entry.GrantID] = entry.Of.Next()
		if g.ID == "" {
			r.current[entry.GrantID] = true
			continue
		}
		if older(ans.SentAt, g) {
			continue
		}
		if err := r.again(ctx, g, tok, ans.SentAt); err != nil {
			return fmt.Errorf("attempt %s: %w", entry.AttemptID, err)
		}
		if !r.current[g.ID] {
			continue
		}
		if err := r.c.Spool.Done(entry.AttemptID); err != nil {
			return fmt.Errorf("attempt %s: %w", entry.AttemptID, err)
		}
	}
	return nil
}

// older reports whether tokens that were asked for at the given time, and have a
// higher version than the store's, are older all the same: they are from before
// a restoration since which versions count anew. Such a grant is not known to be
// current either.
func older(asked time.Time, g grant.Grant) bool { return !asked.IsZero() && asked.Before(g.IssuedAt) }

// errorsOf is how an app's token endpoint words its refusals, as far as that is
// configured.
func (e *Engine) errorsOf(app string) oauth.Errors {
	if a := e.c.Apps[app]; a != nil {
		return a.Recipe.Errors
	}
	return nil
}

// fromMirror redoes what the mirror has newer.
func (r *redoing) fromMirror(ctx context.Context) error {
	looked := 0
	for entry, err := range r.c.Mirror.NewestFirst(ctx) {
		if err != nil {
			return err
		}
		if !r.behind && !r.thorough && looked == lookBack {
			return nil
		}
		looked++
		g, err := r.c.Store.Grant(ctx, entry.GrantID)
		if errors.Is(err, store.ErrNotFound) {
			continue // deleted since, or made in the lost time
		}
		if err != nil {
			return err
		}
		known := r.newest[g.ID]
		switch {
		case entry.Version.Before(known), r.current[g.ID] && known == entry.Version:
			continue // the spool's is newer, or the same
		case !g.Version.Before(entry.Version):
			r.current[g.ID] = true
			continue
		case older(entry.IssuedAt, g):
			continue
		}
		if err := r.mirrored(ctx, g, entry); err != nil {
			return fmt.Errorf("grant %s in the mirror: %w", g.ID, err)
		}
	}
	return nil
}

// mirrored brings a grant to what the mirror has of it.
func (r *redoing) mirrored(ctx context.Context, g grant.Grant, entry store.Newest) error {
	switch {
	case entry.Ended:
		return r.ended(ctx, g)
	case !g.Status.State.Live():
		return r.revived(ctx, g, entry)
	}
	cred, err := r.unseal(store.Claim{Grant: grant.Grant{ID: g.ID, Version: entry.Version}, Sealed: entry.Sealed})
	if err != nil {
		return err
	}
	tok := oauth.Token{
		AccessToken: cred.AccessToken, RefreshToken: cred.RefreshToken, Type: cred.TokenType, Scope: entry.Scope,
		ExpiresIn: entry.ExpiresAt.Sub(entry.IssuedAt) + grant.Skew,
	}
	if !entry.DeadlineAt.IsZero() {
		tok.RefreshExpiresIn = entry.DeadlineAt.Sub(entry.IssuedAt)
	}
	return r.again(ctx, g, tok, entry.IssuedAt)
}

// ended disconnects a grant that was disconnected in the lost time.
func (r *redoing) ended(ctx context.Context, g grant.Grant) error {
	if g.Status.State == grant.Disconnected {
		return nil
	}
	if err := r.begin(); err != nil {
		return err
	}
	r.redone++
	return r.c.Store.Disconnect(ctx, g.ID, g.Version, grant.DisconnectedByUs, grant.Event{
		Type: grant.ConnectionDisconnected, Connection: g.ConnectionID, Grant: g.ID, App: g.App,
		Reason: grant.DisconnectedByUs, Data: map[string]any{"recovered": "mirror"}})
}

// revived brings a grant back that is dead in the store and that its user has
// approved again in the lost time. It is due at once.
func (r *redoing) revived(ctx context.Context, g grant.Grant, entry store.Newest) error {
	if entry.Version.Epoch <= g.Version.Epoch {
		return nil // no other approval, but the one that has died
	}
	if err := r.begin(); err != nil {
		return err
	}
	now := r.c.Now()
	g.Version, g.Scope, g.Attempt = entry.Version, entry.Scope, nil
	g.IssuedAt, g.ExpiresAt, g.DeadlineAt = entry.IssuedAt, entry.ExpiresAt, entry.DeadlineAt
	g.ConsentAt, g.DueAt = entry.IssuedAt, now // no later than that
	g.Failures, g.Refusals, g.RefusedAt = 0, 0, time.Time{}
	g.Status = g.Status.Become(grant.OK, now, time.Time{})
	about := grant.Event{Connection: g.ConnectionID, Grant: g.ID, App: g.App, Reason: grant.OK}
	issued, reconnected := about, about
	issued.Type, issued.Data = grant.GrantIssued, map[string]any{"source": "mirror", "epoch": g.Version.Epoch, "scope": g.Scope}
	reconnected.Type, reconnected.Data = grant.ConnectionReconnected, map[string]any{"recovered": "mirror"}
	r.redone++
	r.current[g.ID] = true
	return r.c.Store.Install(ctx, store.Installation{Grant: g, Sealed: entry.Sealed, Events: []grant.Event{issued, reconnected}})
}

// begin notes that the store is behind, before anything is changed in it.
func (r *redoing) begin() error {
	if r.behind {
		return nil
	}
	r.behind = true
	return r.c.Spool.SetRuns(restoring)
}

// again commits tokens over an older version of their grant.
func (r *redoing) again(ctx context.Context, g grant.Grant, tok oauth.Token, sentAt time.Time) error {
	if err := r.begin(); err != nil {
		return err
	}
	did, err := r.redoOne(ctx, g.ID, tok, sentAt)
	if errors.Is(err, errOutdone) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.current[g.ID] = did; did {
		r.redone++
	} else {
		r.failed++
	}
	return nil
}

// lost returns the grant as the store has it if the store has lost the commit of
// the entry, and the zero grant otherwise.
func (e *Engine) lost(ctx context.Context, entry spool.Entry, done bool) (grant.Grant, error) {
	g, err := e.c.Store.Grant(ctx, entry.GrantID)
	if errors.Is(err, store.ErrNotFound) {
		return grant.Grant{}, nil // deleted since, or made in the lost time
	}
	if err != nil {
		return grant.Grant{}, err
	}
	// An entry that is not done may be one whose commit never came; then the
	// store is at the version it spent.
	if entry.Of.Before(g.Version) || !done && entry.Of == g.Version {
		return grant.Grant{}, nil
	}
	parked, err := e.c.Store.Orphans(ctx, g.ID)
	if err != nil {
		return grant.Grant{}, err
	}
	for _, o := range parked {
		if o.AttemptID == entry.AttemptID {
			return grant.Grant{}, nil // done by parking it
		}
	}
	return g, nil
}

// redoTries bounds how often a grant is redone while other replicas, who redo
// theirs at the same time, get in the way.
const redoTries = 50

// errOutdone: another replica has redone what came later.
var errOutdone = errors.New("the store has newer tokens")

// redoOne commits tokens as the version after the store's, and reports whether
// they are current now. Where others redo the same grant, the attempt it commits
// under may be theirs, and both believe that it was their tokens that the commit
// made current: so it looks what they are.
func (e *Engine) redoOne(ctx context.Context, grantID string, tok oauth.Token, sentAt time.Time) (bool, error) {
	for range redoTries {
		g, sealed, err := e.c.Store.Credentials(ctx, grantID)
		if err != nil {
			return false, err
		}
		if !g.Status.State.Live() {
			return false, nil
		}
		cred, err := e.unseal(store.Claim{Grant: g, Sealed: sealed})
		if err != nil {
			return false, err
		}
		switch {
		case cred.AccessToken == tok.AccessToken:
			return true, nil // perhaps by a start that was cut off
		case older(sentAt, g):
			return false, errOutdone
		}
		if err := e.redoOnce(ctx, g, tok, sentAt); err != nil {
			return false, err
		}
	}
	return false, nil
}

// redoOnce is a try of redoOne for a grant as it was read. That others got in the
// way is no error.
func (e *Engine) redoOnce(ctx context.Context, g grant.Grant, tok oauth.Token, sentAt time.Time) error {
	if g.Attempt == nil {
		c, err := e.c.Store.ClaimOne(ctx, store.ClaimRequest{App: g.App, Owner: e.owner, Limit: 1, Barrier: e.policy(g.App).Barrier(), Redo: true}, g.ID, g.Version)
		if errors.Is(err, store.ErrStale) {
			pause(ctx, 10*time.Millisecond)
			return nil
		}
		if err != nil {
			return err
		}
		g = c.Grant
	}
	_, err := e.recommit(ctx, g, tok, sentAt)
	return err
}
