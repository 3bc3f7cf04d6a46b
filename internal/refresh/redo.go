package refresh

import (
	"context"
	"errors"
	"fmt"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/spool"
	"github.com/evergrant/evergrant/internal/store"
)

// lookBack is how many of the journal's newest answers must be in the store for
// it to count as complete. A store that lost commits lost the newest ones.
const lookBack = 32

// redo brings a store that was restored from a backup, or lost commits with its
// disk, up to what the journal still knows: the newest answer of each grant is
// committed over the older version. The refresh tokens of the store are spent,
// and sending one may end its grant, so this comes before anything is sent.
// Doing it again changes nothing.
//
// It reports whether the store is behind the journal, and the grants that the
// journal knows to be current now: all it knows of if the store is behind or
// thorough is set, and nothing of use otherwise.
func (e *Engine) redo(ctx context.Context, thorough bool) (behind bool, current map[string]bool, err error) {
	seen := make(map[string]bool) // grants whose newest answer was looked at, and whether it is current
	var redone, failed int
	for entry, done := range e.c.Spool.Kept() {
		if !behind && !thorough && len(seen) == lookBack {
			return false, nil, nil
		}
		app := e.c.Apps[entry.App]
		if _, again := seen[entry.GrantID]; entry.Kind != spool.Refresh || app == nil || again {
			continue
		}
		ans := answerOf(entry)
		tok, err := oauth.ParseToken(ans)
		if err != nil || oauth.Classify(ans, app.Recipe.Errors).Outcome != grant.Granted {
			continue // it was never committed
		}
		g, err := e.lost(ctx, entry, done)
		if err != nil {
			return behind, nil, fmt.Errorf("attempt %s: %w", entry.AttemptID, err)
		}
		seen[entry.GrantID] = true
		if g.ID == "" {
			continue
		}
		behind = true
		switch did, err := e.redoEntry(ctx, g, tok, ans); {
		case err != nil:
			return behind, nil, fmt.Errorf("attempt %s: %w", entry.AttemptID, err)
		case did:
			redone++
		default:
			seen[entry.GrantID] = false
			failed++
			continue
		}
		if err := e.c.Spool.Done(entry.AttemptID); err != nil {
			return behind, nil, fmt.Errorf("attempt %s: %w", entry.AttemptID, err)
		}
	}
	if behind {
		e.c.Logger.Error("the database is older than the journal: it was restored from a backup, or lost commits; "+
			"what the journal still holds was committed again",
			"redone", redone, "failed", failed)
		if err := e.replay(ctx); err != nil {
			return behind, nil, err
		}
		e.c.Spool.Forget()
	}
	return behind, seen, nil
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

// redoEntry commits an answer as the version after the store's, and reports
// whether it is current now.
func (e *Engine) redoEntry(ctx context.Context, g grant.Grant, tok oauth.Token, ans oauth.Answer) (bool, error) {
	app := e.c.Apps[g.App]
	if app == nil || !g.Status.State.Live() {
		return false, nil
	}
	now, sealed, err := e.c.Store.Credentials(ctx, g.ID)
	if err != nil {
		return false, err
	}
	cred, err := e.unseal(store.Claim{Grant: now, Sealed: sealed})
	if err != nil {
		return false, err
	}
	if cred.AccessToken == tok.AccessToken {
		return true, nil // by a start that was cut off
	}
	if g.Attempt == nil {
		c, err := e.c.Store.ClaimOne(ctx, store.ClaimRequest{App: g.App, Owner: e.owner, Limit: 1, Barrier: app.Policy.Barrier()}, g.ID, g.Version)
		if errors.Is(err, store.ErrStale) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		g = c.Grant
	}
	return e.recommit(ctx, g, ans)
}
