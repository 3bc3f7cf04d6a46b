package oracle_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/oracle"
)

// client plays a client against a server, on a clock it sets, in a script of
// words:
//
//	send N    presents the refresh token of generation N
//	call N    calls the API with the access token of generation N
//	+1m       lets time pass
//	kill      has the merchant remove the access
//
// Tokens are numbered as they come.
type client struct {
	t       *testing.T
	o       *oracle.Server
	now     time.Time
	refresh []string
	access  []string
}

func newClient(t *testing.T, o oracle.Options) *client {
	c := &client{t: t, now: time.Unix(1_800_000_000, 0)}
	o.Now = func() time.Time { return c.now }
	if o.AccessLife == 0 {
		o.AccessLife = time.Hour
	}
	c.o = oracle.New(o)
	access, refresh := c.o.Issue("g")
	c.learn(access, refresh)
	return c
}

func (c *client) learn(access, refresh string) {
	c.access, c.refresh = append(c.access, access), append(c.refresh, refresh)
}

// play plays a script and returns what every send and call came to.
func (c *client) play(script string) string {
	c.t.Helper()
	var got []string
	for step := range strings.SplitSeq(script, ", ") {
		verb, arg, _ := strings.Cut(step, " ")
		n := 0
		if arg != "" {
			if _, err := fmt.Sscan(arg, &n); err != nil {
				c.t.Fatalf("step %q: %v", step, err)
			}
		}
		switch verb {
		case "send":
			got = append(got, c.send(n))
		case "call":
			got = append(got, c.call(n))
		case "kill":
			c.o.Kill("g")
		default:
			d, err := time.ParseDuration(strings.TrimPrefix(step, "+"))
			if err != nil {
				c.t.Fatalf("step %q: %v", step, err)
			}
			c.now = c.now.Add(d)
		}
	}
	return strings.Join(got, ", ")
}

// send presents a refresh token: "ok N" with the generation it brought, or the
// error.
func (c *client) send(n int) string {
	status, body := c.post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.refresh[n]}})
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Error   string `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		c.t.Fatalf("%d with %q: %v", status, body, err)
	}
	if status != http.StatusOK {
		return answer.Error
	}
	for i := range c.access {
		if c.access[i] == answer.Access && c.refresh[i] == answer.Refresh {
			return fmt.Sprintf("ok %d", i)
		}
	}
	c.learn(answer.Access, answer.Refresh)
	return fmt.Sprintf("ok %d", len(c.access)-1)
}

func (c *client) post(form url.Values) (int, []byte) {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	c.o.ServeHTTP(w, r)
	return w.Code, w.Body.Bytes()
}

func (c *client) call(n int) string {
	r := httptest.NewRequest(http.MethodGet, "/api", nil)
	r.Header.Set("Authorization", "Bearer "+c.access[n])
	w := httptest.NewRecorder()
	c.o.ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		return "works"
	}
	return fmt.Sprint(w.Code)
}

func TestWhatARefreshTokenThatWasUsedIsGoodForIsThePolicys(t *testing.T) {
	for _, tt := range []struct {
		name         string
		o            oracle.Options
		script, want string
	}{
		{"static: for ever", oracle.Options{Rotation: oracle.Static},
			"send 0, send 0, +9000h, send 0", "ok 1, ok 2, ok 3"},
		{"lenient: inside the window", oracle.Options{Rotation: oracle.Lenient, Window: 24 * time.Hour},
			"send 0, +24h, send 0, +1s, send 0, send 2", "ok 1, ok 2, invalid_grant, ok 3"},
		{"grace with a new pair: inside the window", oracle.Options{Rotation: oracle.Grace, Window: time.Minute},
			"send 0, +1m, send 0, +1s, send 0, send 2", "ok 1, ok 2, invalid_grant, ok 3"},
		{"grace with a new pair: the pair between is good", oracle.Options{Rotation: oracle.Grace, Window: time.Minute},
			"send 0, send 0, +1h, send 1, send 2", "ok 1, ok 2, ok 3, ok 4"},
		{"grace with the same pair", oracle.Options{Rotation: oracle.Grace, Window: time.Minute, SameSuccessor: true},
			"send 0, send 0, +1m, send 0, +1s, send 0, send 1", "ok 1, ok 1, ok 1, invalid_grant, ok 2"},
		{"grace: the window is counted from the first use", oracle.Options{Rotation: oracle.Grace, Window: time.Minute},
			"+9h, send 0, +40s, send 0, +40s, send 0", "ok 1, ok 2, invalid_grant"},
		{"grace with one repetition", oracle.Options{Rotation: oracle.Grace, Window: time.Minute, MaxReuse: 1},
			"send 0, send 0, send 0, send 2, send 2, send 2", "ok 1, ok 2, invalid_grant, ok 3, ok 4, invalid_grant"},
		{"grace with two repetitions of the same pair", oracle.Options{Rotation: oracle.Grace, Window: time.Minute, MaxReuse: 2, SameSuccessor: true},
			"send 0, send 0, send 0, send 0, send 1", "ok 1, ok 1, ok 1, invalid_grant, ok 2"},
		{"retired by the successor's refresh token", oracle.Options{Rotation: oracle.RetireOnUse},
			"send 0, +900h, send 0, send 2, send 0, send 1", "ok 1, ok 2, ok 3, invalid_grant, invalid_grant"},
		{"retired by the successor's access token", oracle.Options{Rotation: oracle.RetireOnUse},
			"send 0, send 0, call 0, send 0, call 3, send 0, send 2, send 3", "ok 1, ok 2, works, ok 3, works, invalid_grant, invalid_grant, ok 4"},
		{"retired on use with the same pair", oracle.Options{Rotation: oracle.RetireOnUse, SameSuccessor: true},
			"send 0, send 0, call 1, send 0", "ok 1, ok 1, works, invalid_grant"},
		{"strict: once, and the successor lives", oracle.Options{Rotation: oracle.Strict},
			"send 0, send 0, call 1, send 1, send 0, call 2", "ok 1, invalid_grant, works, ok 2, invalid_grant, works"},
		{"family_kill: once, and everything ends", oracle.Options{Rotation: oracle.FamilyKill},
			"send 0, call 0, call 1, send 0, call 0, call 1, send 1", "ok 1, works, works, invalid_grant, 401, 401, invalid_grant"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := newClient(t, tt.o).play(tt.script); got != tt.want {
				t.Errorf("%s:\n got %s\nwant %s", tt.script, got, tt.want)
			}
		})
	}
}

func TestAnAccessTokenDiesInTheWayThatIsSet(t *testing.T) {
	at := func(m oracle.Moment, after time.Duration) oracle.OldAccess {
		return oracle.OldAccess{From: m, After: after}
	}
	for _, tt := range []struct {
		name         string
		o            oracle.Options
		script, want string
	}{
		{"by itself", oracle.Options{AccessLife: time.Minute},
			"+59s, call 0, +1s, call 0", "works, 401"},
		{"not by its successor unless so set", oracle.Options{},
			"send 0, call 1, send 1, call 0, call 1, call 2", "ok 1, works, ok 2, works, works, works"},
		{"at rotation", oracle.Options{OldAccess: at(oracle.AtRotation, 0)},
			"send 0, call 0, call 1, send 1, call 1, call 2", "ok 1, 401, works, ok 2, 401, works"},
		{"ten minutes after rotation", oracle.Options{OldAccess: at(oracle.AtRotation, 10*time.Minute)},
			"send 0, call 1, +599s, send 1, call 0, +1s, call 0, call 1, +10m, call 1, call 2", "ok 1, works, ok 2, works, 401, works, 401, works"},
		{"but no later than by itself", oracle.Options{AccessLife: time.Minute, OldAccess: at(oracle.AtRotation, 10*time.Minute)},
			"send 0, +1m, call 0", "ok 1, 401"},
		{"when its successor is first used", oracle.Options{OldAccess: at(oracle.AtFirstUse, 0)},
			"send 0, call 0, +30m, call 0, call 1, call 0, call 1", "ok 1, works, works, works, 401, works"},
		{"when its successor is first refreshed", oracle.Options{OldAccess: at(oracle.AtFirstUse, 0)},
			"send 0, send 1, call 0, call 1", "ok 1, ok 2, 401, works"},
		{"ten seconds after its successor is first used", oracle.Options{OldAccess: at(oracle.AtFirstUse, 10*time.Second)},
			"send 0, call 1, +9s, call 0, call 1, +1s, call 0", "ok 1, works, works, works, 401"},
		{"not by a static token that is used again", oracle.Options{Rotation: oracle.Static, OldAccess: at(oracle.AtFirstUse, 0)},
			"send 0, send 0, call 0, call 2, call 1", "ok 1, ok 2, works, works, 401"},
		{"with the merchant's consent", oracle.Options{},
			"send 0, kill, call 0, call 1", "ok 1, 401, 401"},
		{"and lives only from when the API knows it", oracle.Options{SlowToAccept: 3 * time.Second, OldAccess: at(oracle.AtFirstUse, 0)},
			"call 0, send 0, call 1, call 0, +3s, call 0, call 1, call 0", "works, ok 1, 401, works, works, works, 401"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.o.Rotation == "" {
				tt.o.Rotation = oracle.Strict
			}
			if got := newClient(t, tt.o).play(tt.script); got != tt.want {
				t.Errorf("%s:\n got %s\nwant %s", tt.script, got, tt.want)
			}
		})
	}
}

func TestAClientThatIsNotTheAppIsRefusedAndSpendsNothing(t *testing.T) {
	c := newClient(t, oracle.Options{Rotation: oracle.FamilyKill, ClientID: "id", ClientSecret: "s3cret"})
	if got := c.play("send 0, send 0"); got != "invalid_client, invalid_client" {
		t.Errorf("got %s", got)
	}
	if why, dead := c.o.Dead("g"); dead || c.o.Rotations() != 0 {
		t.Errorf("dead: %v %q, %d rotations", dead, why, c.o.Rotations())
	}
}

// TestEveryFaultIsWhatItIsCalled looks at each fault as a client does, over a
// socket, and at what the log says of it.
func TestEveryFaultIsWhatItIsCalled(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fault   oracle.Fault
		answer  string // what arrives: a status and how the body is
		outcome string
		rotated int
	}{
		{"none", oracle.Fault{}, "200, whole", "rotated", 1},
		{"request lost", oracle.Fault{LoseRequest: true}, "no answer", "fault: request lost", 0},
		{"answer lost", oracle.Fault{LoseAnswer: true}, "no answer", "rotated, answer lost", 1},
		{"answer cut", oracle.Fault{CutAnswer: true}, "200, cut off", "rotated, answer lost", 1},
		{"another answer", oracle.Fault{Status: 503, Body: "{}"}, "503, whole", "fault: status 503", 0},
		{"an edited answer", oracle.Fault{Edit: func(m map[string]any) { delete(m, "access_token") }}, "200, whole", "rotated", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := oracle.New(oracle.Options{Rotation: oracle.Strict, AccessLife: time.Hour})
			o.SetFault(func(oracle.Send) oracle.Fault { return tt.fault })
			srv := httptest.NewServer(o)
			_, refresh := o.Issue("g")
			if got := arrives(srv, refresh); got != tt.answer {
				t.Errorf("the client sees %s, want %s", got, tt.answer)
			}
			srv.Close() // waits for the log's last line
			sends := o.Sends()
			if len(sends) != 1 || sends[0].Outcome != tt.outcome || sends[0].Issued != tt.rotated || o.Rotations() != tt.rotated {
				t.Errorf("the log says %+v, %d rotations", sends, o.Rotations())
			}
		})
	}
}

// arrives sends a refresh and words what comes back.
func arrives(srv *httptest.Server, refresh string) string {
	res, err := srv.Client().PostForm(srv.URL+"/token", url.Values{"refresh_token": {refresh}})
	if err != nil {
		return "no answer"
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || !json.Valid(body) {
		return fmt.Sprintf("%d, cut off", res.StatusCode)
	}
	return fmt.Sprintf("%d, whole", res.StatusCode)
}

func TestTheReportCountsWhatWasPresented(t *testing.T) {
	strict := oracle.Options{Rotation: oracle.Strict}
	for _, tt := range []struct {
		name   string
		o      oracle.Options
		script string
		want   oracle.Report
	}{
		{"one refresh after the other", strict, "send 0, send 1, send 2", oracle.Report{Sends: 3, Rotations: 3}},
		{"a token again proves a cut", strict, "send 0, send 0", oracle.Report{Sends: 2, Rotations: 1, Cuts: 1}},
		{"but not if its successor had come", strict, "send 0, send 1, send 0", oracle.Report{Sends: 3, Rotations: 2, TwoLate: 1}},
		{"nor if it came after all", strict, "send 0, send 0, send 1", oracle.Report{Sends: 3, Rotations: 2}},
		{"a repeated pair is no rotation", oracle.Options{Rotation: oracle.Grace, Window: time.Hour, SameSuccessor: true},
			"send 0, send 0, send 1", oracle.Report{Sends: 3, Rotations: 2}},
		{"reuse that kills", oracle.Options{Rotation: oracle.FamilyKill}, "send 0, send 0, send 1",
			oracle.Report{Sends: 3, Rotations: 1, Dead: map[string]int{"refresh token used again": 1}}},
		{"a merchant who removes access", strict, "kill, send 0",
			oracle.Report{Sends: 1, Dead: map[string]int{"revoked by the merchant": 1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, tt.o)
			c.play(tt.script)
			if tt.want.Dead == nil {
				tt.want.Dead = map[string]int{}
			}
			if diff := cmp.Diff(tt.want, c.o.Report()); diff != "" {
				t.Errorf("%s: -want +got\n%s", tt.script, diff)
			}
		})
	}
}

func TestATokenThatWasNeverIssuedIsCountedAndRefused(t *testing.T) {
	c := newClient(t, oracle.Options{Rotation: oracle.FamilyKill})
	status, _ := c.post(url.Values{"refresh_token": {"rt-of-somebody-else"}})
	if r := c.o.Report(); status != http.StatusBadRequest || r.Unknown != 1 || len(r.Dead) != 0 {
		t.Errorf("%d, %+v", status, r)
	}
}

// TestOverlapsAreSeen holds one request of a grant while others come.
func TestOverlapsAreSeen(t *testing.T) {
	o := oracle.New(oracle.Options{Rotation: oracle.Grace, Window: time.Hour, AccessLife: time.Hour})
	srv := httptest.NewServer(o)
	defer srv.Close()
	_, one := o.Issue("one")
	_, two := o.Issue("two")
	first := true
	arrived := make(chan struct{})
	o.SetFault(func(oracle.Send) oracle.Fault {
		if !first {
			return oracle.Fault{}
		}
		first = false
		close(arrived)
		return oracle.Fault{Before: time.Minute} // until its client goes
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/token", strings.NewReader("refresh_token="+one))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	held, hang := make(chan struct{}), srv.Client()
	go func() {
		defer close(held)
		if res, err := hang.Do(r); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-arrived
	arrives(srv, two)
	if n := o.Report().Overlaps; n != 0 {
		t.Errorf("%d overlaps between two grants", n)
	}
	arrives(srv, one)
	if n := o.Report().Overlaps; n != 1 {
		t.Errorf("%d overlaps, want 1", n)
	}
	srv.CloseClientConnections()
	<-held
	for o.Sends()[0].End.IsZero() {
		arrives(srv, two) // until the server has seen that its client went
	}
	arrives(srv, one)
	if n := o.Report().Overlaps; n != 1 {
		t.Errorf("%d overlaps after the first had ended, want 1", n)
	}
}
