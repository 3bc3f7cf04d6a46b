package grant_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
)

var outcomes = []grant.Outcome{
	grant.NotSent, grant.Granted, grant.Refused, grant.Misconfigured, grant.Throttled, grant.Unclear, grant.Lost,
}

// judged is a grant whose attempt was opened three seconds ago and whose access
// token lives for another hour.
func judged(kind grant.AttemptKind) grant.Grant {
	return grant.Grant{
		Status: grant.StatusOf(grant.OK, now.Add(-day)), ExpiresAt: now.Add(time.Hour),
		Attempt: &grant.Attempt{Kind: kind, OpenedAt: now.Add(-3 * time.Second)},
	}
}

// TestJudge says what every outcome means under every rotation policy, for a
// first send and for a resend.
func TestJudge(t *testing.T) {
	t.Parallel()
	const (
		s     = time.Second
		guard = time.Hour - 4*s // until the access token is nearly worthless: 5 s of it left, one of them skew
	)
	first, resend := []grant.AttemptKind{grant.FirstSend}, []grant.AttemptKind{grant.Resend}
	both := []grant.AttemptKind{grant.FirstSend, grant.Resend}
	kind, strict, killers := rotations[:4], rotations[4:5], rotations[5:]
	seen := map[string]bool{}
	for _, row := range []struct {
		outcome   grant.Outcome
		kinds     []grant.AttemptKind
		rotations []grant.Rotation
		action    grant.Action
		reason    grant.Reason
		next      time.Duration // from now; 0 means never
	}{
		{grant.Granted, both, rotations, grant.Commit, grant.OK, 0},

		{grant.NotSent, first, rotations, grant.Close, grant.Network, s},
		{grant.Throttled, first, rotations, grant.Close, grant.RateLimited, 30 * s},
		{grant.Misconfigured, first, rotations, grant.Close, grant.OK, s},
		// What a resend repeats is as unknown as before.
		{grant.NotSent, resend, rotations, grant.Hold, grant.Network, s},
		{grant.Throttled, resend, rotations, grant.Hold, grant.RateLimited, 30 * s},
		{grant.Misconfigured, resend, rotations, grant.Hold, grant.OK, s},

		{grant.Refused, first, rotations, grant.Close, grant.OK, 10 * s},
		{grant.Refused, resend, kind, grant.Hold, grant.OK, 10 * s},
		{grant.Refused, resend, strict, grant.Die, grant.RotationLost, 0},
		{grant.Refused, resend, killers, grant.Die, grant.RotationLost, 0},

		{grant.Unclear, both, rotations, grant.Hold, grant.ProviderUnavailable, s},

		{grant.Lost, both, kind, grant.Hold, grant.AnswerLost, s},
		{grant.Lost, both, strict, grant.Hold, grant.AnswerLost, 17 * s}, // 20 s after opening
		{grant.Lost, both, killers, grant.Hold, grant.AnswerLost, guard},
	} {
		for _, r := range row.rotations {
			for _, k := range row.kinds {
				name := fmt.Sprint(r, " ", k, " ", row.outcome)
				if seen[name] {
					t.Fatalf("two rows for %s", name)
				}
				seen[name] = true
				got := grant.Policy{Rotation: r}.Judge(judged(k), grant.Facts{Outcome: row.outcome, Now: now, RetryAfter: 30 * s})
				want := grant.Verdict{Action: row.action, Reason: row.reason, PauseApp: row.outcome == grant.Misconfigured}
				if row.next != 0 {
					want.Next = now.Add(row.next)
				}
				if row.outcome == grant.Refused {
					want.Refusals, want.RefusedAt = 1, now
				}
				if got != want {
					t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
				}
			}
		}
	}
	if want := len(rotations) * len(outcomes) * 2; len(seen) != want {
		t.Errorf("the table has %d of %d cases", len(seen), want)
	}
}

func TestASecondRefusalProvesDeathIfItIsFarEnoughFromTheFirst(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for _, tt := range []struct {
		name      string
		rotation  grant.Rotation
		kind      grant.AttemptKind
		ago       time.Duration // since the first refusal
		left      time.Duration // of the access token
		deadline  time.Duration // from now; 0 if not known
		action    grant.Action
		reason    grant.Reason
		next      time.Duration
		firstKept bool
	}{
		{"ten seconds while the access token lives", grant.Grace, grant.FirstSend, 10 * s, time.Hour, 0, grant.Die, grant.RefreshRejected, 0, true},
		{"less proves nothing", grant.Grace, grant.FirstSend, 10*s - 1, time.Hour, 0, grant.Close, grant.OK, s, true},
		{"three seconds are missing", grant.Strict, grant.FirstSend, 7 * s, time.Hour, 0, grant.Close, grant.OK, 3 * s, true},
		{"two seconds once it has ended", grant.Strict, grant.FirstSend, 2 * s, 0, 0, grant.Die, grant.RefreshRejected, 0, true},
		{"less proves nothing then either", grant.Strict, grant.FirstSend, 2*s - 1, 0, 0, grant.Close, grant.OK, s, true},
		{"after the deadline the reason is the deadline", grant.Lenient, grant.FirstSend, 10 * s, -time.Hour, -s, grant.Die, grant.DeadlinePassed, 0, true},
		{"before it, it is not", grant.Lenient, grant.FirstSend, 10 * s, -time.Hour, s, grant.Die, grant.RefreshRejected, 0, true},
		{"after a lost answer the rotation is lost", grant.Grace, grant.Resend, 10 * s, time.Hour, 0, grant.Die, grant.RotationLost, 0, true},
		{"a static token has no rotation to lose", grant.Static, grant.Resend, 10 * s, time.Hour, 0, grant.Die, grant.RefreshRejected, 0, true},
		{"a resend that came too soon stays open", grant.Grace, grant.Resend, 4 * s, time.Hour, 0, grant.Hold, grant.OK, 6 * s, true},
		{"one probe of a single-use token is enough", grant.FamilyKill, grant.Resend, s, time.Hour, 0, grant.Die, grant.RotationLost, 0, false},
	} {
		g := judged(tt.kind)
		g.Refusals, g.RefusedAt, g.ExpiresAt = 1, now.Add(-tt.ago), now.Add(tt.left)
		if tt.deadline != 0 {
			g.DeadlineAt = now.Add(tt.deadline)
		}
		got := grant.Policy{Rotation: tt.rotation}.Judge(g, grant.Facts{Outcome: grant.Refused, Now: now})
		want := grant.Verdict{Action: tt.action, Reason: tt.reason, Refusals: 2, RefusedAt: now}
		want.Elsewhere = got.Elsewhere // another test's subject
		if tt.firstKept {
			want.RefusedAt = g.RefusedAt
		}
		if tt.next != 0 {
			want.Next = now.Add(tt.next)
		}
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, want)
		}
	}
}

func TestAFirstSendThatIsRefusedThoughNothingHadEndedLooksLikeAnothersWork(t *testing.T) {
	t.Parallel()
	const never = -100 * day
	for _, tt := range []struct {
		name     string
		rotation grant.Rotation
		kind     grant.AttemptKind
		left     time.Duration // of the access token at the first refusal
		seq      int64
		consent  time.Duration // ago
		deadline time.Duration // from now; 0 if not known
		want     bool
	}{
		{"while the access token lives", grant.FamilyKill, grant.FirstSend, time.Minute, 7, 9 * day, 0, true},
		{"it ended between the two refusals", grant.Strict, grant.FirstSend, time.Second, 7, 9 * day, 0, true},
		{"the old one would be good for a while, but not for ever", grant.Grace, grant.FirstSend, time.Minute, 7, 9 * day, 0, true},
		{"nobody knows the policy", grant.Unknown, grant.FirstSend, time.Minute, 7, 9 * day, 0, true},
		{"it was new, and never renewed", grant.Strict, grant.FirstSend, never, 0, time.Hour, 0, true},
		{"it was renewed, and long ago", grant.Strict, grant.FirstSend, 0, 1, time.Hour, 0, false},
		{"it was never renewed, for days", grant.Strict, grant.FirstSend, 0, 0, 2 * day, 0, false},
		{"a use elsewhere changes nothing", grant.Static, grant.FirstSend, time.Minute, 7, 9 * day, 0, false},
		{"ours may have been answered", grant.Grace, grant.Resend, time.Minute, 7, 9 * day, 0, false},
		{"its time was over", grant.Strict, grant.FirstSend, time.Minute, 7, 9 * day, -time.Second, false},
	} {
		g := judged(tt.kind)
		g.Refusals, g.RefusedAt, g.Version.Seq, g.ConsentAt = 1, now.Add(-20*time.Second), tt.seq, now.Add(-tt.consent)
		g.ExpiresAt = g.RefusedAt.Add(tt.left)
		if tt.deadline != 0 {
			g.DeadlineAt = now.Add(tt.deadline)
		}
		got := grant.Policy{Rotation: tt.rotation}.Judge(g, grant.Facts{Outcome: grant.Refused, Now: now})
		if got.Action != grant.Die || got.Elsewhere != tt.want {
			t.Errorf("%s: %+v, want elsewhere %v", tt.name, got, tt.want)
		}
	}
	g := judged(grant.FirstSend)
	if got := (grant.Policy{}).Judge(g, grant.Facts{Outcome: grant.Refused, Now: now}); got.Elsewhere {
		t.Errorf("one refusal proves nothing, and yet %+v", got)
	}
}

func TestAfterProviderTroubleEveryPolicyNeedsTwoRefusals(t *testing.T) {
	t.Parallel()
	for _, r := range rotations {
		g := judged(grant.Resend)
		g.Status = grant.StatusOf(grant.ProviderUnavailable, now.Add(-time.Second))
		p := grant.Policy{Rotation: r}
		got := p.Judge(g, grant.Facts{Outcome: grant.Refused, Now: now})
		want := grant.Verdict{Action: grant.Hold, Reason: grant.ProviderUnavailable, Next: now.Add(10 * time.Second), Refusals: 1, RefusedAt: now}
		if got != want {
			t.Errorf("%s, first refusal:\n got %+v\nwant %+v", r, got, want)
		}
		g.Refusals, g.RefusedAt = got.Refusals, got.RefusedAt
		if got := p.Judge(g, grant.Facts{Outcome: grant.Refused, Now: now.Add(10 * time.Second)}); got.Action != grant.Die {
			t.Errorf("%s, second refusal: %+v", r, got)
		}
	}
}

func TestRetryAfterIsObeyedUpToAnHour(t *testing.T) {
	t.Parallel()
	for asked, want := range map[time.Duration]time.Duration{
		-time.Hour: 10 * time.Second, 0: 10 * time.Second, time.Second: 10 * time.Second,
		time.Minute: time.Minute, time.Hour: time.Hour, 1000 * day: time.Hour,
	} {
		g := judged(grant.FirstSend)
		g.Failures = 9
		got := grant.Policy{}.Judge(g, grant.Facts{Outcome: grant.Throttled, Now: now, RetryAfter: asked})
		if got.Next.Sub(now) != want {
			t.Errorf("asked for %v: next try after %v, want %v", asked, got.Next.Sub(now), want)
		}
	}
}

// TestJudgeNeverBreaksItsRules draws grants in any condition.
func TestJudgeNeverBreaksItsRules(t *testing.T) {
	t.Parallel()
	reasons := []grant.Reason{grant.OK, grant.Network, grant.AnswerLost, grant.RateLimited, grant.ProviderUnavailable}
	rapid.Check(t, func(t *rapid.T) {
		around := func(label string) time.Time {
			return now.Add(time.Duration(rapid.Int64Range(-3600, 3600).Draw(t, label)) * time.Second)
		}
		p := grant.Policy{Rotation: drawRotation(t)}
		g := judged(rapid.SampledFrom([]grant.AttemptKind{grant.FirstSend, grant.Resend}).Draw(t, "kind"))
		g.Status = grant.StatusOf(rapid.SampledFrom(reasons).Draw(t, "reason"), now)
		g.ExpiresAt, g.DeadlineAt = around("expires"), around("deadline")
		g.Failures = rapid.IntRange(0, 100).Draw(t, "failures")
		if g.Refusals = rapid.IntRange(0, 2).Draw(t, "refusals"); g.Refusals > 0 {
			g.RefusedAt = now.Add(-time.Duration(rapid.Int64Range(0, 3600).Draw(t, "refused ago")) * time.Second)
		}
		f := grant.Facts{
			Outcome: rapid.SampledFrom(append(outcomes, 0, 99)).Draw(t, "outcome"), Now: now,
			RetryAfter: time.Duration(rapid.Int64().Draw(t, "retry after")), Spread: rapid.Float64Range(0, 0.999).Draw(t, "spread"),
		}
		v := p.Judge(g, f)
		resend := g.Attempt.Kind == grant.Resend
		switch {
		case slices.Contains([]grant.Action{grant.Commit, grant.Die}, v.Action) != v.Next.IsZero():
			t.Fatalf("action %d with next %v", v.Action, v.Next)
		case v.Action == grant.Die && f.Outcome != grant.Refused:
			t.Fatalf("%v kills", f.Outcome)
		case v.Action == grant.Die && !resend && g.Refusals == 0:
			t.Fatal("a single refusal of a first send kills")
		case v.Action == grant.Die && g.Refusals == 0 && !p.Rotation.SingleUse():
			t.Fatal("a single refusal of a token that may be sent again kills")
		case v.Action == grant.Die && v.Reason.State() != grant.NeedsReauthorization:
			t.Fatalf("dead for reason %s", v.Reason)
		case v.Action != grant.Die && v.Reason.State() == grant.NeedsReauthorization:
			t.Fatalf("alive for reason %s", v.Reason)
		case (v.Action == grant.Commit) != (f.Outcome == grant.Granted):
			t.Fatalf("%v gives action %d", f.Outcome, v.Action)
		case v.Action == grant.Hold && !resend && f.Outcome != grant.Unclear && f.Outcome != grant.Lost && slices.Contains(outcomes, f.Outcome):
			t.Fatalf("%v of a first send holds the attempt", f.Outcome)
		case v.Action == grant.Close && resend:
			t.Fatalf("%v of a resend closes what is still unknown", f.Outcome)
		case v.PauseApp != (f.Outcome == grant.Misconfigured):
			t.Fatalf("%v pauses the app: %t", f.Outcome, v.PauseApp)
		case v.Action != grant.Commit && v.Refusals < g.Refusals:
			t.Fatalf("%v forgets a refusal", f.Outcome)
		case !v.Next.IsZero() && v.Next.Before(now.Add(500*time.Millisecond)):
			t.Fatalf("next try after %v", v.Next.Sub(now))
		case v.Action == grant.Close && v.Next.After(now.Add(time.Hour)):
			t.Fatalf("next try after %v", v.Next.Sub(now))
		}
	})
}

func TestOutcomesHaveNames(t *testing.T) {
	t.Parallel()
	want := []string{"not_sent", "granted", "refused", "misconfigured", "throttled", "unclear", "lost", "invalid"}
	for i, o := range append(outcomes, 0) {
		if o.String() != want[i] {
			t.Errorf("outcome %d is %q, want %q", o, o, want[i])
		}
	}
}
