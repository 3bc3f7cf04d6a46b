package manager

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/refresh"
)

// warnRejectedRecently tells a caller that its rejection came too soon after the
// last one to be acted on.
const warnRejectedRecently = "rejected_recently"

// refreshedRecently is the reason a demanded refresh was not made.
const refreshedRecently grant.Reason = "refreshed_recently"

// forced remembers when each grant was last refreshed by demand, so that an API
// that always answers 401 cannot burn refresh tokens. Only forced refreshes
// count.
type forced struct {
	mu   sync.Mutex
	last map[string]time.Time // by grant id; entries older than any interval go
}

// allow reports whether the grant may be refreshed by demand at now, and if not,
// how long to wait. Allowing it counts.
func (f *forced) allow(grantID string, now time.Time, interval time.Duration) (bool, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, ok := f.last[grantID]; ok {
		if wait := at.Add(interval).Sub(now); wait > 0 && wait <= interval {
			return false, wait
		}
	}
	if len(f.last) >= 1024 {
		for id, at := range f.last {
			if now.Sub(at) > time.Hour {
				delete(f.last, id)
			}
		}
	}
	f.last[grantID] = now
	return true, 0
}

// undo takes back that a refresh was allowed: nothing was sent.
func (f *forced) undo(grantID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.last, grantID)
}

// Reject implements [evergrant.Source].
func (m *Manager) Reject(ctx context.Context, ref evergrant.Ref, fingerprint string) (*evergrant.Token, error) {
	r, err := grant.ParseRef(string(ref))
	if err != nil {
		return nil, invalid("reject", string(ref), "%v", err)
	}
	h, err := m.RejectHandout(ctx, r, fingerprint)
	if err != nil {
		return nil, err
	}
	return &h.Token, nil
}

// RejectHandout takes in that the provider's API refused the token with this
// fingerprint. If it is no longer current, the current one is the answer. If it
// is, it is refreshed once for all who say so, at most once per interval, unless
// a refresh brought it less than [grant.LeastGap] ago: then the provider's API
// most likely does not know it yet, and would not know another sooner.
func (m *Manager) RejectHandout(ctx context.Context, ref grant.Ref, fingerprint string) (*Handout, error) {
	const op = "reject"
	if fingerprint == "" {
		return nil, invalid(op, ref.String(), "fingerprint is empty; send the one that came with the token")
	}
	ctx, cancel := context.WithTimeout(ctx, callerPatience)
	defer cancel()
	s, err := m.load(ctx, ref)
	if err != nil {
		return nil, m.internal(op, ref.String(), err)
	}
	h := s.bearer(fingerprint)
	if h == nil {
		return m.Handout(ctx, ref, evergrant.TokenOptions{})
	}
	if age := m.c.Now().Sub(h.grant.IssuedAt); h.grant.Version.Seq > 0 && age >= 0 && age < grant.LeastGap {
		return m.still(op, ref, s, h, warnRejectedRecently)
	}

	res, _, err := m.force(ctx, h.grant)
	switch {
	case errors.Is(err, refresh.ErrNotBegun):
		// One may have ended since the snapshot was taken.
		now, err := m.load(ctx, ref)
		return m.successor(ctx, op, ref, h, now, err, warnRejectedRecently)
	case err == nil, errors.Is(err, refresh.ErrBusy):
		now, err := m.build(ctx, ref)
		return m.successor(ctx, op, ref, h, now, err, string(grant.AnswerLost))
	case errors.Is(err, refresh.ErrFailed) && res.Grant.ID != "" && !res.Grant.Status.State.Live():
		return m.Handout(ctx, ref, evergrant.TokenOptions{})
	}
	reason := failure(res.Grant)
	if reason == "" || reason == grant.OK {
		reason = grant.ProviderUnavailable
	}
	if incident := m.engine.Incident(h.grant.App).Reason; incident != grant.OK {
		reason = incident
	}
	if errors.Is(err, refresh.ErrNoRoom) {
		reason = grant.StoreUnavailable
	}
	return m.still(op, ref, s, h, string(reason))
}

// bearer returns the grant whose current token has the fingerprint, or nil.
func (s *snapshot) bearer(fingerprint string) *held {
	for i := range s.grants {
		if s.grants[i].cred.AccessToken.Fingerprint() == fingerprint {
			return &s.grants[i]
		}
	}
	return nil
}

// force refreshes a grant by demand: it joins a refresh that is under way, and
// begins one at most once per interval, and no sooner than the provider allows.
// Before that the error is ErrNotBegun, and wait is how long it lasts.
func (m *Manager) force(ctx context.Context, g grant.Grant) (res refresh.Result, wait time.Duration, err error) {
	res, err = m.engine.RefreshIf(ctx, g.App, g.ID, g.Version, func() (ok bool) {
		if wait = m.policy(g.App).Rest(g, m.c.Now()); wait > 0 {
			return false
		}
		ok, wait = m.forced.allow(g.ID, m.c.Now(), m.interval(g.App))
		return ok
	})
	if errors.Is(err, refresh.ErrBlocked) || errors.Is(err, refresh.ErrNoRoom) {
		m.forced.undo(g.ID)
	}
	return res, max(wait, res.RetryAfter), err
}

// successor answers a rejection of h with what is current now, as far as now
// could be read, or, if that is h still, with a warning.
func (m *Manager) successor(ctx context.Context, op string, ref grant.Ref, h *held, now *snapshot, err error, warning string) (*Handout, error) {
	if err != nil {
		return m.Handout(ctx, ref, evergrant.TokenOptions{})
	}
	for i := range now.grants {
		if n := &now.grants[i]; n.grant.ID == h.grant.ID && n.cred.AccessToken != h.cred.AccessToken {
			return n.handout, nil
		}
	}
	return m.still(op, ref, now, h, warning)
}

// failure is why a refresh brought nothing: the grant's reason, or the refusal
// that is not yet proof of its death and so has not changed its status.
func failure(g grant.Grant) grant.Reason {
	if g.Status.Reason == grant.OK && g.Refusals > 0 {
		return grant.RefreshRejected
	}
	return g.Status.Reason
}

// still answers with the current token and a warning, or, if that has ended,
// with the error.
func (m *Manager) still(op string, ref grant.Ref, s *snapshot, h *held, warning string) (*Handout, error) {
	if !h.serves(m.c.Now(), 0) {
		return nil, temporary(op, ref.String(), h.grant.Status.Reason, 2*time.Second, "the token has ended and could not be renewed yet")
	}
	return &Handout{Token: h.handout.Token, Key: s.connection.Key, App: s.connection.App, State: s.connection.Status.State, IssuedAt: h.grant.IssuedAt,
		Warnings: append([]string{warning}, slices.DeleteFunc(slices.Clone(h.handout.Warnings), func(w string) bool { return w == warning })...)}, nil
}

// Refresh forces a refresh of every live grant of the connection and waits for
// it. A grant refreshed by demand less than the interval ago is left alone.
func (m *Manager) Refresh(ctx context.Context, ref grant.Ref) ([]RefreshResult, error) {
	const op = "refresh"
	c, err := m.c.Store.Connection(ctx, ref)
	if err != nil {
		return nil, m.internal(op, ref.String(), err)
	}
	grants, err := m.c.Store.Grants(ctx, c.ID)
	if err != nil {
		return nil, m.internal(op, ref.String(), err)
	}
	var (
		out  []RefreshResult
		wait sync.WaitGroup
	)
	for _, g := range grants {
		if g.Status.State.Live() {
			out = append(out, RefreshResult{GrantID: g.ID, Reason: g.Status.Reason})
		}
	}
	if len(out) == 0 {
		return nil, unusable(op, ref.String(), c.Status)
	}
	for i := range out {
		wait.Go(func() { m.refreshOne(ctx, &out[i], grants) })
	}
	wait.Wait()
	return out, nil
}

func (m *Manager) refreshOne(ctx context.Context, out *RefreshResult, grants []grant.Grant) {
	for _, g := range grants {
		if g.ID != out.GrantID {
			continue
		}
		res, wait, err := m.force(ctx, g)
		if errors.Is(err, refresh.ErrNotBegun) {
			out.RetryAfter, out.Reason = wait, refreshedRecently
			return
		}
		out.Refreshed = err == nil
		out.RetryAfter = res.RetryAfter
		if res.Grant.ID != "" {
			out.Reason = failure(res.Grant)
		}
		if incident := m.engine.Incident(g.App).Reason; incident != grant.OK {
			out.Reason = incident
		}
		if errors.Is(err, refresh.ErrNoRoom) {
			out.Reason = grant.StoreUnavailable
		}
	}
}
