package manager

import (
	"context"
	"errors"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/provider"
)

// warnLocationDisputed tells a caller that by what the provider says the token
// reaches the location whose API said otherwise, and that there is no other.
const warnLocationDisputed = "location_disputed"

// RejectLocation takes in that the provider's API said of the token with this
// fingerprint that it does not reach a location. What its grant reaches is read
// again, at most once per interval, and the answer is a token of a grant that
// does reach the location. If the provider lists the location for this grant all
// the same, and there is no other, it is this one with a warning; nothing is
// refreshed, because another token of the grant would reach no more.
func (m *Manager) RejectLocation(ctx context.Context, ref grant.Ref, fingerprint, location string) (*Handout, error) {
	const op = "reject"
	if fingerprint == "" || location == "" {
		return nil, invalid(op, ref.String(), "fingerprint and location are both needed to say that a token does not reach a location")
	}
	ctx, cancel := context.WithTimeout(ctx, callerPatience)
	defer cancel()
	s, err := m.load(ctx, ref)
	if err != nil {
		return nil, m.internal(op, ref.String(), err)
	}
	w := want{location: location}
	h := s.bearer(fingerprint)
	if h == nil || !h.reaches(location) {
		return m.handout(ctx, ref, w)
	}
	if m.reread(ctx, h.grant) {
		if s, err = m.build(ctx, ref); err != nil {
			return nil, m.internal(op, ref.String(), err)
		}
		if now := s.bearer(fingerprint); now == nil || !now.reaches(location) {
			return m.handout(ctx, ref, w)
		}
	}
	w.except = h.grant.ID
	if s.others(w, nil, h) {
		if other, err := m.handout(ctx, ref, w); err == nil {
			return other, nil
		}
	}
	return m.still(op, ref, s, h, warnLocationDisputed)
}

// reread reads again what a grant reaches because somebody doubts it, and reports
// whether that was done now.
func (m *Manager) reread(ctx context.Context, g grant.Grant) bool {
	app := m.c.Apps[g.App]
	if app == nil || app.Recipe.Discover == nil {
		return false
	}
	if ok, _ := m.doubted.allow(g.ID, m.c.Now(), max(m.interval(g.App), time.Second)); !ok {
		return false
	}
	err := m.readGrant(ctx, app, g.ID, false)
	if err != nil && !errors.Is(err, provider.ErrNoDiscovery) {
		m.c.Logger.WarnContext(ctx, "locations that are doubted could not be read", "grant", g.ID, "err", err)
	}
	return err == nil
}
