package dashboard_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/telemetry"
)

// lists are the pages that need nothing to be there.
func lists() []string {
	all := []string{"/", "/connections", "/deadlines", "/deadlines?outage=0", "/deadlines?outage=14d", "/providers", "/providers/k-series/pause",
		"/links", "/events", "/events?type=connection.*", "/events?type=grant.refreshed&app=k-series", "/events?ref=nobody@k-series",
		"/events/webhooks", "/settings", "/settings/preview", "/sandbox", "/connections?q=quay", "/connections?app=k-series"}
	for _, view := range []string{"needs-login", "degraded", "missing", "deadline", "pending", "back", "disconnected", "none"} {
		all = append(all, "/connections?view="+view, "/connections?app=r-series&view="+view)
	}
	for _, state := range []string{"created", "opened", "at_provider", "completed", "failed", "expired", "revoked"} {
		all = append(all, "/links?state="+state)
	}
	return all
}

// hostile are names that do harm where they are not written with care.
func hostile() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `{{.Secret}}`, "مقهى الشمال \u202e reversed", strings.Repeat("nébuleuse", 22),
		`'; DROP TABLE connections; --`, `&lt;b&gt;`, `javascript:alert(1)`, "a\u2028b",
	}
}

// check fails if a page is not well made: a script or a style of its own, an
// address elsewhere, a label missing.
func check(t *testing.T, where, body string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	ids, labelled, headings := map[string]bool{}, map[string]bool{}, 0
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("%s: <%s %s=%q> is refused by the policy of the page", where, n.Data, a.Key, a.Val)
			}
			if (a.Key == "href" || a.Key == "src" || a.Key == "action") && !strings.HasPrefix(a.Val, "/") && a.Val != "#main" && a.Val != "data:," && !strings.HasPrefix(a.Val, "mailto:?") {
				t.Errorf("%s: <%s %s=%q> leads away", where, n.Data, a.Key, a.Val)
			}
			if a.Key == "id" {
				if ids[a.Val] {
					t.Errorf("%s: two elements are called %q", where, a.Val)
				}
				ids[a.Val] = true
			}
		}
		switch n.Data {
		case "script", "img", "iframe", "b":
			if n.Data != "script" || attr(n, "src") == "" || n.FirstChild != nil {
				t.Errorf("%s: <%s> came from a name", where, n.Data)
			}
		case "label":
			labelled[attr(n, "for")] = true
		case "h1":
			headings++
		}
	}
	if headings != 1 {
		t.Errorf("%s has %d first headings", where, headings)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && slices.Contains([]string{"input", "select", "textarea"}, n.Data) && attr(n, "type") != "hidden" &&
			!labelled[attr(n, "id")] && n.Parent.Data != "label" {
			t.Errorf("%s: a field %q has no label", where, attr(n, "name"))
		}
	}
}

func TestEveryPageShowsAnEmptyInstallation(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	for _, p := range lists() {
		check(t, p, k.see(p))
	}
	says(t, k.see("/"), "There is no business yet.", "First steps")
	says(t, k.see("/deadlines"), "No approval has a known end.")
	says(t, k.see("/links"), "There is none.")
	says(t, k.see("/events/webhooks"), "evergrant webhook add")
}

// populated is a kit whose businesses, links and keys have the given names. It
// returns what no page may show.
func populated(t *testing.T, names []string) (k *kit, secrets []string) {
	k = newKit(t, nil)
	secrets = []string{apitest.AdminKey, "s3cret-of-"}
	for i, name := range names {
		ref := evergrant.Ref(fmt.Sprintf("biz_%d@k-series", i))
		at, rt := k.Oracle.Issue(string(ref))
		secrets = append(secrets, at, rt)
		_, err := k.API.CreateConnection(t.Context(), client.NewConnection{Ref: ref, Name: name, Tags: map[string]string{"locale": "nl-BE", "note": name},
			Tokens: &client.Tokens{AccessToken: at, RefreshToken: rt, ExpiresIn: 3600, RefreshExpiresAt: k.Now().Add(time.Duration(i+1) * 24 * time.Hour)}})
		k.must(err)
		l, err := k.API.CreateLink(t.Context(), client.NewLink{Ref: ref, BusinessName: name})
		k.must(err)
		secrets = append(secrets, l.URL[strings.LastIndex(l.URL, "/")+1:])
		key, err := k.API.CreateKey(t.Context(), client.NewKey{Name: keyName(name), Scopes: []string{"tokens"}, Businesses: []string{fmt.Sprint("biz_", i)}})
		k.must(err)
		secrets = append(secrets, key.Key)
		k.must(k.Store.AppendEvents(t.Context(), grant.Event{Type: grant.GrantRefreshFailed, Ref: string(ref), App: "k-series", Reason: grant.AnswerLost,
			Data: map[string]any{"description": name, "status": 503, "list": []any{name}}}))
		k.metrics.Refreshed("k-series", "temporary", "answer_lost", time.Second)
		k.metrics.Answered("k-series", telemetry.Answer{Status: 503, Code: name, Description: name})
	}
	hook, err := k.API.CreateWebhook(t.Context(), client.NewWebhook{URL: "http://127.0.0.1:9/hook?token=in-the-query", Name: "orders"})
	k.must(err)
	secrets = append(secrets, hook.SigningSecret, "in-the-query")
	if _, err := k.API.TestWebhook(t.Context(), hook.ID); err != nil {
		t.Fatal(err)
	}
	return k, secrets
}

// keyName is a name that a key may have.
func keyName(s string) string {
	r := []rune(strings.Map(func(r rune) rune {
		if r == '\u202e' || r == '\u2028' {
			return '-'
		}
		return r
	}, s))
	return string(r[:min(len(r), 60)])
}

func TestPagesShowWhatThereIsWithoutSecrets(t *testing.T) {
	t.Parallel()
	for name, names := range map[string][]string{"ordinary names": {"Café Nord", "Quay Bar", "Trattoria Paola"}, "hostile names": hostile()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, secrets := populated(t, names)
			pages := lists()
			for i := range names {
				pages = append(pages, fmt.Sprintf("/connections/biz_%d@k-series", i), fmt.Sprintf("/connections/biz_%d@k-series/disconnect", i))
			}
			pages = append(pages, "/connections?q="+url.QueryEscape(names[0]), "/events?ref="+url.QueryEscape("biz_0@k-series"), "/events?ref="+url.QueryEscape(names[0]))
			all := ""
			for _, p := range pages {
				body := k.see(p)
				check(t, p, body)
				for _, s := range secrets {
					if strings.Contains(body, s) {
						t.Errorf("%s tells %q", p, s)
					}
				}
				all += body
			}
			for _, n := range names {
				if !strings.Contains(textOf(all), strings.Join(strings.Fields(n), " ")) {
					t.Errorf("no page says %q", n)
				}
			}
		})
	}
}

func TestOddRefsHavePages(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	for _, key := range []string{"biz-4?a=b&c#d%2F;e", "a@b", "ünï", "..", "%2e%2e", "+"} {
		ref := evergrant.Ref(key + "@k-series")
		if _, err := k.API.CreateConnection(t.Context(), client.NewConnection{Ref: ref, Name: "Odd"}); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		page := k.see("/connections/" + url.PathEscape(string(ref)))
		says(t, page, string(ref))
		for _, f := range elements(t, page, "form") {
			if action := attr(f, "action"); strings.HasSuffix(action, "/links") {
				says(t, k.post(action, "locale", "nl").Body, "A message for Odd")
			}
		}
		list := k.see("/connections?q=" + url.QueryEscape(key))
		if !slices.ContainsFunc(elements(t, list, "a"), func(a *html.Node) bool { return attr(a, "href") == "/connections/"+url.PathEscape(string(ref)) }) {
			t.Errorf("the search for %q does not lead to it", key)
		}
	}
}

func TestPagesHaveTheirHeaders(t *testing.T) {
	t.Parallel()
	k, _ := populated(t, []string{"Café Nord"})
	for _, p := range append(lists(), "/nowhere", "/connections/none@k-series", "/assets/none", "/settings/preview/none") {
		h := k.get(p).Header
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Frame-Options":         "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", p, name, h.Get(name))
			}
		}
	}
}

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	for _, p := range []string{"/nowhere", "/connections/none@k-series", "/connections/none@k-series/disconnect", "/connections/conn_none", "/providers/none/pause",
		"/settings/keys/key_none/revoke", "/settings/preview/none", "/assets/none.js"} {
		if a := k.get(p); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d", p, a.Status)
		}
	}
	for _, p := range []string{"/connections/none@k-series/verify", "/connections/none@k-series/refresh", "/links/link_none/revoke", "/providers/none/pause",
		"/events/webhooks/none/test", "/settings/keys/key_none/revoke"} {
		if a := k.post(p); a.Status != http.StatusNotFound {
			t.Errorf("POST %s: %d", p, a.Status)
		}
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.Adopt("a", "k-series")
	for _, p := range []string{"/deadlines?outage=15", "/deadlines?outage=-1", "/deadlines?outage=x", "/events?type=none", "/events?cursor=none",
		"/connections?cursor=%00", "/connections?view=degraded&cursor=none", "/connections?view=deadline&cursor=k-series+none", "/links?state=none", "/links?cursor=none%00"} {
		if a := k.get(p); a.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", p, a.Status, textOf(a.Body))
		} else {
			check(t, p, a.Body)
		}
	}
	for _, f := range []struct {
		target string
		fields []string
	}{
		{"/settings/keys", nil},
		{"/settings/keys", []string{"name", "one"}},
		{"/settings/keys", []string{"name", "one", "scope", "everything"}},
		{"/settings/keys", []string{"name", "one", "scope", "tokens", "app", "none"}},
		{"/settings/keys", []string{"name", "one", "scope", "tokens", "until", "tomorrow"}},
		{"/settings/keys", []string{"name", "one", "scope", "tokens", "until", "1999-01-01"}},
		{"/settings/keys", []string{"name", strings.Repeat("long", 100_000), "scope", "tokens"}},
		{"/sandbox/clock", []string{"by", "400d"}},
		{"/sandbox/break", []string{"fault", "none"}},
		{"/sandbox/users", []string{"email", "anna@cafe-nord.example", "what", "delete"}},
		{"/sandbox/users", []string{"what", "lock"}},
		{"/sandbox/users", []string{"email", "none@none.example", "what", "lock"}},
	} {
		if a := k.post(f.target, f.fields...); a.Status != http.StatusBadRequest {
			t.Errorf("%s %.60q: %d %s", f.target, f.fields, a.Status, textOf(a.Body))
		}
	}
}

// walk follows a list to its end and returns what its rows lead to.
func (k *kit) walk(first, prefix string) (found map[string]int, pages int) {
	k.T.Helper()
	found = map[string]int{}
	for at := first; at != ""; {
		body := k.see(at)
		at = ""
		if pages++; pages > 100 {
			k.T.Fatalf("%s has no end", first)
		}
		for _, row := range elements(k.T, body, "tr") {
			for n := range row.Descendants() {
				if n.Data == "a" && strings.HasPrefix(attr(n, "href"), prefix) {
					found[attr(n, "href")]++
				}
			}
		}
		for _, a := range elements(k.T, body, "a") {
			if strings.Contains(attr(a, "href"), "cursor=") {
				at = attr(a, "href")
			}
		}
	}
	return found, pages
}

func TestListsGoOnToTheirEnd(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	want := map[string]int{}
	for i := range 70 {
		app := []string{"k-series", "r-series"}[i%2]
		ref := fmt.Sprintf("biz_%02d@%s", i, app)
		k.adoptUntil(ref, time.Duration(i+1)*time.Hour)
		want["/connections/"+url.PathEscape(ref)] = 1
	}
	k.adoptUntil("later@k-series", 20*24*time.Hour)
	all := maps.Clone(want)
	all["/connections/later@k-series"] = 1
	for first, want := range map[string]map[string]int{"/connections": all, "/connections?view=back": all, "/connections?view=deadline": want} {
		got, pages := k.walk(first, "/connections/")
		if !maps.Equal(got, want) || pages != 2 {
			t.Errorf("%s has %d rows on %d pages, want %d", first, len(got), pages, len(want))
		}
	}
	if got, _ := k.walk("/connections?view=deadline&app=r-series", "/connections/"); len(got) != 35 {
		t.Errorf("%d of an app end soon", len(got))
	}
	for i := range 60 {
		k.link(fmt.Sprintf("biz_%02d@%s", i, []string{"k-series", "r-series"}[i%2]))
	}
	if got, pages := k.walk("/links?state=created", "/connections/"); len(got) != 60 || pages != 2 {
		t.Errorf("%d links on %d pages", len(got), pages)
	}
	if got, pages := k.walk("/events?type=link.created", "/connections/"); len(got) != 60 || pages != 2 {
		t.Errorf("%d events on %d pages", len(got), pages)
	}
	says(t, k.see("/events?ref=biz_00@k-series&type=connection.*"), "connection.connected")
	says(t, k.see("/deadlines?outage=1d"), "36 live approvals, 12 lost", "If we could not renew for 1 day: 24 approvals would be lost by")
	says(t, k.see("/deadlines?outage=0"), "Without an outage nothing is lost.")
}
