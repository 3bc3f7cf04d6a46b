package connect

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/evergrant/evergrant/internal/coverage"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/provider"
)

func speaker() *Service { return New(Config{PublicURL: "https://connect.acme.example"}) }

func TestTheBrowsersFavouriteOfOurLanguagesIsTaken(t *testing.T) {
	s := speaker()
	for header, want := range map[string]string{
		"":                                   "",
		"fr":                                 "fr",
		"nl-BE":                              "nl",
		"NL-be":                              "nl",
		"de-CH,fr-CH;q=0.9,it;q=0.8":         "de",
		"fr;q=0.5, de;q=0.9":                 "de",
		"sv, da;q=0.9, es;q=0.1":             "es",
		"fr;q=0.5,de;q=0.5":                  "fr",
		"fr;q=0, de;q=0":                     "",
		"fr;q=0,it;q=0.001":                  "it",
		"*":                                  "",
		"*;q=0.8, it;q=0.2":                  "it",
		"sv":                                 "",
		"french":                             "",
		"fr;q=2, de;q=0.1":                   "de",
		"fr;q=NaN, de;q=0.1":                 "de",
		"fr;level=1, de;q=0.1":               "de",
		"fr ; q=0.3 , de ; Q=0.4":            "de",
		";;;,,,=":                            "",
		strings.Repeat("sv,", 1000) + "fr":   "",
		"en-GB,en;q=0.9,fr;q=0.8,*;q=0.5":    "en",
		"x-klingon, fr-Latn-FR-x-paris;q=.7": "fr",
	} {
		if got := s.accepted(header); got != want {
			t.Errorf("%.60q: %q, want %q", header, got, want)
		}
	}
}

func FuzzAcceptLanguage(f *testing.F) {
	for _, seed := range []string{"", "fr", "de-CH,fr;q=0.9,*;q=0.1", "fr;q=0", "it;q=1.0000, es ; q = 1", ";,=", "nl;q=1e-3", "en;q=Inf"} {
		f.Add(seed)
	}
	s := speaker()
	f.Fuzz(func(t *testing.T, header string) {
		got := s.accepted(header)
		if got == "" {
			return
		}
		if s.words[got] == nil {
			t.Fatalf("%q is not ours", got)
		}
		if !strings.Contains(strings.ToLower(header), got) {
			t.Fatalf("%q is nowhere in %q", got, header)
		}
		if len(header) > mostAccepted/2 {
			return
		}
		if again := s.accepted(got + "," + header); again != got {
			t.Fatalf("%q, asked for first and before all, gives %q", got, again)
		}
		if again := s.accepted("sv, tlh;q=0.9," + header); again != got {
			t.Fatalf("languages we do not speak make %q of %q", again, got)
		}
	})
}

func TestTheMerchantsChoiceGoesBeforeTheLinkAndTheLinkBeforeTheBrowser(t *testing.T) {
	for _, tt := range []struct{ name, query, locale, header, want string }{
		{"all three", "?lang=it", "nl-BE", "fr", "it"},
		{"link and browser", "", "nl-BE", "fr", "nl"},
		{"the browser", "", "", "fr-BE, nl;q=0.5", "fr"},
		{"nothing", "", "", "", "en"},
		{"a link in a language we do not speak", "", "sv", "de", "de"},
		{"a choice we do not have", "?lang=xx", "es", "de", "es"},
		{"a choice that is not a language's name", "?lang=%3Cb%3E", "", "", "en"},
		{"English by hand", "?lang=en", "nl", "fr", "en"},
	} {
		k := newKit(t, nil)
		l := k.link("k-series", func(r *LinkRequest) { r.Locale = tt.locale })
		resp, body := k.getIn(tt.header, l.URL+tt.query)
		sound(t, body)
		if got := resp.Header.Get("Content-Language"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		wants(t, body, `<html lang="`+tt.want+`">`)
		if resp.Header.Get("Vary") != "Accept-Language" || len(resp.Cookies()) != 0 {
			t.Errorf("%s: Vary %q, cookies %v", tt.name, resp.Header.Get("Vary"), resp.Cookies())
		}
	}
}

// getIn fetches a page with an Accept-Language header.
func (k *kit) getIn(language, url string) (*http.Response, string) {
	k.t.Helper()
	client := k.browser(false)
	next := client.Transport
	client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		r.Header.Set("Accept-Language", language)
		return next.RoundTrip(r)
	})
	return k.get(client, url)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAChoiceOfLanguageLastsThroughTheTrip(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", func(r *LinkRequest) { r.Locale = "nl" })
	_, body := k.get(k.browser(false), l.URL+"?lang=fr")
	wants(t, body, "Connecter Café Nord à Acme Loyalty", "voir vos ventes", l.URL+"/start?lang=fr")
	client := k.browser(false)
	final, body := k.visit(client, anna, l.URL+"?lang=fr")
	if final != l.URL+"/done?lang=fr" {
		t.Fatalf("ended at %s\n%s", final, body)
	}
	sound(t, body)
	wants(t, body, "Connexion établie pour Café Nord", "Retour vers Acme Loyalty", `href="https://app.acme.example/settings"`)
	_, body = k.get(client, l.URL)
	wants(t, body, "Al gekoppeld")
	k.exchanged(1)
}

func TestAProblemIsToldInTheLanguageThatWasPicked(t *testing.T) {
	k := newKit(t, nil)
	no := false
	l := k.link("k-series", func(r *LinkRequest) { r.Landing = &no })
	client := k.browser(true)
	resp, _ := k.get(client, l.URL+"?lang=de") // to the sandbox at once
	state := resp.Request.URL.Query().Get("state")
	_, body := k.get(k.cookies(client), k.url+"/oauth/callback/k-series?error=access_denied&state="+state)
	wants(t, body, "Sie haben sich gegen die Verbindung entschieden", "/start?lang=de")
	sound(t, body)
	_, body = k.get(k.browser(false), l.URL+"/problem?lang=es")
	wants(t, body, "Ha decidido no conectarse")
	resp, _ = k.do(client, http.MethodPost, k.link("k-series", func(r *LinkRequest) { r.Locale = "nl" }).URL+"/start")
	state = resp.Request.URL.Query().Get("state")
	resp, body = k.get(k.cookies(client), k.url+"/oauth/callback/k-series?error=access_denied&lang=de&state="+state)
	wants(t, body, "U hebt ervoor gekozen niet te koppelen")
	if resp.Request.URL.RawQuery != "" {
		t.Errorf("the provider picked the language: %s", resp.Request.URL)
	}
	_, body = k.getIn("it", k.url+"/oauth/callback/k-series?state=x&code=y")
	wants(t, body, "Proviamo ancora una volta")
}

// cookies returns a browser that follows everything with another's cookies.
func (k *kit) cookies(of *http.Client) *http.Client {
	c := k.browser(false)
	c.Jar = of.Jar
	return c
}

func TestThanksForAskingCanBeReadInAnotherLanguage(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", func(r *LinkRequest) { r.TTL = time.Minute })
	k.advance(time.Hour)
	client := k.browser(false)
	if _, body := k.get(client, l.URL+"/help"); !strings.Contains(body, "This link is too old") {
		t.Errorf("looking is not asking:\n%s", body)
	}
	equal(t, "events", k.events(), []string{"link.created"})
	k.do(client, http.MethodPost, l.URL+"/help")
	_, body := k.get(client, l.URL+"/help?lang=nl")
	wants(t, body, "We hebben het doorgegeven")
	equal(t, "events", k.events(), []string{"link.created", "link.help_requested"})
}

func TestTheMessageIsInTheLinksLanguage(t *testing.T) {
	k := newKit(t, nil)
	for locale, want := range map[string][2]string{
		"":      {"Café Nord: please connect Lightspeed to Acme Loyalty", "Hello,\n\nPlease connect the account of Café Nord at Lightspeed to Acme Loyalty. It takes about a minute:\n\n"},
		"sv":    {"Café Nord: please connect Lightspeed to Acme Loyalty", "Hello,"},
		"fr-BE": {"Café Nord\u00a0: merci de connecter Lightspeed à Acme Loyalty", "Bonjour,"},
		"nl":    {"Café Nord: graag Lightspeed koppelen aan Acme Loyalty", "Goedendag,"},
		"de-AT": {"Café Nord: bitte das Konto bei Lightspeed mit Acme Loyalty verbinden", "Guten Tag,\n\nbitte verbinden Sie das Konto von Café Nord bei Lightspeed"},
		"es":    {"Café Nord: conecte Lightspeed con Acme Loyalty, por favor", "Hola:"},
		"it":    {"Café Nord: La preghiamo di collegare Lightspeed a Acme Loyalty", "Buongiorno,"},
	} {
		for _, purpose := range []grant.Purpose{grant.PurposeConnect, grant.PurposeReconnect, grant.PurposeAddGrant} {
			l := grant.Link{Locale: locale, Purpose: purpose, BusinessName: "Café Nord", ShortCode: "7QM2-KX", ExpiresAt: k.now()}
			v := visit{words: k.svc.words[k.svc.fits(locale)], link: l, app: k.svc.c.Apps["k-series"]}
			for _, missing := range [][]coverage.Location{nil, {{ID: "1", Name: "Quay Bar"}, {ID: "4711"}}} {
				subject, text := k.svc.message(v, "https://link.example", missing)
				if purpose == grant.PurposeConnect && (subject != want[0] || !strings.HasPrefix(text, want[1])) {
					t.Errorf("%s: %q\n%s", locale, subject, text)
				}
				for _, part := range []string{"https://link.example\n", "Lightspeed", "7QM2-KX", "help@acme.example", "+32 2 123 01 23"} {
					if !strings.Contains(text, part) {
						t.Errorf("%s: the message lacks %q:\n%s", locale, part, text)
					}
				}
				if strings.ContainsAny(subject+text, "{}") {
					t.Errorf("%s: a fact is missing:\n%s\n%s", locale, subject, text)
				}
				if named := strings.Contains(text, "\n\n- 4711\n- Quay Bar\n\n"); named != (purpose == grant.PurposeAddGrant && missing != nil) {
					t.Errorf("%s: what is missing:\n%s", locale, text)
				}
			}
		}
	}
}

// scenes are answers that between them have every page and every text on it.
func (k *kit) scenes(v visit) map[string]answer {
	s, ep := k.svc, provider.Endpoints{Authorize: k.boxAt + "/authorize"}
	var many []coverage.Location
	for _, id := range strings.Split(strings.Repeat("x", 30), "") {
		many = append(many, coverage.Location{ID: id, Grants: []string{"grant_a"}})
	}
	dead := grant.StatusOf(grant.RefreshRejected, k.now())
	scenes := map[string]answer{}
	for _, p := range []grant.Purpose{grant.PurposeConnect, grant.PurposeReconnect, grant.PurposeAddGrant} {
		v.link.Purpose = p
		v.conn.Status = grant.StatusOf(grant.OK, k.now())
		scenes["landing "+string(p)] = s.landingPage(v, ep, nil)
		scenes["landing with more missing "+string(p)] = s.landingPage(v, ep, many)
		v.conn.Status = dead
		scenes["landing of the dead "+string(p)] = s.landingPage(v, ep, nil)
	}
	v.conn.Status = grant.StatusOf(grant.OK, k.now())
	scenes["already"], scenes["help"] = s.alreadyPage(v), s.helpPage(v)
	some := coverage.Coverage{Locations: many, Uncovered: []string{"x"}}
	scenes["done"] = s.donePage(v, nil, coverage.Coverage{Locations: many})
	scenes["done, of a party"] = s.donePage(v, []grant.Grant{{ConsentAt: k.now(), Identity: grant.Identity{Name: "Nord BV"}}}, some)
	v.conn.Flags = append(v.conn.Flags, grant.ScopeMissing)
	scenes["done, a permission missing"] = s.donePage(v, nil, coverage.Coverage{})
	v.conn.Status = dead
	scenes["used"] = s.alreadyPage(v)
	for _, p := range []grant.Problem{grant.ProblemDeclined, grant.ProblemLinkExpired, grant.ProblemLinkRevoked,
		grant.ProblemLinkUnknown, grant.ProblemOtherIdentity, grant.ProblemScopeMissing, grant.ProblemLostSession,
		grant.ProblemProviderUnavailable, grant.ProblemCodeRejected, grant.ProblemOurFault, grant.ProblemOurSetup} {
		scenes[string(p)] = s.problemPage(v, p)
		scenes[string(p)+" of nobody"] = s.problemPage(visit{words: v.words}, p)
	}
	r, _ := http.NewRequest(http.MethodGet, "/?lang="+v.words.tag, nil)
	scenes["nowhere"] = s.nowhere(r)
	return scenes
}

func TestEveryPageIsSoundInEveryLanguage(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	unnamed := l.Link
	unnamed.BusinessName = ""
	generic := k.apps()["k-series"]
	generic.Recipe.Login = "the provider"
	token := strings.TrimPrefix(l.URL, k.url+"/connect/")
	english := map[string]answer{}
	for _, tag := range tags() {
		named := visit{words: k.svc.words[tag], link: l.Link, app: k.svc.c.Apps["k-series"]}
		named.token, _ = parseToken(token)
		nameless := named
		nameless.link, nameless.app = unnamed, generic
		for _, v := range []visit{named, nameless} {
			for name, a := range k.scenes(v) {
				w := &recorded{header: http.Header{}}
				k.svc.serve(func(*http.Request) answer { return a }).ServeHTTP(w, httpGet(t))
				body := w.body.String()
				sound(t, body)
				text := visible(body)
				if strings.ContainsAny(text, "{}") || strings.Contains(text, "<nil>") {
					t.Errorf("%s, %s: a fact is missing:\n%s", tag, name, text)
				}
				if got := w.header.Get("Content-Language"); got != tag || !strings.Contains(body, `<html lang="`+tag+`">`) {
					t.Errorf("%s, %s: in %q", tag, name, got)
				}
				if regexp.MustCompile(`(?i)\b(oops|error|4\d\d|5\d\d|json|oauth|token)\b`).MatchString(text) {
					t.Errorf("%s, %s speaks to developers:\n%s", tag, name, text)
				}
				switches(t, body, tag)
				if tag == "en" {
					english[name] = a
				} else if e := english[name].page; a.page.Heading == e.Heading || a.page.Button.Label == e.Button.Label && e.Button.Label != "" {
					t.Errorf("%s, %s is in English: %q", tag, name, a.page.Heading)
				} else if a.status != english[name].status || a.page.Button.URL != e.Button.URL || a.page.Button.Post != e.Button.Post {
					t.Errorf("%s, %s does something else than in English", tag, name)
				}
			}
		}
	}
}

// switches checks the switch at the foot: all languages, each named in itself
// and marked as it, and the page's own one no link.
func switches(t *testing.T, body, current string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var links, here []string
	for n := range doc.Descendants() {
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		switch {
		case n.Data == "a" && attr["hreflang"] != "":
			if attr["lang"] != attr["hreflang"] || attr["href"] != "?lang="+attr["lang"] {
				t.Errorf("a link of the switch is %v", attr)
			}
			links = append(links, attr["lang"])
		case attr["aria-current"] == "true":
			here = append(here, attr["lang"])
		case n.Data == "nav" && attr["aria-label"] == "":
			t.Error("the switch has no name")
		}
	}
	want := slices.DeleteFunc(tags(), func(tag string) bool { return tag == current })
	if slices.Compare(links, want) != 0 || slices.Compare(here, []string{current}) != 0 {
		t.Errorf("links %v, current %v; want %v, %s", links, here, want, cmp.Or(current, "none"))
	}
}

func TestAPermissionNobodyTranslatedIsMarkedAsEnglish(t *testing.T) {
	k := newKit(t, nil)
	app := k.apps()["k-series"]
	app.Recipe.Permissions = map[string]string{"financial-api": "read your <tea> leaves"}
	for tag, want := range map[string]string{"de": `<li lang="en">read your &lt;tea&gt; leaves</li>`, "en": `<li>read your &lt;tea&gt; leaves</li>`} {
		a := k.svc.landingPage(visit{words: k.svc.words[tag], app: app}, provider.Endpoints{}, nil)
		w := &recorded{header: http.Header{}}
		k.svc.serve(func(*http.Request) answer { return a }).ServeHTTP(w, httpGet(t))
		wants(t, w.body.String(), want)
	}
}
