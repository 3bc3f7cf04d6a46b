package e2e_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/oracle"
)

// TestMatrixOfAnExchange makes everything go wrong at every durable step of a
// code exchange. Whatever happens, a code is presented once; an answer that was
// journaled makes the connection without the merchant, and otherwise the same
// link works again.
func TestMatrixOfAnExchange(t *testing.T) {
	t.Parallel()
	matrixOfAnExchange(t, files())
}

// TestMatrixOfAnExchangeOnPostgreSQL is TestMatrixOfAnExchange where the store
// outlives the process.
func TestMatrixOfAnExchangeOnPostgreSQL(t *testing.T) {
	t.Parallel()
	matrixOfAnExchange(t, databases(t))
}

func matrixOfAnExchange(t *testing.T, where site) {
	t.Helper()
	program, err := faulty()
	if err != nil {
		t.Fatal(err)
	}
	var all []*exchangeCell
	for _, s := range exchangeSteps {
		for _, action := range actions {
			if s.happens(action, where) {
				all = append(all, &exchangeCell{cell: cell{site: where, step: s, action: action, policy: oracle.FamilyKill}})
			}
		}
	}
	together(t, all, atOnce, func(t *testing.T, c *exchangeCell) {
		c.begin(t, program)
		c.strike()
		c.judge()
	})
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
	c.server = c.prepare(t)
	c.server.program, c.server.quiet = program, true
	c.server.configure(app(c.codes.url, c.policy, ""), "")
	c.server.env = []string{"EVERGRANT_FAULT=" + c.fault()}
	c.start()
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
	if err := <-c.visited; err != nil && !c.dead { // the page may say that something went wrong
		t.Errorf("the merchant's visit failed: %v", err)
	}
	trips := 1
	if c.killed && (c.dead || c.action == "panic") {
		trips = 2
		if err := c.visit(); err != nil {
			t.Errorf("the same link does not work again: %v", err)
		}
	}
	if c.action == "panic" && !c.dead && !c.killed {
		c.server.kill() // what is in the journal, and whose request is over, is the next process's
		c.start()
	}
	every(t, seldom, time.Minute, "a connection", func() bool {
		conn, err := c.server.Connection(t.Context(), ref(1))
		return err == nil && conn.State == "connected"
	})
	token, err := c.server.Token(t.Context(), ref(1), nil)
	switch {
	case err != nil:
		t.Errorf("connected and no token: %v", err)
	case !c.oracle.AccessValid(token.AccessToken):
		t.Error("the token served does not work")
	}
	if given, most := c.codes.count(); given != trips || most > 1 {
		t.Errorf("the merchant was sent to the provider %d times, want %d; a code was presented %d times", given, trips, most)
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
