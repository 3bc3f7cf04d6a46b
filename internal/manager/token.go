package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/refresh"
)

const (
	// defaultMinValid is how long a token must still be good for when the caller
	// does not say: enough for a call. Of a token that is known to live for less
	// than shortLife, a quarter of its life is enough, and any rest of one that
	// nothing replaces before its end.
	defaultMinValid = 10 * time.Second
	shortLife       = 15 * time.Second
	// callerPatience bounds how long a caller waits for a refresh.
	callerPatience = 25 * time.Second
	// storePatience bounds how long the store is waited for where a token in hand
	// works too.
	storePatience = 500 * time.Millisecond
	// readTries bounds how often a read starts over because the connection
	// changed under it.
	readTries = 4
)

// Token implements [evergrant.Source]. Callers share the token.
func (m *Manager) Token(ctx context.Context, ref evergrant.Ref, opts *evergrant.TokenOptions) (*evergrant.Token, error) {
	r, err := grant.ParseRef(string(ref))
	if err != nil {
		return nil, invalid("token", string(ref), "%v", err)
	}
	var o evergrant.TokenOptions
	if opts != nil {
		o = *opts
	}
	h, err := m.Handout(ctx, r, o)
	if err != nil {
		return nil, err
	}
	return &h.Token, nil
}

// Handout returns a token for the connection that satisfies o: from the cache if
// one is there, after a refresh if one is needed. Callers that need the same
// refresh share it.
func (m *Manager) Handout(ctx context.Context, ref grant.Ref, o evergrant.TokenOptions) (*Handout, error) {
	return m.handout(ctx, ref, want{minValid: max(o.MinValid, 0), location: o.Location})
}

// want is what a caller needs of a token.
type want struct {
	minValid time.Duration // 0: the default, which depends on the token
	location string        // "": any
	except   string        // a grant that is not good enough, "" for none
}

func (m *Manager) handout(ctx context.Context, ref grant.Ref, w want) (*Handout, error) {
	if s := m.cache.get(ref); s != nil {
		now := m.c.Now()
		if h := s.pick(now, w); h != nil && now.Before(h.until) && m.cache.trusts(s) {
			return h.handout, nil
		}
	}
	return m.handoutSlow(ctx, ref, w)
}

// pick returns the first grant that the caller can use, those that reach most
// locations first, and whose token may be served.
func (s *snapshot) pick(now time.Time, w want) *held {
	for i := range s.grants {
		h := &s.grants[i]
		if h.suits(w) && h.serves(now, w.minValid) && !h.cred.AccessToken.IsZero() {
			return h
		}
	}
	return nil
}

// serves reports whether the token may be served to a caller that needs it for
// minValid, or for the default if that is 0.
func (h *held) serves(now time.Time, minValid time.Duration) bool {
	if minValid == 0 {
		minValid = defaultMinValid
		life := h.grant.ExpiresAt.Sub(h.grant.IssuedAt)
		switch {
		case h.grant.Version.Seq == 0: // how long adopted tokens live in all is not known
		case h.repeated():
			minValid = 0
		case life < shortLife:
			minValid = life / 4
		}
	}
	return h.grant.Serves(now, minValid)
}

// repeated reports whether the token is renewed no sooner than at its end, because
// the provider answered the last refresh with the token there was: to ask before
// the end brings the same one again. While refreshes fail, nobody knows that, nor
// while one is under way or of unknown outcome: then the grant is due when somebody
// may take the attempt over.
func (h *held) repeated() bool {
	g := h.grant
	return g.Status.State == grant.Connected && g.Failures == 0 && g.Attempt == nil && !g.DueAt.Before(stored(g.ExpiresAt))
}

// suits reports whether the caller can use this grant, if its token is good.
func (h *held) suits(w want) bool {
	return (w.location == "" || h.reaches(w.location)) && (w.except == "" || h.grant.ID != w.except)
}

func (h *held) reaches(location string) bool {
	_, there := slices.BinarySearch(h.locations, location)
	return there
}

// handoutSlow asks the store, and refreshes what has to be: the grant that serves
// the caller best, and if that cannot be done now, the next one.
func (m *Manager) handoutSlow(ctx context.Context, ref grant.Ref, w want) (*Handout, error) {
	const op = "token"
	ctx, cancel := context.WithTimeout(ctx, callerPatience)
	defer cancel()
	var (
		first  error // why the best grant could not be refreshed, the last time it was tried
		best   string
		failed = make(map[string]bool)
	)
	for tries := 0; tries < readTries; {
		s, standIn, err := m.ask(ctx, ref, w)
		if err != nil {
			return nil, m.internal(op, ref.String(), err)
		}
		if standIn != nil {
			return standIn, nil
		}
		if h := s.pick(m.c.Now(), w); h != nil {
			return h.handout, nil
		}
		h, err := m.candidate(op, ref, s, w, failed)
		if err != nil && first != nil && len(s.grants) > 0 {
			return nil, first // none is left, and why the best one failed says most
		}
		if err != nil {
			return nil, err
		}
		res, err := m.engine.Refresh(ctx, h.grant.App, h.grant.ID, h.grant.Version)
		died := errors.Is(err, refresh.ErrFailed) && !res.Grant.Status.State.Live() && res.Grant.ID != ""
		if err != nil && !died && (first == nil || best == h.grant.ID) {
			first, best = m.refreshError(op, ref, h.grant, res, err), h.grant.ID
		}
		switch others := s.others(w, failed, h); {
		case err == nil, died: // another grant may serve, or the answer is to reauthorize
			tries++
		case others:
			failed[h.grant.ID] = true
		case errors.Is(err, refresh.ErrBusy):
			tries++ // the grant has moved on since it was read
		default:
			return nil, first
		}
	}
	if first == nil {
		first = temporary(op, ref.String(), grant.AnswerLost, time.Second, "the connection keeps changing; try again")
	}
	return nil, first
}

// others reports whether another grant than h could serve the caller.
func (s *snapshot) others(w want, failed map[string]bool, h *held) bool {
	for i := range s.grants {
		o := &s.grants[i]
		if o.grant.ID != h.grant.ID && o.suits(w) && !failed[o.grant.ID] {
			return true
		}
	}
	return false
}

// ask reads the connection from the store. If that is out of reach, what was read
// before is good until it ends: that stands in, and where it surely is good it is
// not kept waiting for long.
func (m *Manager) ask(ctx context.Context, ref grant.Ref, w want) (_ *snapshot, standIn *Handout, _ error) {
	patient := ctx
	if h := m.standIn(ref, w); h != nil && m.policy(h.App).OldAccessToken != grant.RevokedNow {
		var cancel context.CancelFunc
		patient, cancel = context.WithTimeout(ctx, storePatience)
		defer cancel()
	}
	s, err := m.build(patient, ref)
	if err == nil {
		return s, nil, nil
	}
	if h := m.standIn(ref, w); h != nil {
		return nil, h, nil
	}
	return nil, nil, err
}

// standIn is what the cache has for a caller, nil if nothing.
func (m *Manager) standIn(ref grant.Ref, w want) *Handout {
	s := m.cache.get(ref)
	if s == nil {
		return nil
	}
	h := s.pick(m.c.Now(), w)
	if h == nil {
		return nil
	}
	return h.handout
}

// candidate is the grant whose refresh could satisfy the caller, or why there is
// none: healthy ones before those whose last refresh failed.
func (m *Manager) candidate(op string, ref grant.Ref, s *snapshot, w want, failed map[string]bool) (*held, error) {
	if len(s.grants) == 0 {
		return nil, unusable(op, ref.String(), s.connection.Status)
	}
	var (
		ill *held
		why error // of the first one that must not be refreshed
	)
	for i := range s.grants {
		h := &s.grants[i]
		if !h.suits(w) || failed[h.grant.ID] {
			continue
		}
		switch err := m.refreshable(op, ref, h, w.minValid); {
		case err != nil && why == nil:
			why = err
		case err != nil:
		case h.grant.Status.State != grant.Degraded:
			return h, nil
		case ill == nil:
			ill = h
		}
	}
	if ill != nil {
		return ill, nil
	}
	if why != nil {
		return nil, why
	}
	return nil, &evergrant.Error{Op: op, Ref: evergrant.Ref(ref.String()), Code: codeLocationNotCovered,
		Reason: string(grant.LocationsMissing), ActBy: evergrant.ActMerchant, Err: evergrant.ErrLocationNotCovered,
		Message: fmt.Sprintf("no live grant of the connection reaches location %q; somebody who sees it has to connect", w.location)}
}

// refreshable says why a refresh of the grant would not satisfy the caller, nil if
// it could.
func (m *Manager) refreshable(op string, ref grant.Ref, h *held, minValid time.Duration) error {
	now := m.c.Now()
	// Until the first renewal nobody knows how long this provider's tokens live:
	// adopted ones may have been old when they came.
	renewed := h.grant.Version.Seq > 0
	life := h.grant.ExpiresAt.Sub(h.grant.IssuedAt)
	if renewed && minValid > life {
		return invalid(op, ref.String(), "min_valid is %s, but this provider's tokens live only %s; ask for less", minValid, life.Round(time.Second))
	}
	age := now.Sub(h.grant.IssuedAt)
	if renewed && age >= 0 && age < grant.LeastGap {
		return temporary(op, ref.String(), "", grant.LeastGap-age, "the token was renewed a moment ago and ends already; the provider's tokens live too short")
	}
	if renewed && age < m.interval(h.grant.App) && h.serves(now, 0) {
		// Renewed a moment ago; renewing again for a caller's wish would only
		// burn refresh tokens.
		return temporary(op, ref.String(), "", m.interval(h.grant.App)-age,
			fmt.Sprintf("the token is good for another %s, less than min_valid, and was renewed %s ago", h.grant.ExpiresAt.Sub(now).Round(time.Second), age.Round(time.Second)))
	}
	return nil
}

// refreshError words a refresh that brought nothing.
func (m *Manager) refreshError(op string, ref grant.Ref, g grant.Grant, res refresh.Result, err error) error {
	reason := res.Grant.Status.Reason
	if reason == "" {
		reason = g.Status.Reason
	}
	if incident := m.engine.Incident(g.App).Reason; incident != grant.OK {
		reason = incident
	}
	if reason == grant.OK || !reason.State().Live() {
		reason = grant.ProviderUnavailable
	}
	switch {
	case errors.Is(err, refresh.ErrFailed), errors.Is(err, refresh.ErrBlocked):
		return temporary(op, ref.String(), reason, res.RetryAfter, "the token has ended and could not be renewed yet")
	case errors.Is(err, refresh.ErrBusy):
		return temporary(op, ref.String(), grant.AnswerLost, res.RetryAfter, "the answer to an earlier refresh is still awaited")
	case errors.Is(err, refresh.ErrNotBegun):
		return temporary(op, ref.String(), reason, res.RetryAfter, "the token has ended, and the provider allows only so many refreshes a minute")
	case errors.Is(err, refresh.ErrNoRoom):
		return temporary(op, ref.String(), grant.StoreUnavailable, res.RetryAfter, "the token has ended, and no answer to a refresh could be kept: the journal is full")
	case errors.Is(err, refresh.ErrStopped):
		return temporary(op, ref.String(), "", res.RetryAfter, "refreshing is stopped: this process is ending, or has not begun")
	}
	return m.internal(op, ref.String(), err)
}

// interval is the least time between two refreshes for callers' sake.
func (m *Manager) interval(app string) time.Duration { return m.policy(app).ForcedInterval() }

// policy is an app's, or the careful one if the app left the configuration.
func (m *Manager) policy(app string) grant.Policy {
	if a := m.c.Apps[app]; a != nil {
		return a.Policy
	}
	return grant.Policy{}
}
