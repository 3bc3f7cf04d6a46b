package why

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/client"
)

// secretText stands for a token that has come where none belongs.
const secretText = "eyJhbGciOi0x9.c2VjcmV0LXNlY3JldA-Zz09_x"

// TestAnyLogGivesAStory: whatever the log holds, in whatever order, the story is
// in the order of time, its lines are bounded and no token is in it.
func TestAnyLogGivesAStory(t *testing.T) {
	types := []string{
		"grant.issued", "grant.refreshed", "grant.refresh_failed", "grant.refresh_failed", "grant.refresh_failed", "grant.revoked",
		"connection.connected", "connection.reconnected", "connection.degraded", "connection.recovered", "connection.needs_reauthorization",
		"connection.disconnected", "connection.scope_changed", "connection.locations_changed", "connection.deleted",
		"link.created", "link.opened", "link.failed", "link.help_requested", "link.completed", "authorization.started",
		"app.credentials_rejected", "app.credentials_accepted", "app.tokens_expired", "app.paused", "app.resumed", "something.new", "",
	}
	outcomes := []string{"lost", "refused", "misconfigured", "throttled", "unclear", "not_sent", "invalid", ""}
	reasons := []string{"ok", "answer_lost", "rotation_lost", "refresh_rejected", "deadline_passed", "key_unavailable", "network", ""}
	states := []string{"pending", "connected", "degraded", "needs_reauthorization", "disconnected"}
	grants := []string{testID("grant", 1), testID("grant", 2), testID("grant", 3), ""}
	start := moment21("00:00:00")

	foreignText := rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			return secretText
		case 1:
			return "said " + secretText + "\x1b[31m" + strings.Repeat("W", 300)
		case 2:
			return "there is no refresh token"
		}
		return rapid.String().Draw(t, "text")
	})
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return start.Add(time.Duration(rapid.Int64Range(0, int64(500*24*time.Hour)).Draw(t, "at")))
	})
	value := func(t *rapid.T, name string) any {
		switch name {
		case "outcome":
			return rapid.SampledFrom(outcomes).Draw(t, name)
		case "kind":
			return rapid.SampledFrom([]string{"refresh", "resend"}).Draw(t, name)
		case "final", "at_provider":
			return rapid.Bool().Draw(t, name)
		case "duration_ms", "seq", "epoch", "status":
			return rapid.SampledFrom([]float64{-1, 0, 1, 2, 503, 1e9, 1e300}).Draw(t, name)
		case "cause":
			return rapid.SampledFrom([]string{"operator", "refusals", "restore"}).Draw(t, name)
		case "suspect":
			return rapid.SampledFrom([]string{"used_elsewhere", secretText}).Draw(t, name)
		case "attempt":
			return rapid.SampledFrom([]string{testID("att", 1), testID("att", 2), secretText}).Draw(t, name)
		case "next_try_at":
			return moment.Draw(t, name).Format(time.RFC3339)
		case "identity":
			return map[string]any{"name": foreignText.Draw(t, name)}
		case "missing", "added", "lost":
			return []any{foreignText.Draw(t, name), 7, nil}
		}
		return foreignText.Draw(t, name)
	}
	names := []string{"outcome", "kind", "final", "at_provider", "duration_ms", "seq", "epoch", "status", "attempt", "next_try_at", "identity",
		"missing", "added", "lost", "error", "description", "problem", "link", "recovered", "source", "cause", "suspect"}
	event := rapid.Custom(func(t *rapid.T) client.Event {
		e := client.Event{
			Type: rapid.SampledFrom(types).Draw(t, "type"), Time: moment.Draw(t, "time"), App: "k-series",
			Grant: rapid.SampledFrom(grants).Draw(t, "grant"), Reason: rapid.SampledFrom(reasons).Draw(t, "reason"),
		}
		if rapid.Bool().Draw(t, "has data") {
			e.Data = map[string]any{}
		}
		for _, name := range names {
			switch rapid.IntRange(0, 5).Draw(t, name+"?") {
			case 0:
			case 1:
				if e.Data != nil {
					e.Data[name] = []any{nil} // of another kind than expected
				}
			default:
				if e.Data != nil {
					e.Data[name] = value(t, name)
				}
			}
		}
		return e
	})
	rapid.Check(t, func(rt *rapid.T) {
		a := Account{when: viewer, now: moment.Draw(rt, "now"), cut: rapid.Bool().Draw(rt, "cut")}
		state := rapid.SampledFrom(states).Draw(rt, "state")
		a.conn = cafe(state, rapid.SampledFrom(reasons).Draw(rt, "reason"), "10:00:00")
		a.app = client.App{Reason: rapid.SampledFrom([]string{"", "ok", "app_credentials_rejected", "app_paused"}).Draw(rt, "app")}
		for _, id := range grants[:rapid.IntRange(0, 3).Draw(rt, "grants")] {
			g := anna(rapid.SampledFrom(states).Draw(rt, "grant state"), "ok", func(g *client.Grant) {
				g.ID, g.Identity.Name = id, foreignText.Draw(rt, "name")
				g.ExpiresAt, g.NextTryAt = moment.Draw(rt, "expires"), moment.Draw(rt, "next")
			})
			if rapid.Bool().Draw(rt, "open") {
				g.OpenAttempt = &client.OpenAttempt{ID: testID("att", 1), Kind: "resend", OpenedAt: moment.Draw(rt, "opened"), BarrierAt: moment.Draw(rt, "barrier")}
			}
			a.conn.Grants = append(a.conn.Grants, g)
		}
		a.events = rapid.SliceOfN(event, 0, 40).Draw(rt, "events")

		checkStory(rt, a)
		text := a.Text()
		for _, c := range a.Story() {
			text += c.Text + c.Attempt
		}
		if strings.Contains(text, secretText) || strings.Contains(text, secretText[:leastToken]) {
			rt.Fatalf("a token is told:\n%s", text)
		}
		if strings.ContainsRune(text, '\x1b') {
			rt.Fatalf("a control character is told:\n%q", text)
		}
	})
}

func FuzzForeign(f *testing.F) {
	for _, s := range []string{
		"", "Token is not active", "temporarily_unavailable", "TEMPORARILY_UNAVAILABLE_SERVER", secretText, "é" + secretText + "é",
		"an_error_word_that_is_very_long_but_one", "lookup auth.example: no such host", "\x1b[31mred\xff", strings.Repeat("word ", 100),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := foreign(s)
		if n := utf8.RuneCountInString(got); n > mostForeign || !utf8.ValidString(got) {
			t.Errorf("%d characters: %q", n, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("%q has %q", got, r)
			}
		}
		for _, run := range strings.FieldsFunc(got, func(r rune) bool { return !tokenRune(r) }) {
			if len(run) >= leastToken && !errorWord(run) {
				t.Errorf("%q has %q", got, run)
			}
		}
		if again := foreign(got); again != got {
			t.Errorf("%q becomes %q the second time", got, again)
		}
	})
}
