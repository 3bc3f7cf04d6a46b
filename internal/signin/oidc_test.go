package signin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/signin"
)

func TestAPersonLogsInAtTheProvider(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o)
	b := s.browser()
	p := b.get("/login?next=/connections")
	if p.status != 200 || !strings.Contains(p.body, `<form method="post" action="/login/oidc"><input type="hidden" name="next" value="/connections">`) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	q := b.depart("/connections")
	for name, want := range map[string]string{"response_type": "code", "client_id": opClient, "scope": "openid email",
		"redirect_uri": s.server.URL + "/login/callback", "code_challenge_method": "S256"} {
		if q.Get(name) != want {
			t.Errorf("%s is %q", name, q.Get(name))
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(name)) != 43 {
			t.Errorf("%s is %q", name, q.Get(name))
		}
	}
	back := o.approve(q, map[string]any{"email": "anna@acme.example", "email_verified": true, "name": "The Boss"})
	p = b.get(back)
	if p.status != 303 || p.location != "/connections" {
		t.Fatalf("%d %s %s", p.status, p.location, p.body)
	}
	if c := p.cookies[0]; c.MaxAge != int(signin.OIDCSessionLife/time.Second) || c.Name != cookieName {
		t.Errorf("the session: %v", c)
	}
	b.is("anna@acme.example", access.Operator)
	if o.auth != "basic" || o.redeemed != 1 {
		t.Errorf("the client said who it is by %s, %d codes were redeemed", o.auth, o.redeemed)
	}
	// The back button asks nobody anything.
	if p := b.get(back); p.status != 303 || p.location != "/" || o.redeemed != 1 {
		t.Errorf("again: %d %s, %d codes", p.status, p.location, o.redeemed)
	}
	s.advance(signin.OIDCSessionLife)
	b.is("", "")
}

func TestRolesFollowFromWhatTheProviderSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claims map[string]any
		hidden []string
		name   string
		role   access.Role
	}{
		"a verified address":                         {map[string]any{"email": "anna@acme.example", "email_verified": true}, nil, "anna@acme.example", access.Operator},
		"in other letters":                           {map[string]any{"email": "Anna@ACME.example", "email_verified": true}, nil, "Anna@ACME.example", access.Operator},
		"verified, as a text":                        {map[string]any{"email": "bob@acme.example", "email_verified": "true"}, nil, "bob@acme.example", access.Viewer},
		"an address that is not verified":            {map[string]any{"email": "anna@acme.example", "email_verified": false}, nil, "", ""},
		"not verified, as a text":                    {map[string]any{"email": "anna@acme.example", "email_verified": "false"}, nil, "", ""},
		"an address of which nothing is said":        {map[string]any{"email": "anna@acme.example"}, nil, "", ""},
		"an address that only looks like it":         {map[string]any{"email": "anna@acme.example.evil.example", "email_verified": true}, nil, "", ""},
		"a group":                                    {map[string]any{"groups": []string{"x", "care"}, "preferred_username": "cas"}, nil, "cas", access.Support},
		"a group, and another's address":             {map[string]any{"groups": "care", "email": "anna@acme.example"}, nil, "anna-1", access.Support},
		"a group as one text":                        {map[string]any{"groups": "care", "name": "Cas"}, nil, "Cas", access.Support},
		"several texts in one are not groups":        {map[string]any{"groups": "x care"}, nil, "", ""},
		"a group in other letters":                   {map[string]any{"groups": []string{"Care"}}, nil, "", ""},
		"groups that are no texts":                   {map[string]any{"groups": []any{1, nil, map[string]any{"care": true}}}, nil, "", ""},
		"the highest of several":                     {map[string]any{"groups": []string{"everybody", "platform", "care"}}, nil, "anna-1", access.Operator},
		"the highest of address and group":           {map[string]any{"email": "bob@acme.example", "email_verified": true, "groups": []string{"care"}}, nil, "bob@acme.example", access.Support},
		"nothing":                                    {nil, nil, "", ""},
		"an empty group":                             {map[string]any{"groups": []string{""}}, nil, "", ""},
		"another claim":                              {map[string]any{"roles": []string{"platform"}}, nil, "", ""},
		"a role's own name":                          {map[string]any{"groups": []string{"operator"}}, nil, "", ""},
		"groups that only the userinfo endpoint has": {map[string]any{"email": "x@acme.example", "email_verified": true, "groups": []string{"care"}}, []string{"groups"}, "x@acme.example", access.Support},
		"everything from the userinfo endpoint":      {map[string]any{"email": "anna@acme.example", "email_verified": true}, []string{"email", "email_verified"}, "anna@acme.example", access.Operator},
		"only whether it is verified":                {map[string]any{"email": "anna@acme.example", "email_verified": true}, []string{"email_verified"}, "anna@acme.example", access.Operator},
		"a name that would spoil the page":           {map[string]any{"groups": []string{"care"}, "name": "\u202eCas\n\x1b[31m"}, nil, "Cas [31m", access.Support},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOP(t)
			o.hidden = c.hidden
			b := newSite(t, o).browser()
			p := b.login(c.claims)
			if c.role == "" && (p.status != http.StatusForbidden || !strings.Contains(p.body, "You have no role here")) {
				t.Errorf("%d %s", p.status, p.body)
			}
			b.is(c.name, c.role)
		})
	}
}

// TestAnAddressIsVerifiedWhereItIsSaid: one answer's word that an address is
// verified says nothing of another answer's address.
func TestAnAddressIsVerifiedWhereItIsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ token, userinfo map[string]any }{
		"the userinfo's of its own":  {map[string]any{"email": "anna@acme.example"}, map[string]any{"email": "eve@acme.example", "email_verified": true}},
		"the userinfo's of nothing":  {map[string]any{"email": "anna@acme.example"}, map[string]any{"email_verified": true}},
		"the ID token's of nothing":  {map[string]any{"email_verified": true}, map[string]any{"email": "anna@acme.example"}},
		"the ID token's of its own":  {map[string]any{"email": "eve@acme.example", "email_verified": true}, map[string]any{"email": "anna@acme.example"}},
		"neither's, although it was": {map[string]any{"email": "anna@acme.example", "email_verified": false}, map[string]any{"email": "anna@acme.example", "email_verified": true}},
	} {
		o := newOP(t)
		o.userinfo = map[string]any{"sub": "anna-1"}
		maps.Copy(o.userinfo, c.userinfo)
		if p := newSite(t, o).browser().login(c.token); p.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, p.status)
		}
	}
}

func TestWhoHasNoRoleIsToldWhatWasLookedAt(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o)
	for name, c := range map[string]struct {
		claims map[string]any
		want   []string
	}{
		"nothing":    {nil, []string{"<li>e-mail: none was given</li>", "<li>groups: none was given</li>"}},
		"unverified": {map[string]any{"email": "anna@acme.example"}, []string{"<li>e-mail: anna@acme.example, which is not verified there</li>"}},
		"others":     {map[string]any{"email": "eve@acme.example", "email_verified": true, "groups": []string{"a<b>", "c"}}, []string{"<li>e-mail: eve@acme.example</li>", "<li>groups: a&lt;b&gt;, c</li>"}},
		"very many":  {map[string]any{"groups": strings.Split(strings.Repeat("g ", 50), " ")}, []string{"g, and 31 more</li>"}},
	} {
		o.userinfo = nil
		p := s.browser().login(c.claims)
		for _, want := range append(c.want, "dashboard.oidc.roles") {
			if p.status != http.StatusForbidden || !strings.Contains(p.body, want) {
				t.Errorf("%s: %d, want %q in %s", name, p.status, want, p.body)
			}
		}
	}
}

func TestACallbackCountsInTheBrowserThatSetOut(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o)
	anna := map[string]any{"email": "anna@acme.example", "email_verified": true}
	refused := func(what string, b *browser, p page) {
		t.Helper()
		if p.status != http.StatusBadRequest || !strings.Contains(p.body, "Please start again") || o.redeemed > 0 {
			t.Errorf("%s: %d, %d codes redeemed: %s", what, p.status, o.redeemed, p.body)
		}
		b.is("", "")
	}
	mallory, victim := s.browser(), s.browser()
	back := o.approve(mallory.depart("/"), anna)
	refused("another person's code in a browser that never set out", victim, victim.get(back))
	victim.depart("/")
	refused("another person's code in a browser that has set out itself", victim, victim.get(back))

	first := victim.depart("/")
	victim.depart("/")
	refused("a state that a later one took the place of", victim, victim.get(o.approve(first, anna)))

	q := victim.depart("/")
	good := o.approve(q, anna)
	for what, target := range map[string]string{
		"no state":            strings.Replace(good, "state="+q.Get("state"), "", 1),
		"another state":       strings.Replace(good, q.Get("state"), strings.Repeat("A", 43), 1),
		"the state twice":     good + "&state=" + q.Get("state"),
		"no code":             s.server.URL + "/login/callback?state=" + q.Get("state"),
		"a code and an error": good + "&error=access_denied",
		"no iss":              good[:strings.Index(good, "&iss=")] + good[strings.Index(good, "&state="):],
		"another iss":         strings.Replace(good, "iss="+url.QueryEscape(o.server.URL), "iss=https%3A%2F%2Fevil.example", 1),
		"iss twice":           good + "&iss=" + url.QueryEscape(o.server.URL),
	} {
		refused(what, victim, victim.get(target))
	}
	if p := victim.do("HEAD", good, nil); p.status != http.StatusBadRequest {
		t.Errorf("HEAD: %d", p.status)
	}
	s.advance(9 * time.Minute)
	// What was refused has cost the good callback nothing.
	if p := victim.get(good); p.status != 303 {
		t.Errorf("the good callback: %d %s", p.status, p.body)
	}
	late := s.browser()
	back = o.approve(late.depart("/"), anna)
	s.advance(10 * time.Minute)
	o.redeemed = 0
	refused("ten minutes later", late, late.get(back))
}

func TestACodeIsGoodForOneSession(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o)
	b := s.browser()
	back := o.approve(b.depart("/"), map[string]any{"email": "anna@acme.example", "email_verified": true})
	u, err := url.Parse(s.server.URL)
	must(t, err)
	kept := b.client.Jar.Cookies(u)
	b.get(back)
	b.is("anna@acme.example", access.Operator)
	b.post("/logout", url.Values{})
	// Whoever kept the cookie of the trip still has no second code.
	b.client.Jar.SetCookies(u, kept)
	if p := b.get(back); p.status != http.StatusBadGateway || !strings.Contains(p.body, "You could not be logged in") {
		t.Errorf("%d %s", p.status, p.body)
	}
	b.is("", "")
}

func TestIDTokensThatAreNotForUsAreRefused(t *testing.T) {
	t.Parallel()
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	anna := map[string]any{"email": "anna@acme.example", "email_verified": true, "groups": []string{}}
	for name, change := range map[string]func(*op){
		"another nonce":          func(o *op) { o.token = func(c map[string]any) { c["nonce"] = strings.Repeat("A", 43) } },
		"no nonce":               func(o *op) { o.token = func(c map[string]any) { delete(c, "nonce") } },
		"another audience":       func(o *op) { o.token = func(c map[string]any) { c["aud"] = "other" } },
		"another party":          func(o *op) { o.token = func(c map[string]any) { c["azp"] = "other" } },
		"many audiences":         func(o *op) { o.token = func(c map[string]any) { c["aud"] = []string{opClient, "other"} } },
		"another issuer":         func(o *op) { o.token = func(c map[string]any) { c["iss"] = "https://evil.example" } },
		"nobody":                 func(o *op) { o.token = func(c map[string]any) { delete(c, "sub") } },
		"over":                   func(o *op) { o.token = func(c map[string]any) { c["exp"] = o.now().Add(-time.Second).Unix() } },
		"not yet":                func(o *op) { o.token = func(c map[string]any) { c["nbf"] = o.now().Add(time.Hour).Unix() } },
		"a stranger's signature": func(o *op) { o.sign = func(b []byte) string { return signed(t, stranger, b) } },
		"no signature": func(o *op) {
			o.sign = func(b []byte) string {
				return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(b) + "."
			}
		},
		"none at all": func(o *op) { o.sign = func([]byte) string { return "" } },
		"userinfo of another person": func(o *op) {
			o.userinfo = map[string]any{"sub": "bob-1", "groups": []string{"platform"}}
			o.token = func(c map[string]any) { delete(c, "groups") }
		},
		"userinfo that fails": func(o *op) {
			o.document = func(d map[string]any) { d["userinfo_endpoint"] = o.server.URL + "/nothing" }
			o.token = func(c map[string]any) { delete(c, "groups") }
		},
		"a token endpoint that fails":     func(o *op) { o.tokenCode = 500 },
		"a token endpoint that redirects": func(o *op) { o.tokenCode = 307 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOP(t)
			change(o)
			s := newSite(t, o)
			b := s.browser()
			p := b.login(anna)
			if p.status != http.StatusBadGateway || !strings.Contains(p.body, "You could not be logged in") || strings.Contains(p.body, "diagnosis") {
				t.Errorf("%d %s", p.status, p.body)
			}
			if len(p.cookies) != 1 || p.cookies[0].MaxAge != -1 {
				t.Errorf("the trip goes on: %v", p.cookies)
			}
			b.is("", "")
			if n := o.astray.Load(); n > 0 {
				t.Errorf("%d requests with our secret followed a redirect", n)
			}
			if log := s.logged(); !strings.Contains(log, "the identity provider's answer was refused") || strings.Contains(log, "diagnosis") {
				t.Errorf("the log: %s", log)
			}
		})
	}
	for name, change := range map[string]func(*op){
		"as usual":   func(*op) {},
		"this party": func(o *op) { o.token = func(c map[string]any) { c["azp"] = opClient } },
		"many audiences, this party": func(o *op) {
			o.token = func(c map[string]any) { c["aud"], c["azp"] = []string{"other", opClient}, opClient }
		},
		"a token endpoint with post": func(o *op) {
			o.document = func(d map[string]any) { d["token_endpoint_auth_methods_supported"] = []string{"client_secret_post"} }
		},
		"without iss": func(o *op) {
			o.document = func(d map[string]any) { delete(d, "authorization_response_iss_parameter_supported") }
		},
	} {
		o := newOP(t)
		change(o)
		b := newSite(t, o).browser()
		if p := b.login(anna); p.status != 303 {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
}

func TestTheProviderIsTheConfiguredOne(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(map[string]any){
		"another issuer":                          func(d map[string]any) { d["issuer"] = "https://evil.example" },
		"an issuer with a slash more":             func(d map[string]any) { d["issuer"] = d["issuer"].(string) + "/" },
		"a token endpoint over http elsewhere":    func(d map[string]any) { d["token_endpoint"] = "http://evil.example/token" },
		"an authorize endpoint that is a script":  func(d map[string]any) { d["authorization_endpoint"] = "javascript:alert(1)" },
		"no authorize endpoint":                   func(d map[string]any) { delete(d, "authorization_endpoint") },
		"keys over http elsewhere":                func(d map[string]any) { d["jwks_uri"] = "http://evil.example/jwks" },
		"a userinfo endpoint over http elsewhere": func(d map[string]any) { d["userinfo_endpoint"] = "http://evil.example/me" },
		"no way to authenticate by secret":        func(d map[string]any) { d["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"} },
	} {
		o := newOP(t)
		o.document = change
		s := newSite(t, o)
		for _, p := range []page{s.browser().get("/login"), s.browser().post("/login/oidc", url.Values{})} {
			if p.status != http.StatusServiceUnavailable || p.header.Get("Retry-After") == "" || strings.Contains(p.body, "<form") || p.location != "" {
				t.Errorf("%s: %d %s", name, p.status, p.body)
			}
		}
	}
}

func TestAProviderThatIsDownKeepsNobodyOutForGood(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	o.down = true
	s := newSite(t, o)
	b := s.browser()
	if p := b.get("/login"); p.status != 503 || !strings.Contains(p.body, "<code>evergrant dashboard</code>") {
		t.Errorf("%d %s", p.status, p.body)
	}
	b.post(s.invite(access.Operator), url.Values{})
	b.is("Anna", access.Operator)
	o.down = false
	if p := s.browser().get("/login"); p.status != 200 {
		t.Errorf("when it is back: %d %s", p.status, p.body)
	}
	o.down = true
	s.advance(2 * time.Hour)
	if p := s.browser().get("/login"); p.status != 200 {
		t.Errorf("what it said two hours ago does not count while it is down: %d", p.status)
	}
	if log := s.logged(); strings.Contains(log, "diagnosis") {
		t.Errorf("the log tells what the provider wrote: %s", log)
	}
}

func TestAnErrorOnTheWayBackIsTold(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o)
	b := s.browser()
	q := b.depart("/")
	p := b.get("/login/callback?error=access_denied&error_description=%3Cb%3E&state=" + q.Get("state") + "&iss=" + url.QueryEscape(o.server.URL))
	if p.status != http.StatusForbidden || !strings.Contains(p.body, "(access_denied)") || strings.Contains(p.body, "<b>") {
		t.Errorf("%d %s", p.status, p.body)
	}
	b.is("", "")
}

func TestAClientMayBePublic(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o, func(c *signin.Config) { c.OIDC.ClientSecret = secret.String{} })
	b := s.browser()
	if p := b.login(map[string]any{"groups": []string{"care"}}); p.status != 303 || o.auth != "post" {
		t.Errorf("%d %s by %s", p.status, p.body, o.auth)
	}
}

func TestWithoutAProviderThereIsOnlyTheLink(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	b := s.browser()
	if p := b.get("/login"); p.status != 200 || strings.Contains(p.body, "<form") || !strings.Contains(p.body, "<code>evergrant dashboard</code>") {
		t.Errorf("%d %s", p.status, p.body)
	}
	for _, p := range []page{b.post("/login/oidc", url.Values{}), b.get("/login/callback?code=x&state=y")} {
		if p.status != http.StatusNotFound {
			t.Errorf("%d %s", p.status, p.body)
		}
	}
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o)
	for want, change := range map[string]func(*signin.Config){
		"Config.Store":    func(c *signin.Config) { c.Store = nil },
		"Config.Ring":     func(c *signin.Config) { c.Ring = nil },
		"Config.Logger":   func(c *signin.Config) { c.Logger = nil },
		"Config.URL":      func(c *signin.Config) { c.URL = "http://dashboard.example" },
		"a host":          func(c *signin.Config) { c.URL = "https://dashboard.example/x" },
		"OIDC.Issuer":     func(c *signin.Config) { c.OIDC.Issuer = "http://id.example" },
		"OIDC.ClientID":   func(c *signin.Config) { c.OIDC.ClientID = "" },
		"OIDC.Scopes":     func(c *signin.Config) { c.OIDC.Scopes = []string{"email"} },
		"viewer is empty": func(c *signin.Config) { c.OIDC.Roles = map[access.Role][]string{access.Viewer: {""}} },
		`no role "admin"`: func(c *signin.Config) { c.OIDC.Roles = map[access.Role][]string{"admin": {"x"}} },
	} {
		c := signin.Config{Store: s.store, Ring: s.ring, URL: s.server.URL, Logger: discard(),
			OIDC: &signin.OIDC{Issuer: o.server.URL, ClientID: opClient, Scopes: []string{"openid"}}}
		change(&c)
		if _, err := signin.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
