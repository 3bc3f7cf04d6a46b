package dashboard_test

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api/apitest"
)

// route is an address of the dashboard and who may use it.
type route struct {
	pattern string // as it is registered
	target  string
	least   access.Role
	form    []string
}

// routes are all of them, about the business a@k-series.
func routes() []route {
	const v, s, o = access.Viewer, access.Support, access.Operator
	return []route{
		{"GET /{$}", "/", v, nil},
		{"GET /connections", "/connections", v, nil},
		{"GET /connections/{ref}", "/connections/a@k-series", v, nil},
		{"GET /connections/{ref}/links", "/connections/a@k-series/links", v, nil},
		{"GET /deadlines", "/deadlines", v, nil},
		{"GET /providers", "/providers", v, nil},
		{"GET /links", "/links", v, nil},
		{"GET /events", "/events", v, nil},
		{"GET /events/webhooks", "/events/webhooks", v, nil},
		{"GET /settings", "/settings", v, nil},
		{"GET /settings/keys", "/settings/keys", v, nil},
		{"GET /settings/preview", "/settings/preview", v, nil},
		{"GET /settings/preview/{page}", "/settings/preview/connect", v, nil},
		{"GET /sandbox", "/sandbox", v, nil},
		{"GET /connections/{ref}/disconnect", "/connections/a@k-series/disconnect", o, nil},
		{"GET /providers/{app}/pause", "/providers/k-series/pause", o, nil},
		{"GET /settings/keys/{id}/revoke", "/settings/keys/KEY/revoke", o, nil},
		{"POST /connections/{ref}/links", "/connections/a@k-series/links", s, []string{"locale", "nl"}},
		{"POST /connections/{ref}/verify", "/connections/a@k-series/verify", s, nil},
		{"POST /connections/{ref}/locations", "/connections/a@k-series/locations", s, nil},
		{"POST /links/{id}/revoke", "/links/LINK/revoke", s, nil},
		{"POST /connections/{ref}/refresh", "/connections/a@k-series/refresh", o, nil},
		{"POST /providers/{app}/pause", "/providers/k-series/pause", o, nil},
		{"POST /providers/{app}/resume", "/providers/k-series/resume", o, nil},
		{"POST /events/webhooks/{id}/test", "/events/webhooks/HOOK/test", o, nil},
		{"POST /events/webhooks/{id}/enable", "/events/webhooks/HOOK/enable", o, nil},
		{"POST /settings/keys", "/settings/keys", o, []string{"name", "a program", "scope", "tokens"}},
		{"POST /settings/keys/{id}/revoke", "/settings/keys/KEY/revoke", o, nil},
		{"POST /sandbox/clock", "/sandbox/clock", o, []string{"by", "1h"}},
		{"POST /sandbox/break", "/sandbox/break", o, []string{"fault", "slow", "app", "k-series"}},
		{"POST /sandbox/heal", "/sandbox/heal", o, nil},
		{"POST /sandbox/users", "/sandbox/users", o, []string{"email", "anna@cafe-nord.example", "what", "revoke"}},
		{"POST /connections/{ref}/disconnect", "/connections/a@k-series/disconnect", o, nil},
	}
}

// filled is a kit with something at every address of routes.
func filled(t *testing.T, role access.Role) (*kit, func(string) string) {
	k := newKit(t, nil)
	k.role = role
	k.Adopt("a", "k-series")
	link := k.link("b@k-series")
	key, err := k.API.CreateKey(t.Context(), client.NewKey{Name: "one", Scopes: []string{"tokens"}})
	k.must(err)
	hook, err := k.API.CreateWebhook(t.Context(), client.NewWebhook{URL: "http://127.0.0.1:9/none"})
	k.must(err)
	ids := strings.NewReplacer("LINK", link.ID, "KEY", key.ID, "HOOK", hook.ID)
	return k, ids.Replace
}

func (k *kit) ask(rt route, target string, header ...string) apitest.Answer {
	method, _, _ := strings.Cut(rt.pattern, " ")
	body := ""
	if method == http.MethodPost {
		body = form(rt.form...)
		header = append(header, "Content-Type: application/x-www-form-urlencoded")
	}
	return apitest.Serve(k.pages, "", method, target, body, header...)
}

func TestRolesSeeAndDoWhatTheyMay(t *testing.T) {
	t.Parallel()
	for _, role := range access.Roles() {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			k, at := filled(t, role)
			for _, rt := range routes() {
				a := k.ask(rt, at(rt.target), "Sec-Fetch-Site: same-origin")
				if may := role.May(rt.least); may != (a.Status == http.StatusOK || a.Status == http.StatusSeeOther) || !may && a.Status != http.StatusForbidden {
					t.Errorf("%s for %s, which needs %s: %d %s", rt.pattern, role, rt.least, a.Status, textOf(a.Body))
				}
			}
		})
	}
}

func TestWhoIsNotLetInIsSentToLogIn(t *testing.T) {
	t.Parallel()
	k, at := filled(t, "")
	for _, rt := range routes() {
		target := at(rt.target)
		a := k.ask(rt, target, "Sec-Fetch-Site: same-origin")
		switch {
		case strings.HasPrefix(rt.pattern, "POST"):
			if a.Status != http.StatusForbidden {
				t.Errorf("%s: %d", rt.pattern, a.Status)
			}
		case a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/login"):
			t.Errorf("%s: %d to %q", rt.pattern, a.Status, a.Header.Get("Location"))
		}
		if strings.Contains(a.Body, "k-series") {
			t.Errorf("%s tells a stranger of an app: %s", rt.pattern, a.Body)
		}
	}
	if a := k.get("/links?state=failed"); a.Header.Get("Location") != "/login?next=%2Flinks%3Fstate%3Dfailed" {
		t.Errorf("the way back is %q", a.Header.Get("Location"))
	}
	if a := k.get("/live"); a.Status != http.StatusForbidden {
		t.Errorf("a stranger may follow what happens: %d", a.Status)
	}
	if a := k.get("/assets/dashboard.css"); a.Status != http.StatusOK {
		t.Errorf("the page to log in has no style: %d", a.Status)
	}
}

func TestNothingIsDoneForAnotherSite(t *testing.T) {
	t.Parallel()
	k, at := filled(t, access.Operator)
	for _, rt := range routes() {
		if !strings.HasPrefix(rt.pattern, "POST") {
			continue
		}
		for _, header := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example", "Origin: null"} {
			if a := k.ask(rt, at(rt.target), header); a.Status != http.StatusForbidden {
				t.Errorf("%s with %s: %d", rt.pattern, header, a.Status)
			}
		}
	}
	c, err := k.API.Connection(t.Context(), "a@k-series")
	if k.must(err); c.State != "connected" {
		t.Errorf("it is %s", c.State)
	}
}

// TestEveryRouteIsInTheTable reads the routes where they are registered.
func TestEveryRouteIsInTheTable(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("dashboard.go")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{"GET /live": true, "GET /assets/{name}": true}
	for _, rt := range routes() {
		listed[rt.pattern] = true
	}
	found := 0
	for _, m := range regexp.MustCompile(`d\.(get|ask|post|mux\.Handle|mux\.HandleFunc)\("(GET |POST )?(/[^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		found++
		method := strings.TrimSpace(m[2])
		if method == "" {
			method = map[string]string{"get": "GET", "ask": "GET", "post": "POST"}[m[1]]
		}
		if pattern := fmt.Sprint(method, " ", m[3]); !listed[pattern] {
			t.Errorf("%s is not in the table of roles", pattern)
		}
	}
	if found < 30 {
		t.Errorf("only %d routes are found", found)
	}
}
