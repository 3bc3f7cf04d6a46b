package grant_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
)

// An access token that a provider answers with again ends when it was to end and
// is renewed then, whatever the answer states.
func TestARepeatedTokenWaitsForItsEnd(t *testing.T) {
	t.Parallel()
	asked := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		p := grant.Policy{Rotation: drawRotation(t), RefreshWindow: time.Duration(rapid.IntRange(0, 60).Draw(t, "window")) * time.Second}
		left := time.Duration(rapid.IntRange(1, 7200).Draw(t, "left")) * time.Second
		l := grant.Lifetimes{AskedAt: asked, AccessLife: time.Duration(rapid.IntRange(0, 7200).Draw(t, "stated")) * time.Second, HasRefresh: true}
		fresh := p.Schedule("grant_1", l)
		l.Repeated = asked.Add(left)
		got := p.Schedule("grant_1", l)
		if got.ExpiresAt.After(l.Repeated) || got.ExpiresAt.After(fresh.ExpiresAt) {
			t.Fatalf("it ends at %v, was to end at %v, the answer says %v", got.ExpiresAt, l.Repeated, fresh.ExpiresAt)
		}
		if got.DueAt.Before(got.ExpiresAt) || got.DueAt.After(got.ExpiresAt) && got.DueAt.Sub(asked) != grant.LeastGap {
			t.Fatalf("it ends at %v and is renewed at %v", got.ExpiresAt, got.DueAt)
		}
		l.Repeated = asked.Add(-left) // it has ended, so the provider did prolong it
		if got := p.Schedule("grant_1", l); got != fresh {
			t.Fatalf("a token that had ended is scheduled %+v, a fresh one %+v", got, fresh)
		}
	})
}
