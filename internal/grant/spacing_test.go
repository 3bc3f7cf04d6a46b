package grant_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
)

// A provider that allows so many refreshes of a grant in a minute gets no more of
// them in any minute, whatever it answers and whatever an operator configures.
func TestRefreshesPerMinuteAreNeverExceeded(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	outcomes := []grant.Outcome{grant.Granted, grant.Refused, grant.Misconfigured, grant.Throttled, grant.Unclear, grant.Lost}
	rapid.Check(t, func(t *rapid.T) {
		p := grant.Policy{
			Rotation: drawRotation(t), RefreshPerMinute: rapid.IntRange(1, 60).Draw(t, "per minute"),
			MinInterval:   time.Duration(rapid.IntRange(0, 90).Draw(t, "min interval")) * time.Second,
			RefreshWindow: time.Duration(rapid.IntRange(0, 60).Draw(t, "window")) * time.Second,
		}
		g := grant.Grant{ID: "grant_1", ExpiresAt: start.Add(time.Hour), Status: grant.StatusOf(grant.OK, start)}
		var sends []time.Time
		for now := start; len(sends) < 3*p.RefreshPerMinute; {
			sends = append(sends, now)
			g.Attempt = &grant.Attempt{Kind: rapid.SampledFrom([]grant.AttemptKind{grant.FirstSend, grant.Resend}).Draw(t, "kind"), OpenedAt: now}
			o := rapid.SampledFrom(outcomes).Draw(t, "outcome")
			v := p.Judge(g, grant.Facts{Outcome: o, Now: now, Spread: rapid.Float64Range(0, 0.999).Draw(t, "spread")})
			switch v.Action {
			case grant.Die:
				g.Refusals = 0
				now = now.Add(p.ForcedInterval()) // its user has come back and somebody demands a refresh
			case grant.Commit:
				life := time.Duration(rapid.IntRange(0, 60).Draw(t, "life")) * time.Second
				g.Refusals = 0
				now = p.Schedule(g.ID, grant.Lifetimes{AskedAt: now, AccessLife: life, HasRefresh: true, ConsentAt: start}).DueAt
			default:
				g.Refusals, g.RefusedAt = v.Refusals, v.RefusedAt
				now = v.Next
			}
		}
		for i := p.RefreshPerMinute; i < len(sends); i++ {
			if d := sends[i].Sub(sends[i-p.RefreshPerMinute]); d < time.Minute-time.Duration(p.RefreshPerMinute) { // division rounds down
				t.Fatalf("%d sends within %s, the provider allows %d in a minute", p.RefreshPerMinute+1, d, p.RefreshPerMinute)
			}
		}
	})
}

// The older R-Series server answers a refresh of a token that lives with the same
// token and the time it has left. That must not be answered with the next refresh
// at once.
func TestATokenThatComesBackWithTheTimeItHasLeftIsNotRenewedInALoop(t *testing.T) {
	t.Parallel()
	p := grant.Policy{Rotation: grant.RetireOnUse, RefreshPerMinute: 5, RefreshWindow: 30 * time.Second}
	issued := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	ends := issued.Add(30 * time.Minute)
	sends := 0
	for now := p.Schedule("grant_1", grant.Lifetimes{AskedAt: issued, AccessLife: 30 * time.Minute, HasRefresh: true}).DueAt; now.Before(ends); sends++ {
		now = p.Schedule("grant_1", grant.Lifetimes{AskedAt: now, AccessLife: ends.Sub(now), HasRefresh: true}).DueAt
	}
	if sends < 1 || sends > 3 {
		t.Errorf("%d refreshes before the token ended, want 1 to 3", sends)
	}
}

func TestHowLongAGrantIsLeftAlone(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	renewed := func(ago time.Duration) grant.Grant {
		return grant.Grant{Version: grant.Version{Epoch: 1, Seq: 1}, IssuedAt: now.Add(-ago), DueAt: now.Add(3 * time.Second)}
	}
	failed := func(due time.Duration) grant.Grant {
		return grant.Grant{Failures: 1, IssuedAt: now, DueAt: now.Add(due)}
	}
	for name, tt := range map[string]struct {
		perMinute int
		g         grant.Grant
		want      time.Duration
	}{
		"the provider states no limit":                        {0, renewed(time.Second), 0},
		"it was renewed just now":                             {5, renewed(0), 12 * time.Second},
		"it was renewed a while ago":                          {5, renewed(5 * time.Second), 7 * time.Second},
		"it was renewed long ago":                             {5, renewed(12 * time.Second), 0},
		"it was never renewed: adopting it was no request":    {5, grant.Grant{IssuedAt: now, DueAt: now.Add(3 * time.Second)}, 0},
		"the last request failed":                             {5, failed(3 * time.Second), 3 * time.Second},
		"what is farther away than that is so for other ends": {5, failed(13 * time.Second), 0},
		"the clock was set back":                              {5, renewed(-time.Second), 0},
	} {
		if got := (grant.Policy{RefreshPerMinute: tt.perMinute}).Rest(tt.g, now); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
