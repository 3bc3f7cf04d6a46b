package manager

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/store"
)

// buildTries bounds how often a snapshot that was overtaken by a change is built
// again before it is answered as it is.
const buildTries = 3

// load returns the connection's snapshot from the cache, or builds it.
func (m *Manager) load(ctx context.Context, ref grant.Ref) (*snapshot, error) {
	if s := m.cache.get(ref); s != nil && m.cache.trusts(s) {
		return s, nil
	}
	return m.build(ctx, ref)
}

// build reads a connection's snapshot from the store into the cache. Callers at
// the same time share the reading.
func (m *Manager) build(ctx context.Context, ref grant.Ref) (*snapshot, error) {
	ch := m.building.DoChan(ref.String(), func() (any, error) {
		return m.buildOnce(context.WithoutCancel(ctx), ref)
	})
	select {
	case r := <-ch:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*snapshot), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *Manager) buildOnce(ctx context.Context, ref grant.Ref) (*snapshot, error) {
	for try := 1; ; try++ {
		asOf, after := m.cache.doubts.Load(), m.cache.changes.Load()
		c, holdings, err := m.c.Store.Holdings(ctx, ref)
		if err != nil {
			return nil, err
		}
		s, err := m.snapshot(c, holdings)
		if err != nil {
			return nil, err
		}
		if s.asOf = asOf; slices.ContainsFunc(s.grants, func(h held) bool { return h.ahead }) {
			s.asOf = never
		}
		if m.cache.keep(s, after) || try == buildTries {
			return s, nil
		}
		// Something changed while it was read.
	}
}

// snapshot makes one of what was read.
func (m *Manager) snapshot(c grant.Connection, holdings []store.Holding) (*snapshot, error) {
	old := m.cache.get(grant.Ref{ID: c.ID})
	s := &snapshot{connection: c}
	for _, is := range holdings {
		h, degraded, err := m.hold(is, old)
		if err != nil {
			return nil, err
		}
		h.locations = is.Locations
		s.grants = append(s.grants, h)
		s.degraded = s.degraded || degraded
	}
	slices.SortStableFunc(s.grants, func(a, b held) int { return cmp.Compare(len(b.locations), len(a.locations)) })
	s.connection.Status = m.overlay(c.App, c.Status)
	s.finish(m.c.Now())
	for i := range s.grants {
		g, h := s.grants[i].grant, s.grants[i].handout
		h.State = m.overlay(c.App, s.connection.Status).State
		if shown := m.overlay(c.App, g.Status); shown.Reason != g.Status.Reason {
			h.Warnings = append(h.Warnings, string(shown.Reason)) // the app's refreshes fail, this grant's next one too
		}
	}
	return s, nil
}

// hold opens a grant's current credentials. old is what was known of its connection
// before, or nil. degraded is set if they are the
// journal's, because the store cannot take them yet.
func (m *Manager) hold(is store.Holding, old *snapshot) (h held, degraded bool, err error) {
	g := is.Grant
	cred, err := m.open(g, is.Sealed)
	if err != nil {
		return held{}, false, err
	}
	g, cred, degraded = m.cache.newest(g, cred)
	if was, ok := old.newer(g, m.c.Now()); ok {
		return was, degraded, nil
	}
	g = old.anchored(g)
	h = held{grant: g, cred: cred}
	if app := m.c.Apps[g.App]; app != nil {
		// Without the connection's variables nobody knows where its API lives.
		if ep, err := app.Endpoints.With(cred.Variables); err == nil {
			h.baseURL = ep.API
		}
	}
	h.until = m.cacheUntil(g)
	return h, degraded, nil
}

// newer returns a grant as it was handed out before, if the store is behind that
// and its token is good: the store went back, and is about to be brought up to
// date. Once it is, its versions count on from where it went back to, so that the
// same credentials have a lower one.
func (s *snapshot) newer(g grant.Grant, now time.Time) (held, bool) {
	if s == nil {
		return held{}, false
	}
	for _, h := range s.grants {
		if h.grant.ID == g.ID && h.grant.Version.Epoch == g.Version.Epoch && !h.grant.Version.Before(g.Version) &&
			stored(h.grant.IssuedAt).After(g.IssuedAt) && h.serves(now, 0) {
			h.locations, h.ahead = nil, true // locations are read again
			return h, true
		}
	}
	return held{}, false
}

// stored is a time as a store gives it back: without a monotonic reading, to the
// microsecond.
func stored(t time.Time) time.Time { return t.Truncate(time.Microsecond) }

// anchored gives a grant as the store has it the times it has in s, if both are
// of one version: of credentials this process obtained itself they have a
// monotonic reading, so that setting the clock back does not prolong them.
func (s *snapshot) anchored(g grant.Grant) grant.Grant {
	if s == nil {
		return g
	}
	for _, h := range s.grants {
		if h.grant.ID == g.ID && h.grant.Version == g.Version && stored(h.grant.IssuedAt).Equal(g.IssuedAt) {
			g.IssuedAt, g.ExpiresAt = h.grant.IssuedAt, h.grant.ExpiresAt
		}
	}
	return g
}

// cacheUntil is how long reads of a grant need not ask the store: until its
// renewal may begin.
func (m *Manager) cacheUntil(g grant.Grant) time.Time {
	until := m.policy(g.App).WindowStart(g.IssuedAt, g.ExpiresAt)
	if !g.DueAt.IsZero() && g.DueAt.Before(until) {
		return g.DueAt // kept alive before its token ends
	}
	return until
}

func (m *Manager) open(g grant.Grant, sealed []byte) (grant.Credential, error) {
	plain, err := m.c.Ring.Open(seal.Slot{Table: seal.Credentials, Row: g.ID, Epoch: g.Version.Epoch, Seq: g.Version.Seq}, sealed)
	if err != nil {
		return grant.Credential{}, err
	}
	return grant.ParseCredential(plain)
}
