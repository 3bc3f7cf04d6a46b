package grant_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
)

const day = 24 * time.Hour

// drawLife draws lifetimes from seconds to days, as providers state them.
func drawLife(t *rapid.T) time.Duration {
	seconds := rapid.OneOf(rapid.Int64Range(20, 120), rapid.Int64Range(120, 7200), rapid.Int64Range(7200, 30*86400))
	return time.Duration(seconds.Draw(t, "life")) * time.Second
}

// drawPolicy draws a policy with or without a window of its own.
func drawPolicy(t *rapid.T) grant.Policy {
	return grant.Policy{
		Rotation:      drawRotation(t),
		RefreshWindow: time.Duration(rapid.SampledFrom([]int{0, 5, 30, 60, 600}).Draw(t, "window")) * time.Second,
	}
}

// window is the refresh window of the contract: the configured one, if the token
// lives a third longer, or a tenth of the life within 30 s and 15 min, and at
// most half of the life.
func window(p grant.Policy, life time.Duration) time.Duration {
	if w := p.RefreshWindow; w > 0 {
		return min(w, life*3/4)
	}
	return min(max(life/10, 30*time.Second), 15*time.Minute, life/2)
}

func TestARenewalIsDueInTheFirstHalfOfItsWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, life, id := drawPolicy(t), drawLife(t), rapid.String().Draw(t, "id")
		got := p.Schedule(id, grant.Lifetimes{AskedAt: now, AccessLife: life, HasRefresh: true})
		if want := now.Add(life - grant.Skew); got.ExpiresAt != want || !got.DeadlineAt.IsZero() {
			t.Fatalf("expires %v, want %v; deadline %v", got.ExpiresAt, want, got.DeadlineAt)
		}
		w := window(p, life)
		first, last := got.ExpiresAt.Add(-w), got.ExpiresAt.Add(-w/2)
		if first.Before(now.Add(5 * time.Second)) {
			first = now.Add(5 * time.Second) // never at once
		}
		if got.DueAt.Before(first) || got.DueAt.After(last) && got.DueAt != first {
			t.Fatalf("due %v before expiry; the window is %v", got.ExpiresAt.Sub(got.DueAt), w)
		}
		if got.DueAt.After(got.ExpiresAt) {
			t.Fatalf("due %v after expiry", got.DueAt.Sub(got.ExpiresAt))
		}
		if start := p.WindowStart(now, got.ExpiresAt); start.After(got.DueAt) || start != got.ExpiresAt.Add(-w) {
			t.Fatalf("the window starts %v before expiry, and %v is due then", got.ExpiresAt.Sub(start), got.ExpiresAt.Sub(got.DueAt))
		}
		if again := p.Schedule(id, grant.Lifetimes{AskedAt: now, AccessLife: life, HasRefresh: true}); again != got {
			t.Fatalf("scheduled again, it is %+v and not %+v", again, got)
		}
	})
}

func TestDueTimesSpreadEvenlyOverTheHalfWindow(t *testing.T) {
	t.Parallel()
	const ids, bins = 10_000, 20
	p := grant.Policy{RefreshWindow: 30 * time.Second}
	random := rand.New(rand.NewPCG(1, 2))
	for name, id := range map[string]func(i int) string{
		"ids of one moment": func(int) string { return fmt.Sprintf("grant_01KAJ%021d", random.Uint64()) },
		"ids of one import": func(i int) string { return fmt.Sprintf("grant_%010d%016X", i, random.Uint64()) },
		"ids that count":    func(i int) string { return fmt.Sprint("grant_", i) },
	} {
		var count [bins]int
		for i := range ids {
			got := p.Schedule(id(i), grant.Lifetimes{AskedAt: now, AccessLife: time.Hour, HasRefresh: true})
			into := got.DueAt.Sub(got.ExpiresAt.Add(-30 * time.Second))
			count[int(into*bins/(15*time.Second))]++
		}
		// Chi-squared with 19 degrees of freedom exceeds 44 once in a thousand.
		chi, want := 0.0, float64(ids)/bins
		for _, n := range count {
			chi += (float64(n) - want) * (float64(n) - want) / want
		}
		if chi > 44 {
			t.Errorf("%s: chi-squared %.0f over %d bins: %v", name, chi, bins, count)
		}
	}
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) time.Time { return now.Add(d) }
	for _, tt := range []struct {
		name              string
		p                 grant.Policy
		l                 grant.Lifetimes
		expires, deadline time.Time
		due               [2]time.Time // from, to
	}{
		{"no stated life means the provider's usual one", grant.Policy{AccessLifetime: 30 * time.Minute},
			grant.Lifetimes{HasRefresh: true}, at(30*time.Minute - time.Second), time.Time{},
			[2]time.Time{at(27*time.Minute - time.Second), at(28*time.Minute + 29*time.Second)}},
		{"or an hour", grant.Policy{}, grant.Lifetimes{AccessLife: -5, HasRefresh: true}, at(time.Hour - time.Second), time.Time{},
			[2]time.Time{at(54*time.Minute - time.Second), at(57*time.Minute - time.Second)}},
		{"without a refresh token the grant dies with its access token", grant.Policy{RefreshIdle: day},
			grant.Lifetimes{AccessLife: time.Hour, RefreshLife: day}, at(time.Hour - time.Second), at(time.Hour - time.Second),
			[2]time.Time{at(time.Hour - time.Second), at(time.Hour - time.Second)}},
		{"a stated refresh life is the deadline", grant.Policy{RefreshIdle: day},
			grant.Lifetimes{AccessLife: time.Hour, RefreshLife: 2 * day, HasRefresh: true}, at(time.Hour - time.Second), at(2 * day),
			[2]time.Time{at(54*time.Minute - time.Second), at(57*time.Minute - time.Second)}},
		{"otherwise the provider's idle life is", grant.Policy{RefreshIdle: 14 * day},
			grant.Lifetimes{AccessLife: time.Hour, HasRefresh: true}, at(time.Hour - time.Second), at(14 * day),
			[2]time.Time{at(54*time.Minute - time.Second), at(57*time.Minute - time.Second)}},
		{"a refresh token that ends before the access token is renewed a tenth before", grant.Policy{},
			grant.Lifetimes{AccessLife: 30 * day, RefreshLife: 10 * day, HasRefresh: true}, at(30*day - time.Second), at(10 * day),
			[2]time.Time{at(9 * day), at(9 * day)}},
		{"but at most a week before", grant.Policy{},
			grant.Lifetimes{AccessLife: 300 * day, RefreshLife: 100 * day, HasRefresh: true}, at(300*day - time.Second), at(100 * day),
			[2]time.Time{at(93 * day), at(93 * day)}},
		{"an absolute life counts from consent", grant.Policy{RefreshIdle: 30 * day, RefreshAbsolute: 90 * day},
			grant.Lifetimes{AccessLife: time.Hour, HasRefresh: true, ConsentAt: at(-80 * day)}, at(time.Hour - time.Second), at(10 * day),
			[2]time.Time{at(54*time.Minute - time.Second), at(57*time.Minute - time.Second)}},
		{"the earlier of the two ends is the deadline", grant.Policy{RefreshIdle: 5 * day, RefreshAbsolute: 90 * day},
			grant.Lifetimes{AccessLife: time.Hour, HasRefresh: true, ConsentAt: at(-80 * day)}, at(time.Hour - time.Second), at(5 * day),
			[2]time.Time{at(54*time.Minute - time.Second), at(57*time.Minute - time.Second)}},
		{"a deadline that has passed makes no hot loop", grant.Policy{RefreshAbsolute: day},
			grant.Lifetimes{AccessLife: time.Hour, HasRefresh: true, ConsentAt: at(-3 * day)}, at(time.Hour - time.Second), at(-2 * day),
			[2]time.Time{at(54*time.Minute - time.Second), at(57*time.Minute - time.Second)}},
		{"nor does a token that is stale on arrival", grant.Policy{},
			grant.Lifetimes{AccessLife: 1, HasRefresh: true}, at(time.Second), time.Time{},
			[2]time.Time{at(5 * time.Second), at(5 * time.Second)}},
	} {
		tt.l.AskedAt = now
		got := tt.p.Schedule("grant_01", tt.l)
		if !got.ExpiresAt.Equal(tt.expires) || !got.DeadlineAt.Equal(tt.deadline) {
			t.Errorf("%s: expires %v, deadline %v; want %v, %v", tt.name, got.ExpiresAt, got.DeadlineAt, tt.expires, tt.deadline)
		}
		if got.DueAt.Before(tt.due[0]) || got.DueAt.After(tt.due[1]) {
			t.Errorf("%s: due %v, want between %v and %v", tt.name, got.DueAt, tt.due[0], tt.due[1])
		}
	}
}

func TestAnIdleGrantIsRenewedBeforeItsDeadline(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, life := drawPolicy(t), drawLife(t)
		refresh := time.Duration(rapid.Int64Range(60, 365*86400).Draw(t, "refresh life")) * time.Second
		p.RefreshIdle = refresh
		got := p.Schedule(rapid.String().Draw(t, "id"), grant.Lifetimes{AskedAt: now, AccessLife: life, HasRefresh: true})
		if got.DeadlineAt != now.Add(refresh) {
			t.Fatalf("deadline %v, want %v", got.DeadlineAt, now.Add(refresh))
		}
		if early := min(refresh/10, 7*day); got.DeadlineAt.Sub(got.DueAt) < early {
			t.Fatalf("due %v before the deadline, want at least %v", got.DeadlineAt.Sub(got.DueAt), early)
		}
		if got.DueAt.After(got.ExpiresAt) {
			t.Fatalf("due %v after expiry", got.DueAt.Sub(got.ExpiresAt))
		}
	})
}

func TestNoLifetimeIsTooAbsurd(t *testing.T) {
	t.Parallel()
	absurd := rapid.OneOf(
		rapid.Int64(), rapid.Int64Range(-2, 12),
		rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, int64(time.Second), int64(grant.MaxLifetime), int64(grant.MaxLifetime) + 1, math.MaxInt64}),
	)
	rapid.Check(t, func(t *rapid.T) {
		d := func(label string) time.Duration { return time.Duration(absurd.Draw(t, label)) }
		p := grant.Policy{
			AccessLifetime: d("usual"), RefreshIdle: d("idle"), RefreshAbsolute: d("absolute"), RefreshWindow: d("window"),
		}
		l := grant.Lifetimes{
			AskedAt: now, AccessLife: d("access"), RefreshLife: d("refresh"), ConsentAt: now,
			HasRefresh: rapid.Bool().Draw(t, "has refresh"),
		}
		got := p.Schedule("grant_01", l)
		if life := got.ExpiresAt.Sub(now); life < time.Second || life > grant.MaxLifetime {
			t.Fatalf("expires after %v", life)
		}
		if wait := got.DueAt.Sub(now); wait < min(5*time.Second, got.ExpiresAt.Sub(now)) || l.HasRefresh && wait < grant.LeastGap || wait > grant.MaxLifetime {
			t.Fatalf("due after %v", wait)
		}
		if !got.DeadlineAt.IsZero() && !got.DeadlineAt.After(now) {
			t.Fatalf("deadline %v", got.DeadlineAt)
		}
	})
}

func TestATokenIsServedWhileItLastsLongEnough(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		left, minValid time.Duration
		want           bool
	}{
		{time.Hour, 10 * time.Second, true},
		{10 * time.Second, 10 * time.Second, true},
		{10*time.Second - 1, 10 * time.Second, false},
		{time.Second, 0, true},
		{time.Second - 1, 0, false},
		{0, 0, false},
		{0, -time.Hour, false},
		{-time.Hour, -2 * time.Hour, false},
	} {
		if got := grant.Serve(now, now.Add(tt.left), tt.minValid); got != tt.want {
			t.Errorf("%v left, %v wanted: %t", tt.left, tt.minValid, got)
		}
	}
}

func TestALifeThatIsStatedToBeOverGrowsWithEachRepetition(t *testing.T) {
	asked := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	g := grant.Grant{ID: "grant_1"}
	var lives []time.Duration
	for range 8 {
		times := grant.Policy{}.Schedule(g.ID, grant.Lifetimes{AskedAt: asked, Ended: true, Before: g.Life(), HasRefresh: true})
		g.IssuedAt, g.ExpiresAt = asked, times.ExpiresAt
		if !times.DueAt.After(asked.Add(grant.LeastGap)) || !times.DueAt.Before(times.ExpiresAt) {
			t.Errorf("asked at %v, due at %v, ends at %v", asked, times.DueAt, times.ExpiresAt)
		}
		lives = append(lives, g.Life()/time.Minute)
	}
	if want := []time.Duration{1, 2, 4, 8, 16, 32, 32, 32}; !slices.Equal(lives, want) {
		t.Errorf("lives of %d minutes, want %d", lives, want)
	}
	if got := life(grant.Policy{}, grant.Lifetimes{Ended: true, Before: time.Hour}); got != time.Minute {
		t.Errorf("after an hour's token: %v", got)
	}
	if got := life(grant.Policy{AccessLifetime: time.Hour}, grant.Lifetimes{AccessLife: 7 * time.Second, Ended: true}); got != 7*time.Second {
		t.Errorf("with another statement: %v", got)
	}
}

func TestALifeNobodyStatesIsTheProvidersUsualOneOrTheTokens(t *testing.T) {
	for _, tt := range []struct {
		p    grant.Policy
		l    grant.Lifetimes
		want time.Duration
	}{
		{grant.Policy{}, grant.Lifetimes{}, time.Hour},
		{grant.Policy{}, grant.Lifetimes{Hint: 9 * time.Minute}, 9 * time.Minute},
		{grant.Policy{AccessLifetime: 25 * time.Minute}, grant.Lifetimes{Hint: 9 * time.Minute}, 25 * time.Minute},
		{grant.Policy{AccessLifetime: 25 * time.Minute}, grant.Lifetimes{AccessLife: time.Minute, Hint: 9 * time.Minute}, time.Minute},
	} {
		if got := life(tt.p, tt.l); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.l, got, tt.want)
		}
	}
}

// life is how long an access token is taken to live.
func life(p grant.Policy, l grant.Lifetimes) time.Duration {
	l.AskedAt = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	return p.Schedule("grant_1", l).ExpiresAt.Sub(l.AskedAt) + grant.Skew
}
