package sandbox_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/sandbox"
)

func TestTheClockMovesForward(t *testing.T) {
	var told []time.Duration
	b := start(t, sandbox.Config{OnAdvance: func(d time.Duration) { told = append(told, d) }})
	before := b.sb.Now()
	a := b.control(http.MethodPost, "/clock", `{"advance":"1d12h"}`, nil)
	if want := before.Add(36 * time.Hour).Format(time.RFC3339); a.Fields["now"] != want {
		t.Errorf("now = %v, want %s", a.Fields["now"], want)
	}
	if got, want := a.Header.Get("Date"), before.Format(http.TimeFormat); got != want {
		t.Errorf("Date of the request that moves the clock = %s, want %s", got, want)
	}
	b.sb.Advance(time.Hour)
	b.sb.Advance(-time.Hour)
	if diff := cmp.Diff([]time.Duration{36 * time.Hour, time.Hour}, told); diff != "" {
		t.Errorf("OnAdvance (-want +got):\n%s", diff)
	}
	if got := b.sb.Now().Sub(before); got != 37*time.Hour {
		t.Errorf("the clock is ahead by %s", got)
	}
}

func TestBadControlInputNamesTheField(t *testing.T) {
	b := start(t, sandbox.Config{})
	for _, c := range []struct{ path, body, want string }{
		{"/clock", `{"advance":"soon"}`, `advance: "soon" is not a duration`},
		{"/clock", `{"advance":"-1h"}`, `advance: `},
		{"/clock", `{"advance":"3651d"}`, `advance: `},
		{"/clock", `{"advance":1}`, `advance: number`},
		{"/clock", `{}`, `advance: `},
		{"/clock", `{"back":"1h"}`, `"back"`},
		{"/clock", ``, `body: `},
		{"/clock", `[]`, `body: must be a JSON object`},
		{"/clock", `{"advance":"1h"} {}`, `body: more than one`},
		{"/lifetimes", `{"access":"0s"}`, `access: `},
		{"/lifetimes", `{"refresh":"1y"}`, `refresh: `},
		{"/lifetimes", `{"code":"x"}`, `code: `},
		{"/faults", `{"fault":"gremlins"}`, `fault: "gremlins" is unknown`},
		{"/faults", `{}`, `fault: `},
		{"/faults", `{"fault":"slow","times":-1}`, `times: `},
		{"/faults", `{"fault":"slow","for":"x"}`, `for: `},
		{"/faults", `{"fault":"slow","app":"l-series"}`, `app: "l-series" is no client id`},
		{"/faults", `{"fault":"slow","app":"devp-a","client_id":"devp-b"}`, `client_id: differs from app`},
		{"/faults", `{"fault":"slow","match":{"delay":"x"}}`, `match.delay: `},
		{"/faults", `{"fault":"status_500","match":{"delay":"1s"}}`, `match.delay: only for slow`},
		{"/faults", `{"fault":"status_429","match":{"retry_after":"soon"}}`, `match.retry_after: `},
		{"/faults", `{"fault":"slow","match":{"grant_type":"password"}}`, `match.grant_type: `},
		{"/faults", `{"fault":"api_401","match":{"body":"x"}}`, `match.body: `},
		{"/faults", `{"fault":"slow","match":{"colour":"red"}}`, `match.colour: `},
		{"/clients", `{"client_id":"acme"}`, `client_id: "acme"`},
		{"/clients", `{"client_id":"devp-a","rotation":"x"}`, `rotation: `},
		{"/clients", `{"client_id":"devp-a","window":"x"}`, `window: `},
		{"/clients", `{"client_id":"devp-a","redirect_uris":["http://app.example"]}`, `redirect_uris[0]: `},
		{"/clients", `{"client_id":"devp-a","scopes":["a b"]}`, `scopes[0]: `},
		{"/users", `{"email":"nobody"}`, `email: `},
		{"/users", `{"email":"a@b.example","businesses":[{"id":0}]}`, `businesses[0].id: `},
		{"/users", `{"email":"a@b.example","businesses":[{"id":1,"locations":[{"id":1.5}]}]}`, `locations`},
		{"/users", `{"email":"a@b.example","businesses":[{"id":1,"locations":[{"id":-1}]}]}`, `businesses[0].locations[0].id: `},
	} {
		a := b.control(http.MethodPost, c.path, c.body, nil)
		if text, _ := a.Fields["error"].(string); a.Status != http.StatusBadRequest || !strings.Contains(text, c.want) {
			t.Errorf("%s %s answered %d %s, want %s", c.path, c.body, a.Status, a.Raw, c.want)
		}
	}
	if a := b.control(http.MethodGet, "/log?limit=x", "", nil); a.Status != http.StatusBadRequest {
		t.Errorf("limit=x answered %d", a.Status)
	}
	if a := b.control(http.MethodGet, "/nothing", "", nil); a.Status != http.StatusNotFound {
		t.Errorf("an unknown control answered %d", a.Status)
	}
}

func TestUsersAreAddedAndRevoked(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.control(http.MethodPost, "/users", `{"email":"new@cafe.example","password":"pw","name":"New","businesses":[{"id":7,"name":"Café","currency":"EUR","locations":[{"id":8,"name":"Bar","country":"BE","timezone":"Europe/Brussels"}]}]}`, nil)
	final, _, err := sandbox.Visit{Client: b.http, Email: "new@cafe.example", Password: "pw"}.Follow(t.Context(), b.authorizeURL())
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(final)
	tok := b.must(b.exchange(u.Query().Get("code")))
	if a := b.get("/f/data/businesses", tok.Access); !strings.Contains(a.Raw, `"blID":8`) {
		t.Errorf("businesses answered %s", a.Raw)
	}
	if a := b.control(http.MethodPost, "/users/new@cafe.example/revoke", "", nil); a.Fields["revoked"] != 1.0 {
		t.Errorf("revoke answered %s", a.Raw)
	}
	if a := b.get("/f/data/businesses", tok.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("a revoked token answered %d", a.Status)
	}
	if a := b.control(http.MethodPost, "/users/nobody@cafe.example/revoke", "", nil); a.Status != http.StatusNotFound {
		t.Errorf("an unknown user answered %d", a.Status)
	}
	rep := b.sb.Report()
	if diff := cmp.Diff(sandbox.GrantCounts{Dead: map[string]int{"user_revoked": 1}}, rep.Grants); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

func TestFaultsAreListedAndDeleted(t *testing.T) {
	b := start(t, sandbox.Config{})
	for _, body := range []string{
		`{"client_id":"devp-v2-demo-acme","fault":"status_429","times":2,"for":"10m","match":{"retry_after":"30"}}`,
		`{"app":"lightspeed-k-v1","fault":"html"}`,
		`{"fault":"invalid_grant_once"}`,
	} {
		if a := b.control(http.MethodPost, "/faults", body, nil); a.Status != http.StatusCreated {
			t.Errorf("%s answered %d %s", body, a.Status, a.Raw)
		}
	}
	a := b.control(http.MethodGet, "/faults", "", nil)
	want := `{"data":[{"app":"devp-v2-demo-acme","fault":"status_429","times_left":2,"until":"2026-11-21T12:10:00Z","match":{"retry_after":"30"},"hits":0},{"app":"lightspeed-k-v1","fault":"html","hits":0},{"fault":"invalid_grant_once","times_left":1,"hits":0}]}`
	if diff := cmp.Diff(want, strings.TrimSpace(a.Raw)); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	for i, c := range []struct {
		query string
		want  float64
	}{{"?fault=html", 1}, {"?app=devp-v2-demo-acme", 1}, {"", 1}, {"", 0}} {
		if a := b.control(http.MethodDelete, "/faults"+c.query, "", nil); a.Fields["deleted"] != c.want {
			t.Errorf("%d: DELETE /faults%s answered %s, want %v", i, c.query, a.Raw, c.want)
		}
	}
}

func TestStrictRegistrationReplacesTrustOnFirstUse(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.control(http.MethodPost, "/clients", `{"client_id":"devp-v2-demo-acme","client_secret":"s","redirect_uris":["https://app.example/other"],"scopes":["items"]}`, nil)
	if a := b.must(b.do(mustRequest(t, http.MethodGet, b.authorizeURL()))); !strings.Contains(a.Raw, "Invalid parameter: redirect_uri") {
		t.Errorf("the unregistered redirect URI answered %d", a.Status)
	}
	final, _, err := sandbox.Visit{Client: b.http}.Follow(t.Context(), b.authorizeURL("redirect_uri", "https://app.example/other"))
	if err == nil || !strings.Contains(final, "error=invalid_scope") {
		t.Errorf("a scope that is not enabled ended at %s, %v", final, err)
	}
	if a := b.must(b.refresh("x")); a.Status != http.StatusUnauthorized {
		t.Errorf("another secret answered %d", a.Status)
	}
}

func TestNothingShowsATokenOrASecret(t *testing.T) {
	b := start(t, sandbox.Config{})
	first := b.connect(anna)
	second := b.must(b.refresh(first.Refresh))
	b.must(b.refresh(first.Refresh))
	b.get("/f/data/businesses", second.Access)
	for _, path := range []string{"/state", "/log", "/report", "/faults"} {
		a := b.control(http.MethodGet, path, "", nil)
		for _, hidden := range []string{first.Access, first.Refresh, second.Access, second.Refresh, secret, "\"sandbox\""} {
			if strings.Contains(a.Raw, hidden) {
				t.Errorf("%s shows %.12s…", path, hidden)
			}
		}
	}
	state := b.control(http.MethodGet, "/state", "", nil)
	for _, part := range []string{`"id":"g1"`, `"state":"dead"`, `"reason":"refresh_token_reused"`, `"email":"` + anna, `"rotation":"family_kill"`, `"access":"25m0s"`, `"now":"2026-11-21T12:00:00Z"`} {
		if !strings.Contains(state.Raw, part) {
			t.Errorf("state lacks %s: %s", part, state.Raw)
		}
	}
}

func TestTheLogTellsWhatHappened(t *testing.T) {
	b := start(t, sandbox.Config{})
	first := b.connect(anna)
	b.sb.Fault(sandbox.Fault{Fault: "lose_answer", Times: 1})
	_, _ = b.refresh(first.Refresh)
	b.must(b.refresh(first.Refresh))
	var log struct{ Data []sandbox.LogEntry }
	b.control(http.MethodGet, "/log", "", &log)
	var got []string
	for _, e := range log.Data {
		got = append(got, fmt.Sprintf("%s %s %d %s %s", e.Method, e.Path[strings.LastIndex(e.Path, "/"):], e.Status, e.Outcome, e.Fault))
		if e.Token != "" && !regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(e.Token) {
			t.Errorf("token %q is no fingerprint", e.Token)
		}
		if e.ClientID != v2ClientID {
			t.Errorf("%s has client %q", e.Path, e.ClientID)
		}
	}
	want := []string{
		"GET /auth 200 login page ",
		"POST /authenticate 302 logged in ",
		"GET /consent 200 consent page ",
		"POST /consent 302 code ",
		"POST /token 200 issued ",
		"POST /token 0 issued lose_answer",
		"POST /token 400 invalid_grant: Token is not active ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	b.control(http.MethodGet, "/log?limit=1", "", &log)
	if len(log.Data) != 1 || log.Data[0].Status != 400 {
		t.Errorf("limit=1 answered %+v", log.Data)
	}
}

func TestResetKeepsNothingButTheClock(t *testing.T) {
	b := start(t, sandbox.Config{})
	fresh := b.control(http.MethodGet, "/state", "", nil).Raw
	first := b.connect(anna)
	b.control(http.MethodPost, "/lifetimes", `{"access":"1s"}`, nil)
	b.control(http.MethodPost, "/users", `{"email":"new@cafe.example"}`, nil)
	b.sb.Fault(sandbox.Fault{Fault: "html"})
	b.sb.Advance(time.Hour)
	b.control(http.MethodPost, "/reset", "", nil)
	a := b.get("/f/data/businesses", first.Access)
	if a.Status != http.StatusUnauthorized {
		t.Errorf("a token from before answered %d", a.Status)
	}
	want := strings.NewReplacer("12:00:00Z", "13:00:00Z", `"advanced":"0s"`, `"advanced":"1h0m0s"`).Replace(fresh)
	if diff := cmp.Diff(want, b.control(http.MethodGet, "/state", "", nil).Raw); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestEveryAnswerSaysSandbox(t *testing.T) {
	b := start(t, sandbox.Config{})
	for _, path := range []string{"/", "/nothing", "/k/f/data/businesses", "/k/realms/other", "/k1/oauth/x", "/_sandbox/state", "/_sandbox/x"} {
		a := b.must(b.do(mustRequest(t, http.MethodGet, b.url+path)))
		if a.Header.Get("X-Sandbox") != "true" {
			t.Errorf("%s has no X-Sandbox", path)
		}
		if strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") && (!strings.Contains(a.Raw, `class="banner"`) || strings.Contains(a.Raw, "<script")) {
			t.Errorf("%s has no banner or has a script", path)
		}
	}
}

func TestVisitStartsAtALandingPage(t *testing.T) {
	b := start(t, sandbox.Config{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /connect/x", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<form action="/language"><button name="l" value="nl">Nederlands</button></form>
			<form method="post" action="/connect/x/start"><input type="hidden" name="csrf" value="1"><button>Continue</button></form>`))
	})
	mux.HandleFunc("POST /connect/x/start", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("csrf") != "1" || r.Header.Get("Sec-Fetch-Site") != "same-origin" {
			http.Error(w, "not a browser", http.StatusForbidden)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "flow", Value: "1", Path: "/"})
		http.Redirect(w, r, b.authorizeURL("redirect_uri", "http://"+r.Host+"/callback"), http.StatusSeeOther)
	})
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("flow"); err != nil || r.FormValue("code") == "" {
			http.Error(w, "no cookie or no code", http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, "/done", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /done", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`Connected. <form method="post" action="/disconnect"><button>Disconnect</button></form>`))
	})
	app := httptest.NewServer(mux)
	t.Cleanup(app.Close)
	final, page, err := sandbox.Visit{Email: anna}.Follow(t.Context(), app.URL+"/connect/x")
	if err != nil || final != app.URL+"/done" || !strings.HasPrefix(page, "Connected.") {
		t.Errorf("final = %s, page = %s, err = %v", final, page, err)
	}
}

func TestVisitSaysWhereItIsStuck(t *testing.T) {
	b := start(t, sandbox.Config{})
	final, page, err := sandbox.Visit{}.Follow(t.Context(), b.url+"/")
	if err == nil || final != b.url+"/" || !strings.Contains(page, "Lightspeed, on this machine") {
		t.Errorf("final = %s, err = %v", final, err)
	}
	if _, _, err := (sandbox.Visit{}).Follow(t.Context(), "http://127.0.0.1:1/"); err == nil {
		t.Error("nobody listens there")
	}
}
