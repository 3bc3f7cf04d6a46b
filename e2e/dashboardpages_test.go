package e2e_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/sandbox"
)

// dashboardPage is a page of the private listener in one of its states.
type dashboardPage struct {
	name    string
	status  int
	heading string
	path    string
	// then is what a script does there that leads to the page; "" if nothing does.
	then string
}

// formSent sends a form as a browser does that has no scripts.
func formSent(selector string) string {
	return fmt.Sprintf("document.querySelector(%q).submit()", selector)
}

// demoPages are those of evergrant dev and its demo businesses, for an operator.
func demoPages() []dashboardPage {
	at := func(ref, rest string) string { return "/connections/" + url.PathEscape(ref) + rest }
	const works, lost, declined, waits = "harbour_group@k-series", "trattoria_paola@k-series", "cafe_nowhere@k-series", "fjord_kitchen@k-series"
	return []dashboardPage{
		{"home", 200, "Who needs help?", "/", ""},
		{"connections", 200, "Connections", "/connections", ""},
		{"connections-needs-login", 200, "Connections", "/connections?view=needs-login", ""},
		{"connections-degraded", 200, "Connections", "/connections?view=degraded", ""},
		{"connections-missing", 200, "Connections", "/connections?view=missing", ""},
		{"connections-deadline", 200, "Connections", "/connections?view=deadline", ""},
		{"connections-pending", 200, "Connections", "/connections?view=pending&app=k-series", ""},
		{"connections-back", 200, "Connections", "/connections?view=back", ""},
		{"connections-disconnected", 200, "Connections", "/connections?view=disconnected", ""},
		{"connections-found", 200, "Connections", "/connections?q=harbour", ""},
		{"connections-not-found", 200, "Connections", "/connections?q=%3Cscript%3Ealert(1)%3C/script%3E", ""},
		{"connection", 200, "Harbour Group", at(works, ""), ""},
		{"connection-needs-login", 200, "Trattoria Paola", at(lost, ""), ""},
		{"connection-declined", 200, "Café Nowhere", at(declined, ""), ""},
		{"connection-waits", 200, "Fjord Kitchen", at(waits, ""), ""},
		{"connection-verified", 200, "Harbour Group", at(works, ""), formSent("form[action$='/verify']")},
		{"connection-nobody", 404, "There is no such thing", at("nobody@k-series", ""), ""},
		{"message", 200, "A message for Trattoria Paola", at(lost, ""), formSent("form[data-message]")},
		{"disconnect", 200, "Disconnect Harbour Group?", at(works, "/disconnect"), ""},
		{"deadlines", 200, "Deadlines", "/deadlines", ""},
		{"providers", 200, "Providers", "/providers", ""},
		{"pause", 200, "Pause", "/providers/k-series/pause", ""},
		{"links", 200, "Links", "/links", ""},
		{"events", 200, "Events", "/events", ""},
		{"events-of-one", 200, "Events", "/events?ref=trattoria_paola%40k-series", ""},
		{"webhooks", 200, "Webhooks", "/events/webhooks", ""},
		{"settings", 200, "Settings", "/settings", ""},
		{"key-made", 200, "The key Backup", "/settings", `document.getElementById("name").value = "Backup"; ` + formSent("form.fields")},
		{"settings-with-key", 200, "Settings", "/settings", ""},
		{"previews", 200, "What merchants see", "/settings/preview", ""},
		{"preview", 200, "Connect Café Nord", "/settings/preview/connect?lang=en", ""},
		{"sandbox", 200, "Sandbox", "/sandbox", ""},
		{"sandbox-broken", 200, "Sandbox", "/sandbox", formSent("form[action$='/break']")},
		{"nowhere", 404, "There is no such page", "/connections/a/b/c", ""},
		{"logout", 200, "Log out?", "/logout", ""},
	}
}

// strangerPages are those for people who are not let in, not yet.
func strangerPages(invitation string) []dashboardPage {
	return []dashboardPage{
		{"login", 200, "Log in", "/login", ""},
		{"login-first", 200, "Log in", "/connections", ""},
		{"login-link", 200, "Log in as Dana?", invitation, ""},
		{"login-link-used", 404, "This link does not work", "/login/link/" + strings.Repeat("A", 43), ""},
		{"login-nowhere", 404, "There is nothing here", "/login/nothing", ""},
		{"logged-out", 200, "You are logged out", "/login/out", ""},
	}
}

// dashboardLimits are those of every page of the private listener: the page, its
// stylesheet and its script. The stream of news is beside them.
var dashboardLimits = limits{requests: 3}

// invited lets a person into the dashboard of a server by a one-time link.
func (b *tab) invited(c *client.Client, role, name string) {
	b.t.Helper()
	l, err := c.CreateDashboardLogin(b.t.Context(), client.NewDashboardLogin{Role: role, Name: name})
	if err != nil {
		b.t.Fatal(err)
	}
	b.open(l.URL)
	b.says("Log in as " + name + "?")
	b.press("Log in")
	if got := b.heading(); got != "Who needs help?" {
		b.t.Fatalf("the login leads to %s, headed %q", b.address(), got)
	}
}

// TestDashboardPagesAreForEverybody looks at every page of the dashboard and of
// its login, light and dark.
func TestDashboardPagesAreForEverybody(t *testing.T) {
	t.Parallel()
	inspector := newInspector(t)
	look := func(b *tab, base string, p dashboardPage, l limits) {
		b.t.Helper()
		b.resize(deskWidth, deskHeight)
		status := b.open(base + p.path)
		if p.then != "" {
			b.forget()
			status = b.leads(p.name, chromedp.Evaluate[chromedp.Void](p.then))
		}
		if status != p.status {
			b.t.Errorf("%s answers %d, want %d", p.name, status, p.status)
		}
		if got := b.heading(); !strings.HasPrefix(got, p.heading) {
			b.t.Errorf("%s is headed %q, want %q", p.name, got, p.heading)
		}
		inspector.inspect(b, p.name, l)
	}

	var urls devURLs
	interrupt := startDev(t, t.TempDir(), &urls)
	t.Cleanup(interrupt)
	c := urls.client(t)
	t.Run("an operator's", func(t *testing.T) {
		t.Parallel()
		b := inspector.equip(newPerson(t, deskWidth, deskHeight))
		b.invited(c, "operator", "Dana")
		for _, p := range demoPages() {
			look(b, urls.API, p, dashboardLimits)
		}
	})
	t.Run("a viewer's", func(t *testing.T) {
		t.Parallel()
		b := inspector.equip(newPerson(t, deskWidth, deskHeight))
		b.invited(c, "viewer", "Vera")
		look(b, urls.API, dashboardPage{"viewer-home", 200, "Who needs help?", "/", ""}, dashboardLimits)
		look(b, urls.API, dashboardPage{"viewer-connection", 200, "Trattoria Paola", "/connections/trattoria_paola@k-series", ""}, dashboardLimits)
		if n := eval[int](b, `document.querySelectorAll("main form[method=post]").length`); n != 0 {
			t.Errorf("a viewer is offered %d things to do", n)
		}
	})
	t.Run("a stranger's", func(t *testing.T) {
		t.Parallel()
		l, err := c.CreateDashboardLogin(t.Context(), client.NewDashboardLogin{Role: "support", Name: "Dana"})
		if err != nil {
			t.Fatal(err)
		}
		b := inspector.equip(newPerson(t, deskWidth, deskHeight))
		for _, p := range strangerPages(strings.TrimPrefix(l.URL, urls.API)) {
			look(b, urls.API, p, merchantLimits)
		}
	})
	t.Run("of a new server, and of one in trouble", func(t *testing.T) {
		t.Parallel()
		m := newMerchants(t, "#0b5d3b")
		b := inspector.equip(newPerson(t, deskWidth, deskHeight))
		b.invited(m.Client, "operator", "Dana")
		look(b, m.api, dashboardPage{"new-home", 200, "Who needs help?", "/", ""}, dashboardLimits)
		look(b, m.api, dashboardPage{"new-connections", 200, "Connections", "/connections", ""}, dashboardLimits)
		m.troubled()
		b.open(m.api)
		b.until("the page counts everybody", `document.body.innerText.includes("1 waits for the provider")`)
		look(b, m.api, dashboardPage{"trouble-home", 200, "Who needs help?", "/", ""}, dashboardLimits)
		look(b, m.api, dashboardPage{"trouble-connections", 200, "Connections", "/connections?view=missing", ""}, dashboardLimits)
	})
}

// troubled gives a server businesses that wait for everybody there is to wait for.
func (m *merchants) troubled() {
	m.t.Helper()
	m.connected(anna)
	m.furtherLogin()
	m.fails("k-required", sandbox.Fault{Fault: "scope_shrink"})
	for app, fault := range map[string]string{"k-required": "status_500", "k-refused": "invalid_client"} {
		ref := m.aRef(app)
		m.goes(sandbox.Visit{Email: bruno}, m.link(ref, client.NewLink{}))
		m.box.Fault(sandbox.Fault{App: "devp-v2-" + app, Fault: fault})
		if res, err := m.Refresh(m.t.Context(), ref); err != nil || res[0].Refreshed {
			m.t.Errorf("%s in spite of %s: %+v, %v", ref, fault, res, err)
		}
	}
}
