package e2e_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/access"
)

// fresh is a new secret of a kind.
func (c *canary) fresh(kind string) string {
	s := access.NewSecret().Reveal()
	c.seen.add(kind, s)
	return s
}

// everyWayIn gets tokens and calls the API in all the ways there are, well and
// with a wrong key. What a caller sends through the proxy is a secret too.
func (c *canary) everyWayIn(business string) {
	c.t.Helper()
	ref, key, wrong := business+"@k-series", c.server.key, c.fresh("API key")
	body, form := c.fresh("caller's body"), "Content-Type"
	for _, k := range []string{key, wrong} {
		c.call("GET", "/proxy/"+ref+"/f/data/businesses", k, "")
		c.call("POST", "/proxy/"+ref+"/f/data/businesses?note="+body, k, `{"note":"`+body+`"}`, "Cookie", "session="+body, "X-Note", body)
		c.call("GET", "/proxy/"+ref+"/"+body+"/%2e%2e/x", k, "")
		c.call("GET", "/proxy/nobody@k-series/"+body, k, "")
		c.call("GET", "/v1/forward-auth/"+ref, k, "")
		c.call("GET", "/v1/forward-auth/nobody@k-series", k, "")
		c.call("GET", "/v1/forward-auth/"+ref, "", "", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("x:"+k)))
		grant := url.Values{"grant_type": {"client_credentials"}, "client_id": {ref}, "client_secret": {k}}
		c.call("POST", "/oauth/token", "", grant.Encode(), form, "application/x-www-form-urlencoded")
		c.call("POST", "/oauth/token?"+grant.Encode(), "", grant.Encode(), form, "application/x-www-form-urlencoded")
		c.call("POST", "/oauth/token", "", grant.Encode()+"&client_secret="+k, form, "application/x-www-form-urlencoded")
		c.call("POST", "/oauth/token", "", "grant_type=client_credentials&scope="+k, form, "application/x-www-form-urlencoded",
			"Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(ref)+":"+k)))
	}
	if _, err := c.server.Verify(c.t.Context(), evergrant.Ref(ref)); err != nil {
		c.t.Fatal(err)
	}
	c.webhooks()
	c.dashboard(ref)
}

// webhooks has events sent to one that keeps what comes, and to one that quotes
// the signature with its refusal.
func (c *canary) webhooks() {
	c.t.Helper()
	kept := c.inbox(http.StatusOK)
	quoting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Location", "/?"+url.QueryEscape(string(body)))
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "%v %s", r.Header, body)
	}))
	c.t.Cleanup(quoting.Close)
	for _, to := range []string{kept.URL, quoting.URL} {
		made, err := c.server.CreateWebhook(c.t.Context(), client.NewWebhook{URL: to + "/hooks"})
		if err != nil {
			c.t.Fatal(err)
		}
		c.signing(made.SigningSecret)
		if made, err = c.server.RotateWebhookSecret(c.t.Context(), made.ID); err != nil {
			c.t.Fatal(err)
		}
		c.signing(made.SigningSecret)
		if _, err := c.server.TestWebhook(c.t.Context(), made.ID); err != nil {
			c.t.Fatal(err)
		}
	}
	c.hooked = kept
}

// signing takes in a signing secret, as it is told and as it is used.
func (c *canary) signing(told string) {
	c.t.Helper()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(told, "whsec_"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.seen.add("signing secret", told)
	c.seen.add("signing secret", string(raw))
}

// inbox keeps what is sent to it.
type inbox struct {
	*httptest.Server
	mu   sync.Mutex
	sent []byte
}

func (c *canary) inbox(status int) *inbox {
	i := &inbox{}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		i.mu.Lock()
		i.sent = append(fmt.Append(i.sent, r.Header, "\n"), body...)
		i.mu.Unlock()
		w.WriteHeader(status)
	}))
	c.t.Cleanup(i.Close)
	return i
}

// lookInto looks at what came so far, and fails the test if nothing did.
func (c *canary) lookInto(where string, i *inbox) {
	c.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.sent) == 0 {
		c.t.Errorf("%s: nothing came", where)
	}
	c.look(where, i.sent)
}

var (
	linkOnPage = regexp.MustCompile(`/connect/([\w-]{20,})`)
	keyOnPage  = regexp.MustCompile(`evg_[\w-]{32,}`)
)

// dashboard goes in by a link, makes what is shown once, and looks at every page.
func (c *canary) dashboard(ref string) {
	c.t.Helper()
	login, err := c.server.CreateDashboardLogin(c.t.Context(), client.NewDashboardLogin{Role: "operator", Name: "Canary"})
	if err != nil {
		c.t.Fatal(err)
	}
	c.seen.add("login link", path.Base(login.URL))
	c.pages = newBrowser(c.t, map[string]string{"name": "canary"})
	c.pages.submit(c.pages.open(login.URL))
	c.pages.open(login.URL) // used up
	c.pages.open(c.server.api + "/login/link/" + c.fresh("login link"))
	post := func(where string, form url.Values) string {
		r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.server.api+where, strings.NewReader(form.Encode()))
		if err != nil {
			c.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", c.server.api)
		return c.pages.do(r).body
	}
	one := "/connections/" + url.PathEscape(ref)
	if m := linkOnPage.FindStringSubmatch(post(one+"/links", url.Values{"purpose": {"reconnect"}})); m != nil {
		c.seen.add("link token", m[1])
	} else {
		c.t.Error("the dashboard shows no link that it has made")
	}
	if key := keyOnPage.FindString(post("/settings/keys", url.Values{"name": {"canary"}, "scopes": {"events"}, "scope": {"events"}})); key != "" {
		c.seen.add("API key", key)
	} else {
		c.t.Error("the dashboard shows no key that it has made")
	}
	for _, form := range []string{one + "/verify", one + "/locations", one + "/refresh", one + "/links", "/settings/keys", "/nowhere"} {
		post(form, url.Values{"x": {c.fresh("caller's body")}})
	}
	for _, page := range []string{"/", "/connections", one, one + "/links", one + "/disconnect", "/connections/revoke@k-series", "/deadlines", "/providers",
		"/links", "/events", "/events/webhooks", "/settings", "/settings/keys", "/settings/preview", "/login", "/logout", "/nowhere"} {
		c.pages.open(c.server.api + page)
	}
}

// lookAtPages looks at what the dashboard has shown. What is told once is told
// where it was made; a login link's page names the link.
func (c *canary) lookAtPages() {
	c.t.Helper()
	shown := 0
	for _, p := range c.pages.pages {
		for _, cookie := range (&http.Response{Header: p.header}).Cookies() {
			c.seen.add("session", cookie.Value)
		}
	}
	for _, p := range c.pages.pages {
		var but []string
		switch {
		case strings.HasPrefix(p.url.Path, "/login/link/"):
			but = []string{"login link"}
		case strings.HasSuffix(p.url.Path, "/links") && strings.HasPrefix(p.url.Path, "/connections/"):
			but = []string{"link token"}
		case p.url.Path == "/settings/keys":
			but = []string{"API key"}
		}
		if p.status == http.StatusOK {
			shown++
		}
		where := fmt.Sprintf("the page %s (%d)", p.url.Path, p.status)
		c.look(where, []byte(p.body), but...)
		headers := p.header.Clone()
		headers.Del("Set-Cookie")
		c.look(where+", its header", fmt.Append(nil, headers))
	}
	if shown < 15 {
		c.t.Errorf("the dashboard has shown only %d pages", shown)
	}
}
