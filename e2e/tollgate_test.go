package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// tollgate stands before an authorization server that somebody else wrote. It
// takes down every token request and can lose an answer on its way back, after
// the server has done what was asked.
type tollgate struct {
	url string

	mu      sync.Mutex
	proxy   http.Handler
	path    string // of the token endpoint
	tolls   []toll
	lose    int // of the next refreshes' answers
	under   int // refreshes under way
	overlap int
}

// toll is one token request and what the server answered.
type toll struct {
	grantType string
	spent     string // the refresh token that was presented
	at        time.Time
	answer    answer
	lost      bool // the answer did not arrive
}

// answer is what a token endpoint says.
type answer struct {
	status       int
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	Error        string `json:"error"`
}

// newTollgate listens until the test ends; open says what it stands before.
func newTollgate(t *testing.T) *tollgate {
	t.Helper()
	g := &tollgate{}
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	g.url = srv.URL
	return g
}

// open lets requests through to a server.
func (g *tollgate) open(t *testing.T, to string) {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.proxy = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // what the server calls itself
	}}
}

// ServeHTTP implements [http.Handler].
func (g *tollgate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	proxy := g.proxy
	g.mu.Unlock()
	grantType, spent := "", ""
	if r.Method == http.MethodPost {
		grantType, spent = g.read(r)
	}
	if grantType == "" {
		proxy.ServeHTTP(w, r)
		return
	}
	refresh := grantType == "refresh_token"
	began := time.Now()
	if refresh {
		g.begin()
		defer g.end()
	}
	kept := httptest.NewRecorder()
	proxy.ServeHTTP(kept, r)
	p := toll{grantType: grantType, spent: spent, at: began, answer: answer{status: kept.Code}}
	_ = json.Unmarshal(kept.Body.Bytes(), &p.answer)
	g.mu.Lock()
	if p.lost = refresh && g.lose > 0; p.lost {
		g.lose--
	}
	g.tolls, g.path = append(g.tolls, p), r.URL.Path
	g.mu.Unlock()
	if p.lost {
		panic(http.ErrAbortHandler) // cuts the connection without an answer
	}
	for name, values := range kept.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(kept.Code)
	_, _ = w.Write(kept.Body.Bytes())
}

// read returns what a form asks for and leaves the request as it was.
func (g *tollgate) read(r *http.Request) (grantType, spent string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, _ := url.ParseQuery(string(body))
	return form.Get("grant_type"), form.Get("refresh_token")
}

func (g *tollgate) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.under++; g.under > 1 {
		g.overlap++
	}
}

func (g *tollgate) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.under--
}

// loseAnswer has the answer to the next refresh lost.
func (g *tollgate) loseAnswer() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lose++
}

// told returns the requests of a grant type, all of them if none is given.
func (g *tollgate) told(grantType string) []toll {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []toll
	for _, p := range g.tolls {
		if grantType == "" || p.grantType == grantType {
			all = append(all, p)
		}
	}
	return all
}

// reused counts refresh tokens that were presented after the server had answered
// them with new ones.
func (g *tollgate) reused() int {
	n, done := 0, map[string]bool{}
	for _, p := range g.told("refresh_token") {
		if done[p.spent] {
			n++
		}
		done[p.spent] = done[p.spent] || p.answer.status == http.StatusOK
	}
	return n
}

// tokenPath is where token requests went.
func (g *tollgate) tokenPath() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.path
}

// overlaps counts refreshes that began while another was under way. A test has
// one grant.
func (g *tollgate) overlaps() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.overlap
}

// newest is the last answer with tokens that arrived.
func (g *tollgate) newest() toll {
	var last toll
	for _, p := range g.told("") {
		if p.answer.status == http.StatusOK && !p.lost {
			last = p
		}
	}
	return last
}

// buildProvider builds the authorization server in a folder, which is a Go
// module of its own.
func buildProvider(t *testing.T, folder string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), folder)
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir, build.Stderr = folder, os.Stderr
	if err := build.Run(); err != nil {
		t.Fatalf("build the authorization server to test against; its modules come with: make deps (%v)", err)
	}
	return program
}
