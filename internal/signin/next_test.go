package signin_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/signin"
)

// astray are addresses that a browser or a proxy could take for another host, or
// that lead round in a circle.
var astray = []string{
	"", "x", "?x", "#x", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "/\n/evil.example",
	"https://evil.example", "https:/evil.example", "https:evil.example", "javascript:alert(1)", "data:text/html,x", "/%09/evil.example",
	"/%2f/evil.example", "/%2F%2Fevil.example", "/x/%2e%2e//evil.example", "/x/..//evil.example", "/./evil", "/../x", "/x/../y", "/x/%2e%2e/y",
	"/%5cevil.example", "/x//y", "/x/", "/x#y", "/x y", "/x\x00", "/é", "/%", "/%zz", "/login", "/login/out", "/logout", "/x\"y", "/<x>",
	"http://dashboard.example@evil.example/", "/" + strings.Repeat("x", 600),
}

func TestOneIsOnlySentOnWithinTheDashboard(t *testing.T) {
	t.Parallel()
	for _, next := range astray {
		if got := signin.LocalForTest(next); got != "/" {
			t.Errorf("%q leads to %q", next, got)
		}
	}
	for _, next := range []string{"/", "/connections", "/connections/biz_42@k-series", "/connections?state=needs_reauthorization&q=caf%C3%A9", "/?x=//evil.example", "/loginx"} {
		if got := signin.LocalForTest(next); got != next {
			t.Errorf("%q leads to %q", next, got)
		}
	}
}

func TestNoPageIsAnOpenRedirector(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o)
	in := s.browser()
	in.post(s.invite(access.Viewer), url.Values{})
	for _, next := range astray {
		if p := in.get("/login?" + url.Values{"next": {next}}.Encode()); p.status != 303 || p.location != "/" {
			t.Errorf("logged in already, %q leads to %d %q", next, p.status, p.location)
		}
		b := s.browser()
		if p := b.get(o.approve(b.depart(next), map[string]any{"email": "anna@acme.example", "email_verified": true})); p.status != 303 || p.location != "/" {
			t.Errorf("after the provider, %q leads to %d %q", next, p.status, p.location)
		}
	}
	b := s.browser()
	if p := b.login(map[string]any{"email": "anna@acme.example", "email_verified": true}); p.location != "/connections?state=x" {
		t.Errorf("a good address leads to %q", p.location)
	}
}

// browserReads is how a browser reads a Location on a page of base, as the WHATWG
// URL standard says: backslashes are slashes, tabs and line breaks are nothing,
// and spaces and controls at the ends are cut off.
func browserReads(t *testing.T, base *url.URL, location string) *url.URL {
	t.Helper()
	location = strings.TrimFunc(location, func(r rune) bool { return r <= ' ' })
	location = strings.NewReplacer("\t", "", "\n", "", "\r", "", "\\", "/").Replace(location)
	u, err := base.Parse(location)
	if err != nil {
		t.Fatalf("%q is no address: %v", location, err)
	}
	return u
}

func FuzzNext(f *testing.F) {
	for _, next := range append(astray, "/", "/connections?state=x", "/connections/biz_42@k-series") {
		f.Add(next)
	}
	base := &url.URL{Scheme: "https", Host: "dashboard.example", Path: "/login"}
	f.Fuzz(func(t *testing.T, next string) {
		got := signin.LocalForTest(next)
		if got != next && got != "/" {
			t.Fatalf("%q became %q", next, got)
		}
		u := browserReads(t, base, got)
		if u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") {
			t.Fatalf("%q leads to %s", next, u)
		}
		if decoded, err := url.PathUnescape(u.EscapedPath()); err != nil || strings.Contains(decoded, "//") || strings.Contains(decoded, "\\") || strings.Contains(decoded, "/../") {
			t.Fatalf("%q leads to the path %q", next, decoded)
		}
		if signin.LocalForTest(got) != got {
			t.Fatalf("%q is good once and not twice", got)
		}
	})
}

// FuzzCookie: whatever a browser sends, it is nobody's unless we made it.
func FuzzCookie(f *testing.F) {
	var s *site
	good := ""
	for _, v := range []string{"", "x", strings.Repeat("A", 200), base64.RawURLEncoding.EncodeToString([]byte(`{"n":"Anna","r":"operator","u":99999999999}`))} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if s == nil {
			s = newSite(t, nil)
			good = s.session(access.Viewer).Value
		}
		r := with()
		r.Header.Set("Cookie", cookieName+"="+value)
		if p, ok := s.signin.Person(r); ok && value != good || !ok && p != (access.Person{}) {
			t.Fatalf("%q is %+v", value, p)
		}
		r = with(&http.Cookie{Name: cookieName, Value: good})
		if _, ok := s.signin.Person(r); !ok {
			t.Fatal("the good cookie does not count any more")
		}
	})
}
