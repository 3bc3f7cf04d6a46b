package signin_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/signin"
)

const cookieName = "__Host-evergrant_dashboard"

// with is a request that carries cookies.
func with(cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest("GET", "https://dashboard.example/", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

// session logs somebody in and returns their cookie.
func (s *site) session(role access.Role) *http.Cookie {
	s.t.Helper()
	return s.browser().post(s.invite(role), url.Values{}).cookies[0]
}

func TestTheSessionCookieIsKeptToThisHost(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	c := s.session(access.Operator)
	if c.Name != cookieName || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("over https: %v", c)
	}
	plain := newSite(t, nil, func(c *signin.Config) { c.URL = "http://127.0.0.1:8421" })
	i, err := plain.signin.Invite(t.Context(), "Anna", access.Viewer)
	must(t, err)
	w := httptest.NewRecorder()
	plain.signin.Handler().ServeHTTP(w, httptest.NewRequest("POST", i.URL.Reveal(), nil))
	c = w.Result().Cookies()[0]
	if c.Name != "evergrant_dashboard" || c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
		t.Errorf("over http on this machine: %v", c)
	}
	if w.Header().Get("Strict-Transport-Security") != "" {
		t.Error("http is told to be https from now on")
	}
}

func TestTheCookieHoldsANameARoleAndAnEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	sealed, err := base64.RawURLEncoding.DecodeString(s.session(access.Support).Value)
	must(t, err)
	plain, err := s.ring.Open(seal.Slot{Table: seal.Cookies, Row: "evergrant_dashboard "}, sealed)
	must(t, err)
	var got map[string]any
	must(t, json.Unmarshal(plain, &got))
	want := map[string]any{"n": "Anna", "r": "support", "u": float64(s.now().Add(signin.LinkSessionLife).Unix())}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyOurOwnCookieMakesOneSomebody(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o)
	good := s.session(access.Viewer).Value
	if p, ok := s.signin.Person(with(&http.Cookie{Name: cookieName, Value: good})); !ok || p.Role != access.Viewer || !p.Until.Equal(s.now().Add(signin.LinkSessionLife)) {
		t.Fatalf("the good cookie: %+v %t", p, ok)
	}
	if _, ok := s.signin.Person(with(&http.Cookie{Name: cookieName, Value: "x"}, &http.Cookie{Name: cookieName, Value: good})); !ok {
		t.Error("a stray cookie before the good one hides it")
	}
	sealedIn := func(r *seal.Ring, slot seal.Slot, text string) string {
		b, err := r.Seal(slot, []byte(text))
		must(t, err)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	stranger, err := seal.Ephemeral()
	must(t, err)
	slot := seal.Slot{Table: seal.Cookies, Row: "evergrant_dashboard " + policyOf(t, s, o)}
	const valid = `{"n":"Anna","r":"operator","u":99999999999}`
	if _, ok := s.signin.Person(with(&http.Cookie{Name: cookieName, Value: sealedIn(s.ring, slot, valid)})); !ok {
		t.Fatal("the slot of the forgeries is not the sessions'")
	}
	b := s.browser()
	b.depart("/")
	u, err := url.Parse(s.server.URL)
	must(t, err)
	journey := b.client.Jar.Cookies(u)[0]
	for name, c := range map[string]*http.Cookie{
		"no value":                         {Name: cookieName},
		"no base64":                        {Name: cookieName, Value: "!!!"},
		"another keyset":                   {Name: cookieName, Value: sealedIn(stranger, slot, valid)},
		"another row":                      {Name: cookieName, Value: sealedIn(s.ring, seal.Slot{Table: seal.Cookies, Row: "evergrant_login"}, valid)},
		"another table":                    {Name: cookieName, Value: sealedIn(s.ring, seal.Slot{Table: seal.Webhooks, Row: slot.Row}, valid)},
		"before the roles were changed":    {Name: cookieName, Value: sealedIn(s.ring, seal.Slot{Table: seal.Cookies, Row: "evergrant_dashboard "}, valid)},
		"the cookie of a login under way":  {Name: cookieName, Value: journey.Value},
		"the name of cookies over http":    {Name: "evergrant_dashboard", Value: good},
		"the name of secure cookies":       {Name: "__Secure-evergrant_dashboard", Value: good},
		"cut off":                          {Name: cookieName, Value: good[:len(good)-2]},
		"longer":                           {Name: cookieName, Value: good + "AA"},
		"padded":                           {Name: cookieName, Value: good + "="},
		"a role that is none":              {Name: cookieName, Value: sealedIn(s.ring, slot, `{"n":"Anna","r":"root","u":99999999999}`)},
		"no role":                          {Name: cookieName, Value: sealedIn(s.ring, slot, `{"n":"Anna","u":99999999999}`)},
		"no name":                          {Name: cookieName, Value: sealedIn(s.ring, slot, `{"r":"viewer","u":99999999999}`)},
		"no end":                           {Name: cookieName, Value: sealedIn(s.ring, slot, `{"n":"Anna","r":"viewer"}`)},
		"over":                             {Name: cookieName, Value: sealedIn(s.ring, slot, `{"n":"Anna","r":"viewer","u":1}`)},
		"no JSON":                          {Name: cookieName, Value: sealedIn(s.ring, slot, `Anna`)},
		"an API key in place of a session": {Name: cookieName, Value: access.NewSecret().Reveal()},
	} {
		if p, ok := s.signin.Person(with(c)); ok || p != (access.Person{}) {
			t.Errorf("%s: %+v", name, p)
		}
	}
	raw, err := base64.RawURLEncoding.DecodeString(good)
	must(t, err)
	for i := range raw {
		bent := slices.Clone(raw)
		bent[i] ^= 0x10
		if p, ok := s.signin.Person(with(&http.Cookie{Name: cookieName, Value: base64.RawURLEncoding.EncodeToString(bent)})); ok {
			t.Errorf("with byte %d changed it is %+v's", i, p)
		}
	}
}

// policyOf finds the policy by which a site seals its sessions: it is the row of
// a session that another site with the same roles takes, too.
func policyOf(t *testing.T, s *site, o *op) string {
	t.Helper()
	return signin.PolicyForTest(&signin.OIDC{Issuer: o.server.URL, ClientID: opClient, Claim: "groups", Roles: map[access.Role][]string{
		access.Viewer: {"bob@acme.example", "everybody"}, access.Support: {"care", "care"}, access.Operator: {"platform", "anna@acme.example"},
	}})
}

func TestAnAPIKeyIsNobodyHere(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	key := access.NewSecret().Reveal()
	for _, header := range []string{"Authorization: Bearer " + key, "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+key)), "X-Forwarded-User: anna"} {
		if p := s.browser().get("/", header); p.body != `""  false at /` {
			t.Errorf("with %s the site says %s", header, p.body)
		}
	}
}

func TestLoggingOutTakesAForm(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	b := s.browser()
	b.post(s.invite(access.Operator), url.Values{})
	if p := b.get("/logout"); p.status != 200 || !strings.Contains(p.body, "You are logged in as Anna (operator).") {
		t.Errorf("GET: %d %s", p.status, p.body)
	}
	b.is("Anna", access.Operator)
	if p := b.get("/login/out"); p.status != 303 || p.location != "/" {
		t.Errorf("the page of who has logged out is shown to who has not: %d", p.status)
	}
	p := b.post("/logout", url.Values{})
	if p.status != 303 || p.location != "/login/out" || p.cookies[0].Name != cookieName || p.cookies[0].MaxAge != -1 || !p.cookies[0].Secure {
		t.Errorf("POST: %d %s %v", p.status, p.location, p.cookies)
	}
	b.is("", "")
	if p := b.get("/login/out"); p.status != 200 || !strings.Contains(p.body, "You are logged out") {
		t.Errorf("%d %s", p.status, p.body)
	}
	if p := b.get("/logout"); p.status != 303 || p.location != "/login" {
		t.Errorf("GET by nobody: %d %s", p.status, p.location)
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o)
	link := s.invite(access.Operator)
	b := s.browser()
	b.post(s.invite(access.Viewer), url.Values{})
	for _, header := range [][]string{
		{"Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site"}, {"Origin: https://evil.example"}, {"Origin: null"},
		{"Sec-Fetch-Site: cross-site", "Origin: " + s.server.URL + ".evil.example"},
	} {
		for _, path := range []string{link, "/logout", "/login/oidc"} {
			p := b.post(path, url.Values{}, header...)
			if p.status != http.StatusForbidden || len(p.cookies) > 0 || p.location != "" {
				t.Errorf("%s with %v: %d", path, header, p.status)
			}
		}
	}
	b.is("Anna", access.Viewer)
	for _, header := range [][]string{{"Sec-Fetch-Site: same-origin", "Origin: null"}, {"Sec-Fetch-Site: none"}, {"Origin: " + s.server.URL}} {
		if p := s.browser().post(s.invite(access.Operator), url.Values{}, header...); p.status != 303 {
			t.Errorf("our own form with %v: %d", header, p.status)
		}
	}
	if p := s.browser().post(link, url.Values{}); p.status != 303 {
		t.Errorf("the link was used up by a form that was refused: %d", p.status)
	}
}

func TestAProxyMayCallUsByAnotherName(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, func(c *signin.Config) { c.URL = "https://dashboard.example" })
	i, err := s.signin.Invite(t.Context(), "Anna", access.Viewer)
	must(t, err)
	path := strings.TrimPrefix(i.URL.Reveal(), "https://dashboard.example")
	if path == i.URL.Reveal() {
		t.Fatalf("the link is not at the address people use")
	}
	if p := s.browser().post(path, url.Values{}, "Origin: https://dashboard.example"); p.status != 303 {
		t.Errorf("%d %s", p.status, p.body)
	}
}

func TestEveryAnswerIsProtected(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o)
	link := s.invite(access.Viewer)
	b := s.browser()
	for _, c := range []struct {
		method, target string
		status         int
	}{
		{"GET", "/login", 200}, {"GET", "/login?next=/x", 200}, {"HEAD", "/login", 200}, {"POST", "/login", 405}, {"GET", "/login/nothing", 404},
		{"GET", "/login/link/nothing", 404}, {"DELETE", link, 405}, {"GET", link, 200}, {"GET", "/login/oidc", 303}, {"POST", "/login/oidc", 303},
		{"GET", "/login/callback", 400}, {"GET", "/login/callback?code=x&state=y", 400}, {"HEAD", "/login/callback?code=x&state=y", 400},
		{"GET", "/login/out", 200}, {"GET", "/logout", 303}, {"POST", "/logout", 303}, {"PUT", "/logout", 405}, {"POST", link, 303},
	} {
		p := b.do(c.method, c.target, nil)
		if p.status != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.target, p.status, c.status)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Strict-Transport-Security": "max-age=31536000", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q", c.method, c.target, name, got)
			}
		}
		csp := p.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'") || strings.Contains(csp, "script") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s %s: policy %q", c.method, c.target, csp)
		}
		if away := strings.Contains(csp, o.server.URL); away != (strings.HasPrefix(c.target, "/login?") || c.target == "/login" && c.status == 200 || c.method == "POST" && c.target == "/login/oidc") {
			t.Errorf("%s %s: the policy lets forms go to the provider: %t", c.method, c.target, away)
		}
		if strings.Contains(p.body, "<script") || strings.Contains(p.body, "style=") || c.method == "HEAD" && p.body != "" {
			t.Errorf("%s %s: %s", c.method, c.target, p.body)
		}
		if c.status == 405 && p.header.Get("Allow") == "" {
			t.Errorf("%s %s does not say what is allowed", c.method, c.target)
		}
	}
}

func TestASessionDiesWithItsRolesAndItsKeyset(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o)
	c := s.session(access.Viewer)
	same := func(change func(*signin.Config)) bool {
		conf := signin.Config{Store: s.store, Ring: s.ring, URL: s.server.URL, Logger: discard(), Now: s.now, OIDC: &signin.OIDC{
			Issuer: o.server.URL, ClientID: opClient, Scopes: []string{"openid"}, Claim: "groups", Roles: map[access.Role][]string{
				access.Operator: {"platform", "anna@acme.example"}, access.Support: {"care"}, access.Viewer: {"everybody", "bob@acme.example"},
			},
		}}
		change(&conf)
		other, err := signin.New(conf)
		must(t, err)
		t.Cleanup(other.Close)
		_, ok := other.Person(with(&http.Cookie{Name: c.Name, Value: c.Value}))
		return ok
	}
	stranger, err := seal.Ephemeral()
	must(t, err)
	for name, tt := range map[string]struct {
		change func(*signin.Config)
		want   bool
	}{
		"another replica":           {func(*signin.Config) {}, true},
		"with another secret":       {func(c *signin.Config) { c.OIDC.Scopes = append(c.OIDC.Scopes, "x") }, true},
		"somebody's role was taken": {func(c *signin.Config) { c.OIDC.Roles[access.Viewer] = []string{"everybody"} }, false},
		"another claim":             {func(c *signin.Config) { c.OIDC.Claim = "roles" }, false},
		"another provider":          {func(c *signin.Config) { c.OIDC.Issuer += "/other" }, false},
		"no provider":               {func(c *signin.Config) { c.OIDC = nil }, false},
		"another keyset":            {func(c *signin.Config) { c.Ring = stranger }, false},
		"a moment later":            {func(c *signin.Config) { c.Now = func() time.Time { return s.now().Add(time.Minute) } }, true},
		"an hour too late":          {func(c *signin.Config) { c.Now = func() time.Time { return s.now().Add(5 * time.Hour) } }, false},
	} {
		if got := same(tt.change); got != tt.want {
			t.Errorf("%s: the session counts: %t", name, got)
		}
	}
}
