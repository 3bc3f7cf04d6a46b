package e2e_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

// exchangeSteps are the durable steps of a code exchange. Where killed is set,
// the death of the process takes the tokens along, and the merchant has to
// approve again.
var exchangeSteps = []step{
	{name: "before the code is sent", point: "connect.before-send", killed: true, cannot: []string{"error"}},
	{name: "answer received", point: "connect.received", killed: true, cannot: []string{"error"}},
	{name: "before the journal is written", point: "spool.before-write", killed: true},
	{name: "journal written", point: "spool.written"},
	{name: "before the journal is flushed", point: "spool.before-sync"},
	{name: "journal flushed", point: "spool.synced"},
	{name: "in the spool", point: "connect.spooled", cannot: []string{"error"}},
	{name: "before the tokens are stored", point: "connect.before-issue"},
	{name: "before the COMMIT of the tokens", point: "connect.before-issue>store.before-commit"},
	{name: "after the COMMIT of the tokens", point: "connect.before-issue>store.committed", cannot: []string{"error"}},
	{name: "stored", point: "connect.issued", cannot: []string{"error"}},
	{name: "before the journal is marked", point: "spool.before-done"},
}

// TestMatrixOfAnExchange makes everything go wrong at every durable step of a
// code exchange. Whatever happens, a code is presented once; an answer that was
// journaled makes the connection without the merchant, and otherwise the same
// link works again.
func TestMatrixOfAnExchange(t *testing.T) {
	t.Parallel()
	program, err := faulty()
	if err != nil {
		t.Fatal(err)
	}
	var all []*exchangeCell
	for _, s := range exchangeSteps {
		for _, action := range []string{"kill", "error", "pause"} {
			if !slices.Contains(s.cannot, action) {
				all = append(all, &exchangeCell{cell: cell{step: s, action: action, policy: oracle.FamilyKill}})
			}
		}
	}
	for _, c := range all {
		c.begin(t, program)
	}
	for _, c := range all {
		c.strike()
	}
	for _, c := range all {
		c.resume()
	}
	for _, c := range all {
		c.judge()
	}
}

// exchangeCell is one case: a merchant who follows a link.
type exchangeCell struct {
	cell
	codes   *codes
	link    string
	visited chan error
}

func (c *exchangeCell) begin(t *testing.T, program string) {
	t.Helper()
	c.t = t
	c.codes = newCodes(t, oracle.Options{Rotation: c.policy, AccessLife: time.Hour})
	c.oracle = &judge{c.codes.Server, c.codes.url}
	c.server = newServer(t)
	c.server.program, c.server.quiet = program, true
	c.server.configure(app(c.codes.url, c.policy, ""), "")
	c.server.env = []string{"EVERGRANT_FAULT=" + c.fault()}
	c.server.start()
	l, err := c.server.CreateLink(t.Context(), client.NewLink{Ref: ref(1), BusinessName: "Café Nord", NoLanding: true})
	if err != nil {
		t.Fatal(err)
	}
	c.link = l.URL
	c.server.CloseIdleConnections()
	c.visited = make(chan error, 1)
	go func() { c.visited <- c.visit() }()
}

// visit follows the link as a merchant does who approves.
func (c *exchangeCell) visit() error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.link, nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Jar: jar, Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// judge waits for the connection, sending the merchant again where the tokens
// are gone, and compares it with what the provider saw.
func (c *exchangeCell) judge() {
	t := c.t
	t.Helper()
	if err := <-c.visited; err != nil && c.action != "kill" {
		t.Errorf("%s: the merchant's visit failed: %v", c, err)
	}
	trips := 1
	if c.killed && c.action == "kill" {
		trips = 2
		if err := c.visit(); err != nil {
			t.Errorf("%s: the same link does not work again: %v", c, err)
		}
	}
	eventually(t, time.Minute, "a connection after "+c.String(), func() bool {
		conn, err := c.server.Connection(t.Context(), ref(1))
		return err == nil && conn.State == "connected"
	})
	token, err := c.server.Token(t.Context(), ref(1), nil)
	switch {
	case err != nil:
		t.Errorf("%s: connected and no token: %v", c, err)
	case !c.oracle.AccessValid(token.AccessToken):
		t.Errorf("%s: the token served does not work", c)
	}
	if given, most := c.codes.count(); given != trips || most > 1 {
		t.Errorf("%s: the merchant was sent to the provider %d times, want %d; a code was presented %d times", c, given, trips, most)
	}
	c.server.CloseIdleConnections()
	c.server.kill()
}

// codes is an oracle behind an authorization endpoint at which everybody
// approves. It counts how often each code is presented.
type codes struct {
	*oracle.Server
	url string

	mu        sync.Mutex
	presented map[string]int
}

func newCodes(t *testing.T, o oracle.Options) *codes {
	t.Helper()
	c := &codes{Server: oracle.New(o), presented: map[string]int{}}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	c.url = srv.URL
	return c
}

// ServeHTTP implements [http.Handler].
func (c *codes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/authorize":
		c.authorize(w, r)
	case r.URL.Path == "/token" && r.FormValue("grant_type") == "authorization_code":
		c.exchange(w, r.FormValue("code"))
	default:
		c.Server.ServeHTTP(w, r)
	}
}

func (c *codes) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	code := rand.Text()
	c.mu.Lock()
	c.presented[code] = 0
	c.mu.Unlock()
	back := q.Get("redirect_uri") + "?" + url.Values{"code": {code}, "state": {q.Get("state")}}.Encode()
	http.Redirect(w, r, back, http.StatusFound)
}

func (c *codes) exchange(w http.ResponseWriter, code string) {
	c.mu.Lock()
	times, known := c.presented[code]
	c.presented[code]++
	c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if !known || times > 0 {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": "invalid_grant"})
		return
	}
	access, refresh := c.Issue("by " + code)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 3600,
	})
}

// count returns how many codes were given out and how often the one was
// presented that was presented most.
func (c *codes) count() (given, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.presented {
		most = max(most, n)
	}
	return len(c.presented), most
}
