package grant_test

import (
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

func TestADeadlineIsFixedIfNoRenewalMovesIt(t *testing.T) {
	t.Parallel()
	consent := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		absolute time.Duration
		g        grant.Grant
		want     bool
	}{
		"there is none":                                    {30 * day, grant.Grant{ConsentAt: consent}, false},
		"consent was given until then":                     {30 * day, grant.Grant{ConsentAt: consent, DeadlineAt: consent.Add(30 * day)}, true},
		"it is a second short of that":                     {30 * day, grant.Grant{ConsentAt: consent, DeadlineAt: consent.Add(30*day - time.Second)}, true},
		"it is sooner than that, which idleness explains":  {30 * day, grant.Grant{ConsentAt: consent, DeadlineAt: consent.Add(30*day - 2*time.Second)}, false},
		"consent has no end":                               {0, grant.Grant{ConsentAt: consent, DeadlineAt: consent.Add(30 * day)}, false},
		"nobody knows when consent was given":              {30 * day, grant.Grant{DeadlineAt: consent}, false},
		"the access token ends with it: nothing renews it": {0, grant.Grant{ConsentAt: consent, DeadlineAt: consent.Add(day), ExpiresAt: consent.Add(day)}, true},
	} {
		if got := (grant.Policy{RefreshAbsolute: tt.absolute}).EndsFixed(tt.g); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}

// A deadline is near from a moment on, and not before.
func TestWhenADeadlineIsNear(t *testing.T) {
	t.Parallel()
	issued := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	failing := grant.Grant{Status: grant.Status{State: grant.Degraded}, Failures: 1, IssuedAt: issued}
	healthy := grant.Grant{Status: grant.Status{State: grant.Connected}, IssuedAt: issued}
	fixed := grant.Grant{Status: grant.Status{State: grant.Connected}, IssuedAt: issued, ConsentAt: issued.Add(-28 * day)}
	for name, tt := range map[string]struct {
		p    grant.Policy
		g    grant.Grant
		life time.Duration // of the refresh token
		near time.Duration // before the deadline
	}{
		"a tenth of its life, while renewals fail": {grant.Policy{}, failing, 30 * day, 3 * day},
		"a day at least":                                 {grant.Policy{}, failing, 5 * day, day},
		"a week at most":                                 {grant.Policy{}, failing, 100 * day, 7 * day},
		"never more than half of it":                     {grant.Policy{}, failing, day, 12 * time.Hour},
		"nothing of a life that never was":               {grant.Policy{}, failing, -day, 0},
		"a quarter later, while renewals do not fail":    {grant.Policy{}, healthy, 40 * day, 3 * day},
		"a tenth of the time that consent was given for": {grant.Policy{RefreshAbsolute: 30 * day}, fixed, 2 * day, 3 * day},
	} {
		tt.g.DeadlineAt = issued.Add(tt.life)
		from := tt.g.DeadlineAt.Add(-tt.near)
		if !tt.p.DeadlineNear(tt.g, from, time.Time{}) {
			t.Errorf("%s: it is not near %s before it", name, tt.near)
		}
		if tt.p.DeadlineNear(tt.g, from.Add(-time.Second), time.Time{}) {
			t.Errorf("%s: it is near %s before it already", name, tt.near+time.Second)
		}
	}
}

func TestWhatHasNoDeadlineOrIsDeadHasNoneNear(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	live := grant.Status{State: grant.Connected}
	for name, g := range map[string]grant.Grant{
		"there is no deadline": {Status: live, Failures: 1, IssuedAt: now},
		"the grant is dead":    {Status: grant.Status{State: grant.NeedsReauthorization}, Failures: 1, IssuedAt: now.Add(-day), DeadlineAt: now},
	} {
		if (grant.Policy{}).DeadlineNear(g, now, time.Time{}) {
			t.Errorf("%s, and it is near", name)
		}
	}
}

// A process that has just begun has not renewed anything yet.
func TestAProcessThatHasJustBegunWaitsBeforeItSaysADeadlineIsNear(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		g    grant.Grant
		wait time.Duration
	}{
		"a quarter of an hour":                       {grant.Grant{IssuedAt: now.Add(-29 * day), DeadlineAt: now.Add(day)}, 15 * time.Minute},
		"a quarter of what is near, if that is less": {grant.Grant{IssuedAt: now.Add(-50 * time.Minute), DeadlineAt: now.Add(10 * time.Minute)}, 450 * time.Second},
		"not where renewals fail":                    {grant.Grant{IssuedAt: now.Add(-29 * day), DeadlineAt: now.Add(day), Failures: 1}, 0},
	} {
		tt.g.Status.State = grant.Connected
		if !(grant.Policy{}).DeadlineNear(tt.g, now, now.Add(-tt.wait)) {
			t.Errorf("%s: after %s it is not near", name, tt.wait)
		}
		if tt.wait > 0 && (grant.Policy{}).DeadlineNear(tt.g, now, now.Add(-tt.wait+time.Second)) {
			t.Errorf("%s: after %s it is near already", name, tt.wait-time.Second)
		}
	}
}
