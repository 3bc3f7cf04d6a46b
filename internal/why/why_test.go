package why

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/client"
)

// logbook writes logs as the server keeps them, with moments of 21 Nov 2026 in
// the viewer's zone, an hour ahead of UTC.
type logbook struct{ events []client.Event }

var viewer = calendar{time.FixedZone("", 3600)}

// moment21 reads "15:04:05", or "22 15:04:05" for another day of the month.
func moment21(clock string) time.Time {
	if !strings.Contains(clock, " ") {
		clock = "21 " + clock
	}
	t, err := time.ParseInLocation("2006-01 2 15:04:05", "2026-11 "+clock, viewer.zone)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func testID(prefix string, n int) string {
	return fmt.Sprintf("%s_01M80000000000000000000%03d", prefix, n)
}

func (l *logbook) add(clock, typ, reason, grant string, data map[string]any) *logbook {
	// Data is as it comes out of JSON.
	b, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	data = nil
	if err := json.Unmarshal(b, &data); err != nil {
		panic(err)
	}
	l.events = append(l.events, client.Event{
		ID: testID("evt", len(l.events)), Type: typ, Time: moment21(clock), Grant: grant, App: "k-series", Reason: reason, Data: data,
	})
	return l
}

func (l *logbook) login(clock string, grant, who string, epoch int) *logbook {
	kind := "connection.connected"
	if epoch > 1 {
		kind = "connection.reconnected"
	}
	return l.add(clock, "grant.issued", "ok", grant, map[string]any{"source": "consent", "epoch": epoch}).
		add(clock, kind, "ok", grant, map[string]any{"identity": map[string]any{"name": who}})
}

func (l *logbook) renewed(clock, grant string, seq int) *logbook {
	return l.add(clock, "grant.refreshed", "ok", grant, map[string]any{"attempt": testID("att", 900+seq), "epoch": 1, "seq": seq})
}

// failed adds a failed renewal that took a second; more is "name=value".
func (l *logbook) failed(clock, grant string, try int, outcome, reason string, more ...string) *logbook {
	data := map[string]any{"outcome": outcome, "attempt": testID("att", try), "kind": "refresh", "duration_ms": 1000, "final": false}
	for _, m := range more {
		name, value, _ := strings.Cut(m, "=")
		data[name] = value
		switch {
		case name == "final":
			data[name] = value == "true"
		case name == "duration_ms" || name == "status":
			var n int
			_, _ = fmt.Sscan(value, &n)
			data[name] = n
		case name == "next":
			delete(data, name)
			data["next_try_at"] = moment21(value).Format(time.RFC3339)
		}
	}
	return l.add(clock, "grant.refresh_failed", reason, grant, data)
}

const (
	refusedWords = "error=invalid_grant"
	inactive     = "description=Token is not active"
)

// cafe is a connection with grants as they are at the end of a log.
func cafe(state, reason, since string, grants ...client.Grant) client.Connection {
	act := map[string]string{"needs_reauthorization": "merchant", "pending": "merchant"}[state]
	if act == "" {
		act = "nobody"
	}
	return client.Connection{
		ID: testID("conn", 1), Ref: "cafe_nord@k-series", Key: "cafe_nord", App: "k-series", Name: "Café Nord",
		State: state, Reason: reason, ActBy: act, Since: moment21(since), CreatedAt: moment21("09:00:00"), Grants: grants,
	}
}

func anna(state, reason string, change ...func(*client.Grant)) client.Grant {
	g := client.Grant{
		ID: testID("grant", 1), State: state, Reason: reason, Identity: client.Identity{Name: "Anna P."}, Epoch: 1, Seq: 12,
		ConsentAt: moment21("10:00:00"), Since: moment21("10:00:00"), ExpiresAt: moment21("15:00:00"),
	}
	for _, c := range change {
		c(&g)
	}
	return g
}

// story is what a table says of a case.
type storyCase struct {
	conn client.Connection
	app  client.App
	log  *logbook
	link *client.Link
	now  string // 14:40:00 if ""
	cut  bool
	want string
}

func (c storyCase) account() Account {
	now := c.now
	if now == "" {
		now = "14:40:00"
	}
	a := Account{conn: c.conn, app: c.app, link: c.link, now: moment21(now), when: viewer, cut: c.cut}
	if c.log != nil {
		a.events = c.log.events
	}
	return a
}

func TestStories(t *testing.T) {
	for name, c := range stories() {
		t.Run(name, func(t *testing.T) {
			a := c.account()
			got := a.Text()
			if diff := cmp.Diff(strings.TrimLeft(c.want, "\n"), got); diff != "" {
				t.Errorf("-want +got:\n%s\n%s", diff, got)
			}
			checkStory(t, a)
			for _, jargon := range []string{"epoch", "CAS", "barrier", "attempt", "refresh token"} {
				if strings.Contains(got, jargon) {
					t.Errorf("the story says %q", jargon)
				}
			}
		})
	}
}

// checkStory checks what is true of every story.
func checkStory(t rapid.TB, a Account) {
	t.Helper()
	story := a.Story()
	if !slices.IsSortedFunc(story, func(x, y Chapter) int { return x.From.Compare(y.From) }) {
		t.Error("the story is not in the order of time")
	}
	for _, c := range story {
		if c.To.Before(c.From) || c.Text == "" || c.What == "" {
			t.Errorf("chapter %+v", c)
		}
	}
	text := a.Text()
	for _, line := range strings.Split(text, "\n") {
		if n := len([]rune(line)); n >= 200 {
			t.Errorf("a line has %d columns: %s", n, line)
		}
	}
	raw, err := json.Marshal(story)
	if err != nil {
		t.Fatal(err)
	}
	var again []Chapter
	if err := json.Unmarshal(raw, &again); err != nil || len(again) != len(story) {
		t.Errorf("as JSON: %v: %s", err, raw)
	}
}

func TestTheNextStepNamesWhoHasToLogInAgain(t *testing.T) {
	named := func(n int, name, state string) client.Grant {
		return client.Grant{ID: testID("grant", n), State: state, Identity: client.Identity{Name: name}}
	}
	const over = "needs_reauthorization"
	for name, c := range map[string]struct {
		grants []client.Grant
		want   string
	}{
		"by name":                      {[]client.Grant{named(1, "Anna", "connected"), named(2, "Ben", over)}, "Ben"},
		"not by a name of several":     {[]client.Grant{named(1, "Nord", "connected"), named(2, "Nord", over)}, "the one whose approval ended"},
		"not by a name that is no one": {[]client.Grant{named(1, "Anna", "connected"), named(2, "", over)}, "the one whose approval ended"},
	} {
		t.Run(name, func(t *testing.T) {
			got := nextStep(cafe("connected", "ok", "10:00:00", c.grants...))
			if want := "evergrant link create cafe_nord@k-series, for " + c.want + " to log in again"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
