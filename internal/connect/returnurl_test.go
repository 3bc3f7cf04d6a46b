package connect

import (
	"strings"
	"testing"
)

func allowing(patterns ...string) *Service {
	return New(Config{PublicURL: "https://connect.acme.example", ReturnURLAllow: patterns})
}

func TestReturnURLs(t *testing.T) {
	s := allowing("https://app.acme.example/*", "https://shop.example:8443/back", "https://exact.example", "http://localhost:3000/*")
	allowed := []string{
		"https://app.acme.example/",
		"https://app.acme.example/settings?tab=pos&x=1",
		"https://APP.acme.example/settings",
		"https://app.acme.example:443/settings",
		"https://app.acme.example/caf%C3%A9",
		"https://shop.example:8443/back",
		"https://shop.example:8443/back?ok",
		"https://exact.example",
		"https://exact.example/",
		"http://localhost:3000/x",
	}
	for _, raw := range allowed {
		if s.returnURL(raw) == "" {
			t.Errorf("%q is refused", raw)
		}
	}
	attacks := []string{
		"",
		"/settings",
		"//app.acme.example/settings",
		"https:app.acme.example/settings",
		"http://app.acme.example/settings",
		"https://app.acme.example:444/settings",
		"https://app.acme.example.evil.example/settings",
		"https://app.acme.example@evil.example/",
		"https://user@app.acme.example/",
		"https://evil.example/https://app.acme.example/",
		"https://evil.example#https://app.acme.example/",
		`https://evil.example\@app.acme.example/`,
		`https://app.acme.example\.evil.example/`,
		"https://app.acme.example%2eevil.example/",
		"https://app.acme.example./settings",
		"https://sub.app.acme.example/",
		"https://app.acme.example/#fragment",
		"https://app.acme.example/\r\nSet-Cookie:x",
		"https://app.acme.example/ x",
		"https://app.acme.example/../x",
		"https://app.acme.example/%2e%2e/x",
		"https://app.acme.example/%5c..",
		"https://аpp.acme.example/", // a Cyrillic a
		"javascript:alert(1)",
		"data:text/html,x",
		"https://",
		"https:///settings",
		"https://shop.example:8443/back/more",
		"https://shop.example:8443/",
		"https://shop.example/back",
		"https://exact.example/other",
		"http://localhost:3001/x",
		"https://[::1]/x",
		"https://app.acme.example/" + strings.Repeat("a", 3000),
	}
	for _, raw := range attacks {
		if got := s.returnURL(raw); got != "" {
			t.Errorf("%q is let through as %q", raw, got)
		}
	}
	if allowing().returnURL("https://app.acme.example/") != "" {
		t.Error("without a list everything is let through")
	}
}

func TestReturnPatterns(t *testing.T) {
	for _, good := range []string{"https://a.example/*", "https://a.example/x/*", "https://a.example/x*", "https://a.example", "http://127.0.0.1:8080/*", "http://[::1]:8080/"} {
		if err := CheckReturnPattern(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "*", "https://*", "https://*.a.example/", "https://a.example*", "https://a.example/*/x", "http://a.example/*",
		"https://a.example/?x=*", "https://a.example/#*", "a.example/*", "https://u@a.example/*", "https://a.example/../*"} {
		if CheckReturnPattern(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// FuzzReturnURL checks with plain text comparison, not with another URL parser,
// that whatever gets through leads to the one host that is allowed.
func FuzzReturnURL(f *testing.F) {
	for _, seed := range []string{"https://app.acme.example/x", "https://app.acme.example@evil.example/", `https://app.acme.example\x`,
		"https://app.acme.example:443/", "HTTPS://APP.ACME.EXAMPLE/?//", "https://app.acme.example?x", "https://app.acme.example/%2E./"} {
		f.Add(seed)
	}
	s := allowing("https://app.acme.example/*")
	f.Fuzz(func(t *testing.T, raw string) {
		got := s.returnURL(raw)
		if got == "" {
			return
		}
		rest, ok := strings.CutPrefix(strings.ToLower(got), "https://app.acme.example")
		rest = strings.TrimPrefix(rest, ":443")
		if !ok || rest != "" && rest[0] != '/' && rest[0] != '?' {
			t.Errorf("%q became %q", raw, got)
		}
		if strings.ContainsAny(got, "\\\r\n\t #") {
			t.Errorf("%q has characters that browsers read differently", got)
		}
		path, _, _ := strings.Cut(rest, "?")
		for segment := range strings.SplitSeq(strings.ReplaceAll(path, "%2e", "."), "/") {
			if segment == ".." || segment == "." {
				t.Errorf("%q has dot segments", got)
			}
		}
		if s.returnURL(got) != got {
			t.Errorf("%q does not get through again", got)
		}
	})
}
