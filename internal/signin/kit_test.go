package signin_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/signin"
	"github.com/evergrant/evergrant/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a dashboard that only says who one is, behind a login.
type site struct {
	t      *testing.T
	store  *sqlite.Store
	ring   *seal.Ring
	signin *signin.Service
	server *httptest.Server
	op     *op // nil: none

	mu  sync.Mutex
	at  time.Time
	log bytes.Buffer
}

// now is the site's clock.
func (s *site) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

func (s *site) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = s.at.Add(d)
}

// Write implements [io.Writer] for the log.
func (s *site) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(b)
}

func (s *site) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// newSite starts a site over https until the test ends. change may change its
// configuration; with an op, people may log in there.
func newSite(t *testing.T, o *op, change ...func(*signin.Config)) *site {
	t.Helper()
	s := &site{t: t, op: o, at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	var err error
	s.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "db"), Now: s.now})
	must(t, err)
	t.Cleanup(func() { _ = s.store.Close() })
	s.ring, err = seal.Ephemeral()
	must(t, err)
	mux := http.NewServeMux()
	s.server = httptest.NewTLSServer(mux)
	t.Cleanup(s.server.Close)
	c := signin.Config{Store: s.store, Ring: s.ring, URL: s.server.URL, Logger: slog.New(slog.NewTextHandler(s, nil)), Now: s.now}
	if o != nil {
		o.redirect, o.now = s.server.URL+"/login/callback", s.now
		c.OIDC = &signin.OIDC{
			Issuer: o.server.URL, ClientID: opClient, ClientSecret: secret.New(opSecret), Scopes: []string{"openid", "email"}, Claim: "groups",
			Roles: map[access.Role][]string{
				access.Operator: {"anna@acme.example", "platform"}, access.Support: {"care"}, access.Viewer: {"everybody", "bob@acme.example"},
			},
		}
	}
	for _, f := range change {
		f(&c)
	}
	s.signin, err = signin.New(c)
	must(t, err)
	t.Cleanup(s.signin.Close)
	for _, path := range []string{"/login", "/login/", "/logout"} {
		mux.Handle(path, s.signin.Handler())
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p, ok := s.signin.Person(r)
		fmt.Fprintf(w, "%q %s %t at %s", p.Name, p.Role, ok, r.URL.RequestURI())
	})
	return s
}

// invite makes a link and returns it.
func (s *site) invite(role access.Role) string {
	s.t.Helper()
	i, err := s.signin.Invite(s.t.Context(), "Anna", role)
	must(s.t, err)
	return i.URL.Reveal()
}

// browser has cookies of its own and follows no redirect.
type browser struct {
	s      *site
	client *http.Client
}

func (s *site) browser() *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	must(s.t, err)
	c := *s.server.Client()
	c.Jar, c.CheckRedirect = jar, func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{s, &c}
}

// page is an answer.
type page struct {
	status   int
	header   http.Header
	body     string
	location string
	cookies  []*http.Cookie
}

// do sends a request. Header lines are "Name: value".
func (b *browser) do(method, target string, form url.Values, header ...string) page {
	b.s.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.s.server.URL + target
	}
	r, err := http.NewRequestWithContext(b.s.t.Context(), method, target, strings.NewReader(form.Encode()))
	must(b.s.t, err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	res, err := b.client.Do(r)
	must(b.s.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(b.s.t, err)
	return page{res.StatusCode, res.Header, string(body), res.Header.Get("Location"), res.Cookies()}
}

func (b *browser) get(target string, header ...string) page {
	b.s.t.Helper()
	return b.do("GET", target, nil, header...)
}

func (b *browser) post(target string, form url.Values, header ...string) page {
	b.s.t.Helper()
	return b.do("POST", target, form, header...)
}

// is fails the test unless the site takes the browser's person for role; "" is
// nobody.
func (b *browser) is(name string, role access.Role) {
	b.s.t.Helper()
	want := fmt.Sprintf("%q %s %t at /", name, role, role != "")
	if got := b.get("/").body; got != want {
		b.s.t.Errorf("the site says %s, want %s", got, want)
	}
}

// depart sends the person to the identity provider and returns where they are
// sent, with what goes with them.
func (b *browser) depart(next string) url.Values {
	b.s.t.Helper()
	p := b.post("/login/oidc", url.Values{"next": {next}})
	u, err := url.Parse(p.location)
	must(b.s.t, err)
	if p.status != http.StatusSeeOther || !strings.HasPrefix(p.location, b.s.op.server.URL+"/authorize?") {
		b.s.t.Fatalf("the login does not lead to the provider: %d %s %s", p.status, p.location, p.body)
	}
	return u.Query()
}

// login logs in at the provider as somebody with these claims, and returns the
// page that the callback leads to.
func (b *browser) login(claims map[string]any) page {
	b.s.t.Helper()
	return b.get(b.s.op.approve(b.depart("/connections?state=x"), claims))
}

const (
	opClient = "evergrant"
	opSecret = "a secret with : and + and %"
)

// op is an OpenID provider without a login: the test says who has approved.
type op struct {
	t        *testing.T
	server   *httptest.Server
	key      *ecdsa.PrivateKey
	redirect string
	now      func() time.Time

	// What it does otherwise than usual.
	document  func(map[string]any) // changes the discovery document
	token     func(map[string]any) // changes the claims of the next ID token
	sign      func(claims []byte) string
	userinfo  map[string]any // is answered there; nil: what the ID token says
	down      bool
	hidden    []string // claims that only the userinfo endpoint tells
	tokenCode int      // status of the token endpoint, if not 0

	astray atomic.Int32 // requests to where a redirect led

	mu       sync.Mutex
	codes    map[string]approval
	redeemed int
	auth     string // how the last client authenticated
}

type approval struct {
	q      url.Values
	claims map[string]any
}

func newOP(t *testing.T) *op {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	o := &op{t: t, key: key, codes: map[string]approval{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", o.discovery)
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", o.redeem)
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { o.astray.Add(1) })
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) { answer(w, o.userinfo) })
	o.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.down {
			http.Error(w, "a secret diagnosis", http.StatusInternalServerError)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(o.server.Close)
	return o
}

func (o *op) discovery(w http.ResponseWriter, _ *http.Request) {
	d := map[string]any{
		"issuer": o.server.URL, "authorization_endpoint": o.server.URL + "/authorize", "token_endpoint": o.server.URL + "/token",
		"jwks_uri": o.server.URL + "/jwks", "userinfo_endpoint": o.server.URL + "/me",
		"id_token_signing_alg_values_supported": []string{"ES256", "none", "HS256"}, "authorization_response_iss_parameter_supported": true,
	}
	if o.document != nil {
		o.document(d)
	}
	answer(w, d)
}

// approve is what happens at the provider: somebody with these claims agrees. It
// returns where their browser is sent.
func (o *op) approve(q url.Values, claims map[string]any) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	code := rand.Text()
	o.codes[code] = approval{q, claims}
	return q.Get("redirect_uri") + "?" + url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {o.server.URL}}.Encode()
}

func (o *op) redeem(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.redeemed++
	fail := func(code string) {
		w.WriteHeader(http.StatusBadRequest)
		answer(w, map[string]any{"error": code, "error_description": "a secret diagnosis"})
	}
	id, password, basic := r.BasicAuth()
	if basic {
		o.auth = "basic"
		id, _ = url.QueryUnescape(id)
		password, _ = url.QueryUnescape(password)
	} else {
		o.auth = "post"
		id, password = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	a, ok := o.codes[r.PostFormValue("code")]
	delete(o.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case o.tokenCode != 0:
		w.Header().Set("Location", o.server.URL+"/elsewhere")
		http.Error(w, "a secret diagnosis", o.tokenCode)
		return
	case id != opClient || password != opSecret && password != "":
		fail("invalid_client")
		return
	case !ok, r.PostFormValue("redirect_uri") != o.redirect, a.q.Get("code_challenge_method") != "S256",
		a.q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]):
		fail("invalid_grant")
		return
	}
	now := o.now()
	claims := map[string]any{"iss": o.server.URL, "sub": "anna-1", "aud": opClient, "nonce": a.q.Get("nonce"), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	maps.Copy(claims, a.claims)
	if o.userinfo == nil || o.hidden != nil {
		o.userinfo = maps.Clone(claims)
	}
	for _, name := range o.hidden {
		delete(claims, name)
	}
	if o.token != nil {
		o.token(claims)
	}
	plain, _ := json.Marshal(claims)
	sign := o.sign
	if sign == nil {
		sign = func(b []byte) string { return signed(o.t, o.key, b) }
	}
	answer(w, map[string]any{"access_token": "at-" + rand.Text(), "token_type": "Bearer", "expires_in": 60, "id_token": sign(plain)})
}

// signed signs claims as an ID token.
func signed(t *testing.T, key *ecdsa.PrivateKey, claims []byte) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	must(t, err)
	j, err := s.Sign(claims)
	must(t, err)
	text, err := j.CompactSerialize()
	must(t, err)
	return text
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
