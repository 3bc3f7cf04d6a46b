package manager

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/provider"
)

// Verdict is what asking the provider's API with a grant's token came to.
type Verdict string

// The verdicts.
const (
	VerdictWorks       Verdict = "works"       // the API answered
	VerdictRefused     Verdict = "refused"     // the API answered 401 or 403
	VerdictUnchecked   Verdict = "unchecked"   // the provider has no call to ask with
	VerdictUnavailable Verdict = "unavailable" // the API gave no usable answer, or there is no token to ask with now
)

// Verified is what was found of one grant.
type Verified struct {
	GrantID   string
	Verdict   Verdict
	Reason    grant.Reason // the grant's
	Locations int          // how many it reaches, as read now, or before if it could not be read
	CheckedAt time.Time
}

// httpStatus is an error of a recipe that an answer of the API caused.
type httpStatus interface {
	error
	HTTPStatus() int
}

// Verify asks the provider's API with the token of each live grant whether it
// works, as a program that uses it would. What the grants reach is taken in, as
// by [Manager.ReadLocations]. A connection without a live grant is an error; a
// token that is refused is none.
func (m *Manager) Verify(ctx context.Context, ref grant.Ref) ([]Verified, error) {
	const op = "verify"
	c, err := m.c.Store.Connection(ctx, ref)
	if err != nil {
		return nil, m.internal(op, ref.String(), err)
	}
	grants, err := m.c.Store.Grants(ctx, c.ID)
	if err != nil {
		return nil, m.internal(op, ref.String(), err)
	}
	var out []Verified
	for _, g := range grants {
		if g.Status.State.Live() {
			out = append(out, Verified{GrantID: g.ID, Reason: m.overlay(c.App, g.Status).Reason, Verdict: VerdictUnchecked})
		}
	}
	if len(out) == 0 {
		return nil, unusable(op, ref.String(), c.Status)
	}
	if app := m.c.Apps[c.App]; app != nil && app.Recipe.Discover != nil {
		var work errgroup.Group
		work.SetLimit(discoverAtOnce)
		for i := range out {
			work.Go(func() error {
				out[i].Verdict = m.verifyGrant(ctx, app, out[i].GrantID)
				return nil
			})
		}
		_ = work.Wait() // nothing returns an error
	}
	seen, err := m.c.Store.Locations(ctx, c.ID)
	if err != nil {
		return nil, m.internal(op, ref.String(), err)
	}
	now := m.c.Now()
	for i := range out {
		out[i].CheckedAt = now
		for _, l := range seen {
			if l.GrantID == out[i].GrantID && !l.Lost() {
				out[i].Locations++
			}
		}
	}
	return out, nil
}

// verifyGrant asks with one grant's token.
func (m *Manager) verifyGrant(ctx context.Context, app *provider.App, grantID string) Verdict {
	err := m.readGrant(ctx, app, grantID, true)
	var answered httpStatus
	switch {
	case err == nil:
		return VerdictWorks
	case errors.Is(err, provider.ErrNoDiscovery):
		return VerdictUnchecked
	case errors.As(err, &answered):
		if s := answered.HTTPStatus(); s == http.StatusUnauthorized || s == http.StatusForbidden {
			return VerdictRefused
		}
	}
	m.c.Logger.WarnContext(ctx, "a token could not be verified", "grant", grantID, "err", err)
	return VerdictUnavailable
}
