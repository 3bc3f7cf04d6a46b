package grant_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
)

// rotations lists every policy, from the kindest to the harshest.
var rotations = []grant.Rotation{
	grant.Static, grant.Lenient, grant.Grace, grant.RetireOnUse, grant.Strict, grant.FamilyKill, grant.Unknown,
}

func drawRotation(t *rapid.T) grant.Rotation {
	return rapid.SampledFrom(append(rotations, "")).Draw(t, "rotation")
}

func TestRotationPolicies(t *testing.T) {
	t.Parallel()
	resendable := map[grant.Rotation]bool{grant.Static: true, grant.Lenient: true, grant.Grace: true, grant.RetireOnUse: true}
	for _, r := range rotations {
		if got, err := grant.ParseRotation(string(r)); err != nil || got != r {
			t.Errorf("ParseRotation(%s) = %s, %v", r, got, err)
		}
		if r.Resendable() != resendable[r] || r.SingleUse() == resendable[r] {
			t.Errorf("%s: resendable %t, single use %t", r, r.Resendable(), r.SingleUse())
		}
	}
	if zero := grant.Rotation(""); zero.Resendable() || !zero.SingleUse() {
		t.Error("an unstated policy is taken for a kind one")
	}
	for _, s := range []string{"", "Strict", "rotate", "strict "} {
		if got, err := grant.ParseRotation(s); err == nil {
			t.Errorf("ParseRotation(%q) = %s", s, got)
		}
	}
}

func TestPolicyDefaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		p        grant.Policy
		timeout  time.Duration
		forced   time.Duration
		inFlight int
	}{
		{"the zero policy is careful", grant.Policy{}, 10 * time.Second, 30 * time.Second, 8},
		{"a kind one is not", grant.Policy{Rotation: grant.Static}, 10 * time.Second, 30 * time.Second, 32},
		{"what is stated counts", grant.Policy{Rotation: grant.Strict, SendTimeout: 3 * time.Second, MinInterval: time.Minute, MaxInFlight: 100}, 3 * time.Second, time.Minute, 100},
		{"no less than the provider allows", grant.Policy{Rotation: grant.RetireOnUse, MinInterval: time.Second, RefreshPerMinute: 5}, 10 * time.Second, 12 * time.Second, 32},
		{"a long grace window changes nothing", grant.Policy{Rotation: grant.Grace, Window: time.Hour}, 10 * time.Second, 30 * time.Second, 32},
		{"a short one fits four sends", grant.Policy{Rotation: grant.Grace, Window: 20 * time.Second}, 5 * time.Second, 30 * time.Second, 32},
		{"a second is the least", grant.Policy{Rotation: grant.Grace, Window: time.Second}, time.Second, 30 * time.Second, 32},
	} {
		if tt.p.Timeout() != tt.timeout || tt.p.ForcedInterval() != tt.forced || tt.p.InFlight() != tt.inFlight {
			t.Errorf("%s: %v, %v, %d", tt.name, tt.p.Timeout(), tt.p.ForcedInterval(), tt.p.InFlight())
		}
	}
}

func TestABarrierIsNeverBeforeTheOpening(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := grant.Policy{Rotation: drawRotation(t), SendTimeout: time.Duration(rapid.Int64Range(-1, 60).Draw(t, "timeout")) * time.Second}
		left := time.Duration(rapid.Int64Range(-1e6, 1e6).Draw(t, "left")) * time.Second
		b := p.Barrier()
		at := b.At(now, now.Add(left))
		if at.Before(now.Add(b.Settle)) || b.Settle <= 0 {
			t.Fatalf("%+v opens %v after the opening", b, at.Sub(now))
		}
		if p.Rotation.SingleUse() && at.Before(now.Add(2*p.Timeout())) {
			t.Fatalf("%s: %v after the opening, want twice the timeout of %v", p.Rotation, at.Sub(now), p.Timeout())
		}
		g := grant.Grant{ExpiresAt: now.Add(left), Attempt: &grant.Attempt{OpenedAt: now}}
		if probe := p.ProbeAt(g); probe != at {
			t.Fatalf("ProbeAt = %v, the barrier %v", probe, at)
		}
	})
}

func TestBarriers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		rotations []grant.Rotation
		left      time.Duration // of the access token
		want      time.Duration // after opening
	}{
		{"a resendable token is sent again once no request can be under way", rotations[:4], time.Hour, 12 * time.Second},
		{"strict waits twice the timeout", rotations[4:5], time.Hour, 20 * time.Second},
		{"where reuse kills, the access token is used up first", rotations[5:], time.Hour, time.Hour - 5*time.Second + grant.Skew},
		{"and twice the timeout all the same", rotations[5:], 7 * time.Second, 20 * time.Second},
		{"an access token that has ended guards nothing", rotations[5:], -time.Hour, 20 * time.Second},
	} {
		for _, r := range tt.rotations {
			if got := (grant.Policy{Rotation: r}).Barrier().At(now, now.Add(tt.left)).Sub(now); got != tt.want {
				t.Errorf("%s: %s opens after %v, want %v", tt.name, r, got, tt.want)
			}
		}
	}
}

func TestBackoffGrowsToTenSecondsAndSpreads(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]time.Duration{
		0: time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 3: 8 * time.Second,
		4: 10 * time.Second, 63: 10 * time.Second, 1 << 40: 10 * time.Second, -1: 10 * time.Second,
	} {
		if got := grant.Backoff(n, 0); got != want {
			t.Errorf("Backoff(%d, 0) = %v, want %v", n, got, want)
		}
		if got := grant.Backoff(n, 0.5); got != want*3/4 {
			t.Errorf("Backoff(%d, 0.5) = %v, want %v", n, got, want*3/4)
		}
	}
}
