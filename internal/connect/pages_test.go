package connect

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
)

// sound checks what holds for every page.
func sound(t *testing.T, body string) {
	t.Helper()
	if len(body) > 20<<10 {
		t.Errorf("the page has %d bytes", len(body))
	}
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has an inline %s", n.Data, a.Key)
			}
			if (a.Key == "src" || n.Data == "link" && a.Key == "href") && !strings.HasPrefix(a.Val, "/") && a.Val != "data:," {
				t.Errorf("<%s> loads %s", n.Data, a.Val)
			}
			if n.Data == "html" && a.Key == "lang" {
				count["lang"]++
			}
			if n.Data == "meta" && a.Val == "viewport" {
				count["viewport"]++
			}
		}
	}
	if count["h1"] != 1 || count["lang"] != 1 || count["viewport"] != 1 || count["title"] != 1 {
		t.Errorf("h1 %d, lang %d, viewport %d, title %d; want one of each", count["h1"], count["lang"], count["viewport"], count["title"])
	}
	if count["script"]+count["style"]+count["iframe"]+count["img"] != 0 {
		t.Errorf("scripts, inline styles, frames or images: %v", count)
	}
	if buttons := count["button"] + strings.Count(body, `class="button"`); buttons > 1 {
		t.Errorf("%d buttons", buttons)
	}
	if strings.Contains(body, "ZgotmplZ") {
		t.Error("an address was refused by the template")
	}
}

func TestTheLandingPageSaysWhatWillHappen(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	resp, body := k.get(k.browser(false), l.URL)
	sound(t, body)
	wants(t, body, "Connect Café Nord to Acme Loyalty", "Continue to Lightspeed", "see your sales", "Use the owner",
		"You will go to 127.0.0.1", l.Link.ShortCode, `href="mailto:help@acme.example"`, `href="tel:&#43;3221230123"`)
	csp := resp.Header.Get("Content-Security-Policy")
	if want := "form-action 'self' " + k.boxAt + ";"; !strings.Contains(csp, want) || !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy = %q", csp)
	}
	for name, want := range map[string]string{
		"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		"X-Robots-Tag": "noindex, nofollow", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if len(resp.Cookies()) != 0 {
		t.Error("the landing page sets a cookie")
	}
}

func TestLookingAtALinkUsesNothingUp(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	resp, body := k.do(k.browser(false), http.MethodHead, l.URL)
	if resp.StatusCode != http.StatusOK || body != "" {
		t.Errorf("HEAD is answered %d with %d bytes", resp.StatusCode, len(body))
	}
	equal(t, "events after HEAD", k.events(), []string{"link.created"})
	for range 3 {
		k.get(k.browser(false), l.URL)
	}
	equal(t, "events", k.events(), []string{"link.created", "link.opened"})
	if got := k.stored(l.Link.ID).State; got != grant.LinkStateOpened {
		t.Errorf("state = %s", got)
	}
}

func TestALinkWithoutLandingRedirectsAtOnce(t *testing.T) {
	k := newKit(t, nil)
	no := false
	l := k.link("k-series", func(r *LinkRequest) { r.Landing = &no })

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Purpose", "prefetch;prerender")
	resp, err := k.browser(false).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := k.stored(l.Link.ID).State; got != grant.LinkStateCreated || len(resp.Cookies()) != 0 {
		t.Errorf("reading ahead made the link %s", got)
	}
	if final, body := k.visit(k.browser(false), anna, l.URL); final != l.URL+"/done" {
		t.Errorf("ended at %s\n%s", final, body)
	}
}

func TestTheTripBeginsWithAProperAuthorizeURL(t *testing.T) {
	k := newKit(t, nil)
	client := k.browser(false)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	start := func() (*http.Response, string) {
		resp, _ := k.do(client, http.MethodPost, k.link("k-series", nil).URL+"/start")
		if resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("answered %d", resp.StatusCode)
		}
		return resp, resp.Header.Get("Location")
	}
	resp, to := start()
	q := mustParse(t, to).Query()
	if len(q.Get("state")) < 43 || q.Get("code_challenge_method") != "S256" || q.Get("redirect_uri") != k.url+"/oauth/callback/k-series" {
		t.Errorf("authorize URL %s", to)
	}
	cookies := resp.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies = %v", cookies)
	}
	c := cookies[0]
	if c.Name != "evergrant" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Secure || c.MaxAge != 1800 {
		t.Errorf("cookie = %+v", c)
	}
	again, to2 := start()
	if again.Cookies()[0].Value != c.Value {
		t.Error("a second tab takes the first one's cookie away")
	}
	if mustParse(t, to2).Query().Get("state") == q.Get("state") {
		t.Error("a state was minted twice")
	}
}

func TestOverHTTPSTheCookieBelongsToTheHost(t *testing.T) {
	s := New(Config{PublicURL: "https://connect.acme.example"})
	c := s.bind(newToken())
	if c.Name != "__Host-evergrant" || !c.Secure || c.Domain != "" || c.Path != "/" {
		t.Errorf("cookie = %+v", c)
	}
}

func TestEveryProblemHasASoundPage(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", func(r *LinkRequest) { r.BusinessName = `<b>"Nord" & Söhne</b>` })
	v := visit{token: secret.New(strings.TrimPrefix(l.URL, k.url+"/connect/")), link: l.Link, app: k.svc.c.Apps["k-series"]}
	problems := []grant.Problem{grant.ProblemDeclined, grant.ProblemLinkExpired, grant.ProblemLinkRevoked,
		grant.ProblemLinkUnknown, grant.ProblemOtherIdentity, grant.ProblemScopeMissing, grant.ProblemLostSession,
		grant.ProblemProviderUnavailable, grant.ProblemCodeRejected, grant.ProblemOurFault, grant.ProblemOurSetup}
	headings := map[string]grant.Problem{}
	for _, p := range problems {
		for _, v := range []visit{v, {}} {
			a := k.svc.problemPage(v, p)
			if a.status < 400 || a.status > 503 || a.status >= 500 && a.status != 503 {
				t.Errorf("%s is answered %d", p, a.status)
			}
			w := &recorded{header: http.Header{}}
			k.svc.serve(func(*http.Request) answer { return a }).ServeHTTP(w, httpGet(t))
			sound(t, w.body.String())
			if strings.Contains(w.body.String(), "<b>") {
				t.Errorf("%s: the business's name is not escaped", p)
			}
			if regexp.MustCompile(`(?i)\b(oops|error|4\d\d|5\d\d|json|oauth|token)\b`).MatchString(visible(w.body.String())) {
				t.Errorf("%s speaks to developers:\n%s", p, visible(w.body.String()))
			}
			if other, ok := headings[a.page.Heading]; ok && other != p && v.app != nil {
				t.Errorf("%s and %s have the same heading", p, other)
			}
			headings[a.page.Heading] = p
		}
	}
}

func TestAnExpiredLinkAsksForANewOneOnce(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", func(r *LinkRequest) { r.TTL = time.Minute })
	k.advance(time.Hour)
	client := k.browser(false)
	resp, body := k.get(client, l.URL)
	if resp.StatusCode != http.StatusGone {
		t.Errorf("answered %d", resp.StatusCode)
	}
	sound(t, body)
	wants(t, body, "This link is too old", "Ask for a new link", l.URL+"/help")
	for range 3 {
		_, body := k.do(client, http.MethodPost, l.URL+"/help")
		wants(t, body, "We have passed it on")
	}
	equal(t, "events", k.events(), []string{"link.created", "link.help_requested"})
	if resp, _ := k.do(client, http.MethodPost, l.URL+"/start"); resp.StatusCode != http.StatusGone {
		t.Errorf("starting an expired link is answered %d", resp.StatusCode)
	}
	if resp, _ := k.do(client, http.MethodPost, k.link("k-series", nil).URL+"/help"); resp.StatusCode != http.StatusOK {
		t.Errorf("asking for help with a good link is answered %d", resp.StatusCode)
	}
}

func TestWhatIsNotThereIsAPage(t *testing.T) {
	k := newKit(t, nil)
	good := k.link("k-series", nil).URL
	tests := []struct {
		method, path string
		want         int
	}{
		{"GET", k.url + "/", 404},
		{"GET", k.url + "/connect/", 404},
		{"GET", k.url + "/connect/short", 404},
		{"GET", k.url + "/connect/" + newToken().Reveal(), 404},
		{"GET", good + "/nothing", 404},
		{"GET", k.url + "/v1/connections", 404},
		{"POST", k.url + "/oauth/callback/k-series", 405},
		{"DELETE", good, 405},
		{"GET", good + "/start", 200}, // back to the landing page
		{"GET", good + "/done", 200},  // not done yet: the landing page
		{"GET", good + "/problem", 200},
		{"PUT", good + "/start", 405},
	}
	for _, tt := range tests {
		resp, body := k.do(k.browser(false), tt.method, tt.path)
		if resp.StatusCode != tt.want {
			t.Errorf("%s %s is answered %d, want %d", tt.method, tt.path, resp.StatusCode, tt.want)
		}
		if resp.StatusCode == 405 && resp.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", tt.method, tt.path)
		}
		sound(t, body)
	}
}

func TestAFailingStoreIsOurFault(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	k.store.set("LinkByToken", true)
	resp, body := k.get(k.browser(false), l.URL)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("answered %d", resp.StatusCode)
	}
	wants(t, body, "That is our fault")
}

func TestTheStylesheetIsServedAndCached(t *testing.T) {
	k := newKit(t, nil)
	resp, body := k.get(k.browser(false), k.url+k.svc.style.href)
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/css") {
		t.Errorf("answered %d, %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	wants(t, body, "--brand: #0b5d3b", "prefers-color-scheme: dark")
	if len(body) > 8<<10 {
		t.Errorf("the stylesheet has %d bytes", len(body))
	}
}

func TestAReturnAddressThatIsNoLongerAllowedIsNotOffered(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	k.visit(k.browser(false), anna, l.URL)
	k.svc.allow = nil
	_, body := k.get(k.browser(false), l.URL+"/done")
	if strings.Contains(body, "app.acme.example") {
		t.Error("the done page leads to an address that is not allowed")
	}
}

func TestSentencesBeginWithACapital(t *testing.T) {
	for in, want := range map[string]string{"": "", "your business": "Your business", "élan": "Élan", "Ünal": "Ünal", "9 Straatjes": "9 Straatjes"} {
		if got := capital(in); got != want {
			t.Errorf("capital(%q) = %q, want %q", in, got, want)
		}
	}
}
