package dashboard_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/dashboard"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/telemetry"
)

// done posts a form and follows to the page that says what came of it.
func (k *kit) done(target string, fields ...string) string {
	k.T.Helper()
	a := k.post(target, fields...)
	if a.Status != http.StatusSeeOther {
		k.T.Fatalf("POST %s is %d: %s", target, a.Status, textOf(a.Body))
	}
	return k.see(a.Header.Get("Location"))
}

func TestAnAppIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	says(t, k.see("/providers/k-series/pause"), "Pause k-series", "approvals end on their deadlines")
	says(t, k.done("/providers/k-series/pause"), "paused", "Somebody paused it.")
	app, err := k.API.App(t.Context(), "k-series")
	if k.must(err); !app.Paused || app.PausedBecause != "operator" {
		t.Errorf("%+v", app)
	}
	says(t, k.see("/"), "We must act")
	says(t, k.see("/providers/k-series/pause"), "Resume k-series")
	says(t, k.done("/providers/k-series/resume"), "The provider takes its credentials.")
	if app, err = k.API.App(t.Context(), "k-series"); err != nil || app.Paused {
		t.Errorf("%+v, %v", app, err)
	}
}

func TestAKeyIsShownOnceAndRevoked(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	a := k.post("/settings/keys", "name", " Reports ", "scope", "tokens", "scope", "events", "app", "k-series", "businesses", "biz_1\r\nbiz_2\r\n", "until", "2099-12-31")
	says(t, a.Body, "The key Reports", "shown this once", "apps k-series; businesses biz_1, biz_2")
	if strings.Contains(a.Body, "data-live") {
		t.Error("the page with the key would be replaced when something happens")
	}
	var key string
	for _, in := range elements(t, a.Body, "input") {
		if attr(in, "id") == "text" {
			key = attr(in, "value")
		}
	}
	if access.CheckSecret(secret.New(key)) != nil {
		t.Fatalf("the key is %q", key)
	}
	c, err := client.New(client.Config{URL: k.Server.URL, Key: key})
	k.must(err)
	defer c.CloseIdleConnections()
	made, err := c.Whoami(t.Context())
	if k.must(err); made.Name != "Reports" || len(made.Scopes) != 2 || made.ExpiresAt.Format(time.DateOnly) != "2100-01-01" {
		t.Errorf("%+v", made)
	}
	if page := k.see("/settings"); strings.Contains(page, key) {
		t.Error("the key is shown again")
	} else {
		says(t, page, "Reports", "tokens, events", "apps k-series; businesses biz_1, biz_2")
	}
	says(t, k.see("/settings/keys/"+made.ID+"/revoke"), "Revoke the key Reports?", "It was last used on")
	page := k.done("/settings/keys/" + made.ID + "/revoke")
	says(t, page, "The key works no more.", "1 revoked key is not shown.")
	if strings.Contains(page, "Reports") {
		t.Error("a revoked key is listed")
	}
	if _, err := c.Whoami(t.Context()); err == nil {
		t.Error("a revoked key works")
	}
}

func TestWebhooksAreTestedAndEnabled(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	status := http.StatusOK
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }))
	defer receiver.Close()
	hook, err := k.API.CreateWebhook(t.Context(), client.NewWebhook{URL: receiver.URL, Name: "orders"})
	k.must(err)
	says(t, k.post("/events/webhooks/"+hook.ID+"/test").Body, "It was received", "The receiver answered 200")
	status = http.StatusInternalServerError
	says(t, k.post("/events/webhooks/"+hook.ID+"/test").Body, "It was not received")
	says(t, k.see("/events/webhooks"), "orders", "webhook.test", "delivered", "500")
	no := false
	_, err = k.API.ChangeWebhook(t.Context(), hook.ID, client.WebhookChange{Enabled: &no})
	k.must(err)
	says(t, k.see("/events/webhooks"), "disabled", "somebody disabled it")
	page := k.done("/events/webhooks/" + hook.ID + "/enable")
	says(t, page, "enabled", "What waited for it is delivered now.")
}

func TestLinksAreTakenBack(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	l := k.link("biz_1@k-series")
	says(t, k.see("/links"), "made 1 100 %", "not opened yet")
	says(t, k.done("/links/"+l.ID+"/revoke", "to", "links"), "The link was taken back.", "1 was taken back; how far it had come is not known.")
	says(t, k.done("/connections/biz_1@k-series/locations"), "was read again")
	if a := k.post("/links/" + k.link("biz_1@k-series").ID + "/revoke"); a.Header.Get("Location") != "/connections/biz_1@k-series?done=revoked" {
		t.Errorf("leads to %q", a.Header.Get("Location"))
	}
}

func TestAConnectionIsVerifiedRenewedAndDisconnected(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.Adopt("biz_1", "k-series")
	const at = "/connections/biz_1@k-series"
	says(t, k.done(at+"/refresh"), "Renewed.")
	says(t, k.done(at+"/verify"), "no call to check with")
	says(t, k.see(at+"/disconnect"), "Only its merchant can connect it again.")
	says(t, k.done(at+"/disconnect"), "Disconnected. The history stays.")
}

func TestProvidersTellHowRenewalsWent(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	for range 99 {
		k.metrics.Refreshed("k-series", "ok", "ok", 40*time.Millisecond)
	}
	k.metrics.Refreshed("k-series", "temporary", "ok", 40*time.Millisecond)
	k.metrics.Refreshed("k-series", "answer_lost", "answer_lost", 2*time.Second)
	k.metrics.Answered("k-series", telemetry.Answer{Status: 400, Code: "invalid_grant", Description: "Token is not active"})
	k.metrics.Answered("k-series", telemetry.Answer{Description: "login.example: timeout"})
	says(t, k.see("/providers"), "98.0 %", "put off", "answer_lost", "400 invalid_grant Token is not active", "no answer login.example: timeout")
	bare := newKit(t, func(c *dashboard.Config) {
		c.Trends, c.Merchants, c.MasterKey, c.Sandbox, c.Grown = nil, nil, nil, "", nil
	})
	for _, p := range lists() {
		want := http.StatusOK
		if strings.HasPrefix(p, "/sandbox") {
			want = http.StatusNotFound
		}
		if a := bare.get(p); a.Status != want && p != "/settings/preview" {
			t.Errorf("without what may be left out %s is %d", p, a.Status)
		}
	}
	if a := bare.get("/settings/preview/connect"); a.Status != http.StatusNotFound {
		t.Errorf("a preview of nothing is %d", a.Status)
	}
}

func TestTheSandboxIsBrokenAndHealed(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	before := k.sandbox.Now()
	says(t, k.done("/sandbox/clock", "by", "13d"), "The clock was moved.", "moved ahead by 312h0m0s")
	if by := k.sandbox.Now().Sub(before); by < 13*24*time.Hour {
		t.Errorf("moved by %s", by)
	}
	says(t, k.done("/sandbox/break", "fault", "status_500", "times", "1"), "status_500 of every app, 0 hits, 1 left")
	says(t, k.done("/sandbox/heal"), "Nothing is broken.")
	says(t, k.done("/sandbox/users", "email", "anna@cafe-nord.example", "what", "lock"), "locked", "Unlock")
	says(t, k.done("/sandbox/users", "email", "anna@cafe-nord.example", "what", "unlock"), "We broke no rule.")
	gone := newKit(t, func(c *dashboard.Config) { c.Sandbox = "http://127.0.0.1:1" })
	if a := gone.get("/sandbox"); a.Status != http.StatusBadGateway {
		t.Errorf("without a sandbox it is %d", a.Status)
	}
}

func TestMerchantsPagesCanBeLookedAt(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(c *dashboard.Config) { c.Prefix = "/evergrant" })
	list := k.see("/evergrant/settings/preview")
	looked := map[string]bool{}
	for _, a := range elements(t, list, "a") {
		at := attr(a, "href")
		if !strings.Contains(at, "?lang=") {
			continue
		}
		page := k.get(at)
		if page.Status != http.StatusOK || !strings.HasPrefix(page.Body, "<!doctype html>\n<html lang=\""+attr(a, "hreflang")+"\">") {
			t.Errorf("%s: %d %.60s", at, page.Status, page.Body)
		}
		policy := page.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "form-action 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "script") {
			t.Errorf("%s: %s", at, policy)
		}
		for _, form := range elements(t, page.Body, "form") {
			if attr(form, "action") != "#" {
				t.Errorf("%s: a form leads to %q", at, attr(form, "action"))
			}
		}
		for _, style := range elements(t, page.Body, "link") {
			if attr(style, "rel") != "stylesheet" {
				continue
			}
			if css := k.get(attr(style, "href")); css.Status != http.StatusOK || !strings.Contains(css.Body, "--brand") {
				t.Errorf("%s: its style %s is %d", at, attr(style, "href"), css.Status)
			}
		}
		if looked[page.Body] {
			t.Errorf("%s looks like another page", at)
		}
		looked[page.Body] = true
	}
	if len(looked) != 20*6 {
		t.Errorf("%d previews", len(looked))
	}
}

func TestAllAddressesHaveThePrefix(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(c *dashboard.Config) { c.Prefix = "/evergrant" })
	k.Adopt("biz_1", "k-series")
	for _, p := range append(lists(), "/connections/biz_1@k-series") {
		body := k.see("/evergrant" + p)
		for _, tag := range []string{"a", "form", "link", "script"} {
			for _, n := range elements(t, body, tag) {
				for _, name := range []string{"href", "action", "src"} {
					if at := attr(n, name); strings.HasPrefix(at, "/") && !strings.HasPrefix(at, "/evergrant/") {
						t.Errorf("%s: <%s %s=%q>", p, tag, name, at)
					}
				}
			}
		}
	}
	if to := k.post("/evergrant/sandbox/heal").Header.Get("Location"); to != "/evergrant/sandbox?done=heal" {
		t.Errorf("leads to %q", to)
	}
}

func TestWhatHappensIsToldUntilTheBrowserOrTheServerEnds(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	server := httptest.NewServer(k.pages)
	defer server.Close()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/live?wait=1", nil)
	k.must(err)
	res, err := server.Client().Do(req)
	k.must(err)
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("it is %q", kind)
	}
	lines := bufio.NewScanner(res.Body)
	next := func() string {
		for lines.Scan() {
			if lines.Text() != "" {
				return lines.Text()
			}
		}
		return ""
	}
	if got := next(); got != "retry: 3000" {
		t.Fatalf("begins with %q", got)
	}
	k.grow()
	if got := next(); got != "data: changed" {
		t.Errorf("says %q", got)
	}
	leave()
	if got := next(); got != "" {
		t.Errorf("goes on with %q", got)
	}

	// As a server does that stops: it ends the contexts of those who wait.
	stopped, stop := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		k.pages.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(stopped, http.MethodGet, "/live?wait=1", nil))
	}()
	stop()
	<-over

	if a := k.get("/live"); a.Status != http.StatusBadRequest {
		t.Errorf("one that a stopping server would wait for is %d", a.Status)
	}
	silent := newKit(t, func(c *dashboard.Config) { c.Grown = nil })
	if a := silent.get("/live?wait=1"); a.Status != http.StatusNoContent {
		t.Errorf("without news it is %d", a.Status)
	}
	if strings.Contains(silent.see("/"), "data-live") {
		t.Error("a page asks for news that there are none of")
	}
}

func TestTheLinkToTheCurrentPageSaysSo(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	for _, p := range []string{"/", "/connections", "/deadlines", "/providers", "/links", "/events", "/settings", "/sandbox"} {
		var current []string
		for _, a := range elements(t, k.see(p), "a") {
			if attr(a, "aria-current") == "page" {
				current = append(current, attr(a, "href"))
			}
		}
		if len(current) != 1 || current[0] != p {
			t.Errorf("%s says that it is %q", p, current)
		}
	}
}

func TestASupportPersonSeesNoButtonThatIsRefused(t *testing.T) {
	t.Parallel()
	for _, role := range []access.Role{access.Viewer, access.Support} {
		k, at := filled(t, role)
		k.role = role
		allowed := map[string]bool{"/logout": true}
		for _, rt := range routes() {
			if role.May(rt.least) {
				allowed[at(rt.target)] = true
			}
		}
		for _, p := range append(lists(), "/connections/a@k-series", "/connections/b@k-series") {
			if strings.Contains(p, "/pause") {
				continue
			}
			body := k.see(p)
			for _, f := range elements(t, body, "form") {
				if action := attr(f, "action"); attr(f, "method") == "post" && !allowed[strings.ReplaceAll(action, "b@", "a@")] && !strings.HasPrefix(action, "/links/") {
					t.Errorf("%s shows a %s the button for %s", p, role, action)
				}
			}
			for _, a := range elements(t, body, "a") {
				if to := attr(a, "href"); strings.HasSuffix(to, "/pause") || strings.HasSuffix(to, "/revoke") || strings.HasSuffix(to, "/disconnect") {
					t.Errorf("%s shows a %s the way to %s", p, role, to)
				}
			}
		}
	}
}
