package e2e_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/sandbox"
)

// TestNoSecretLeaves lets a server live through connecting, refreshing, failing
// and disconnecting, and then looks for every secret that it had or saw in
// everything that it wrote or answered.
func TestNoSecretLeaves(t *testing.T) {
	t.Parallel()
	c := newCanary(t)
	c.server.start()
	c.connectAndUse("biz_1")
	c.everyWayIn("biz_1")
	c.failToConnect()
	c.badRequests()
	c.beQuoted()
	for _, fault := range []string{
		"bad_json", "truncate", "html", "lose_answer", "status_500", "status_429", "invalid_grant_once",
		"no_refresh_token", "expires_in_string", "revoke", "invalid_client",
	} {
		c.failToRefresh(fault)
	}
	c.disconnect("biz_1")
	c.happened("connection.connected", "grant.refreshed", "grant.refresh_failed", "grant.revoked", "link.failed",
		"connection.needs_reauthorization", "connection.disconnected", "app.credentials_rejected")
	c.readEverything()
	c.lookAtPages()
	c.lookInto("the webhook", c.hooked)
	c.commandLine("biz_1@k-series")
	c.scanFiles("while the server runs")
	c.server.kill()
	c.scanFiles("after kill -9")
	c.server.start()
	c.readEverything()
	c.server.interrupt()
	c.server.ended()
	c.scanFiles("after the end")
	c.lookInto("the traces", c.traces)
	c.badConfigurations()
	c.look("the log", c.server.logged())
	for kind, least := range map[string]int{
		"access_token": 14, "refresh_token": 14, "code": 13, "state": 13, "verifier": 12, "link token": 13,
		"client secret": 1, "API key": 5, "master key": 2, "browser's cookie": 1,
		"signing secret": 8, "login link": 2, "session": 1, "caller's body": 7,
	} {
		if n := c.seen.count(kind); n < least {
			t.Errorf("only %d secrets of kind %q were looked for, want at least %d", n, kind, least)
		}
	}
}

// canary is a server whose secrets are all known.
type canary struct {
	t       *testing.T
	seen    *secrets
	server  *server
	sandbox string
	tape    *tape
	traces  *inbox   // a collector
	hooked  *inbox   // a webhook's receiver
	pages   *browser // who is in the dashboard
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	c := &canary{t: t, seen: &secrets{}, server: newServer(t)}
	box := httptest.NewUnstartedServer(nil)
	c.sandbox = "http://" + box.Listener.Addr().String()
	box.Config.Handler = &wiretap{sandbox.New(sandbox.Config{URL: c.sandbox}), c.seen}
	box.Start()
	t.Cleanup(box.Close)

	c.traces = c.inbox(http.StatusOK)
	const clientSecret = "canary secret: +%/ 7Qk2ZsY"
	c.server.secret("client-secret", clientSecret)
	c.seen.add("client secret", clientSecret)
	c.seen.add("API key", c.server.key)
	master, err := os.ReadFile(filepath.Join(c.server.secrets, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(string(master))
	c.seen.add("master key", text)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	c.seen.add("master key", string(raw))
	c.server.env = []string{"EVERGRANT_SANDBOX_URL=" + c.sandbox}
	c.server.configure(`  k-series:
    provider: lightspeed-k
    environment: sandbox
    client_id: devp-v2-canary
    client_secret: {file: secrets/client-secret}
    scopes: [financial-api, orders-api, offline_access]
    refresh: {min_interval: 1s}
`+app(spiteful(t), "strict", ""), "telemetry: {log: {level: debug}, otlp: {endpoint: "+c.traces.URL+"}, audit: "+filepath.Join(c.server.data, "audit.log")+"}")
	c.tape = &tape{c: c}
	if c.server.Client, err = client.New(client.Config{URL: c.server.api, Key: c.server.key, HTTPClient: &http.Client{Transport: c.tape}}); err != nil {
		t.Fatal(err)
	}
	return c
}

// happened waits for an event of every type: what did not happen proves nothing.
func (c *canary) happened(types ...string) {
	c.t.Helper()
	for _, typ := range types {
		eventually(c.t, time.Minute, "an event "+typ, func() bool {
			log, err := c.server.Events(c.t.Context(), client.EventFilter{Types: []string{typ}})
			if err != nil {
				c.t.Fatal(err)
			}
			return len(log.Data) > 0
		})
	}
}

// look fails the test for every secret in text that does not belong there.
func (c *canary) look(where string, text []byte, but ...string) {
	c.t.Helper()
	for _, hit := range c.seen.scanner(but...).hits(text) {
		c.t.Errorf("%s: %s", where, hit)
	}
}

// link makes a link and takes in its token.
func (c *canary) link(business string) string {
	c.t.Helper()
	l, err := c.server.CreateLink(c.t.Context(), client.NewLink{Ref: evergrant.Ref(business + "@k-series"), BusinessName: "Canary"})
	if err != nil {
		c.t.Fatal(err)
	}
	c.seen.add("link token", path.Base(l.URL))
	return l.URL
}

// visit follows a link as a merchant, and looks at the pages on the way.
func (c *canary) visit(link string, declines bool) {
	c.t.Helper()
	b := newBrowser(c.t, nil)
	v := sandbox.Visit{Client: b.client, Email: "anna@cafe-nord.example", Decline: declines}
	if final, _, err := v.Follow(c.t.Context(), link); err != nil {
		c.t.Fatalf("%v, at %s", err, final)
	}
	for _, p := range b.pages {
		c.page(p)
	}
}

// page looks at one page of ours. A link's pages name the link, and a redirect
// to the provider carries the state: that is what they are for.
func (c *canary) page(p page) {
	if "http://"+p.url.Host != c.server.public {
		return
	}
	for _, cookie := range (&http.Response{Header: p.header}).Cookies() {
		c.seen.add("browser's cookie", cookie.Value)
	}
	headers := p.header.Clone()
	headers.Del("Location")
	headers.Del("Set-Cookie")
	where := fmt.Sprintf("the page %s (%d)", p.url.Path, p.status)
	c.look(where, []byte(p.body), "link token")
	c.look(where+", its header", fmt.Append(nil, headers))
}

func (c *canary) connectAndUse(business string) {
	c.t.Helper()
	c.visit(c.link(business), false)
	ctx, r := c.t.Context(), evergrant.Ref(business+"@k-series")
	token, err := c.server.Token(ctx, r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.server.Refresh(ctx, r); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.server.Reject(ctx, r, token.Fingerprint); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.server.RefreshLocations(ctx, r); err != nil {
		c.t.Fatal(err)
	}
}

// failToConnect goes through the ways a merchant's visit can end badly.
func (c *canary) failToConnect() {
	c.t.Helper()
	c.visit(c.link("declines"), true)
	for _, fault := range []string{"bad_json", "truncate", "html", "invalid_client"} {
		c.fault(fault, "authorization_code")
		c.visit(c.link("fails_"+fault), false)
		c.heal()
	}
	state, code := access.NewSecret().Reveal(), access.NewSecret().Reveal()
	c.seen.add("state", state)
	c.seen.add("code", code)
	b := newBrowser(c.t, nil)
	for _, query := range []string{"?state=" + state + "&code=" + code, "?state=" + state + "&error=access_denied", "?code=" + code, "?state=%00&code=" + code} {
		b.open(c.server.public + "/oauth/callback/k-series" + query)
		b.open(c.server.public + "/oauth/callback/none" + query)
	}
	b.open(c.server.public + "/connect/" + code)
	b.open(c.link("expires") + "/problem")
	for _, p := range b.pages {
		c.page(p)
	}
}

// failToRefresh connects a business whose next refresh meets a fault.
func (c *canary) failToRefresh(fault string) {
	c.t.Helper()
	c.visit(c.link(fault), false)
	c.fault(fault, "refresh_token")
	r := evergrant.Ref(fault + "@k-series")
	eventually(c.t, time.Minute, "a refresh meets "+fault, func() bool {
		_, _ = c.server.Refresh(c.t.Context(), r) // what it says is looked at, not what it is
		_, faults := ask(c.t, http.MethodGet, c.sandbox+"/_sandbox/faults", "", "")
		return !strings.Contains(string(faults), `"hits":0`)
	})
	if token, err := c.server.Token(c.t.Context(), r, nil); err == nil {
		_, _ = c.server.Reject(c.t.Context(), r, token.Fingerprint)
	}
	c.heal()
}

func (c *canary) fault(name, grantType string) {
	c.t.Helper()
	body := fmt.Sprintf(`{"fault":%q,"match":{"grant_type":%q}}`, name, grantType)
	if status, answer := ask(c.t, http.MethodPost, c.sandbox+"/_sandbox/faults", "", body); status != http.StatusCreated {
		c.t.Fatalf("fault %s: %d %s", name, status, answer)
	}
}

func (c *canary) heal() { ask(c.t, http.MethodDelete, c.sandbox+"/_sandbox/faults", "", "") }

func (c *canary) disconnect(business string) {
	c.t.Helper()
	r := evergrant.Ref(business + "@k-series")
	if _, err := c.server.Disconnect(c.t.Context(), r); err != nil {
		c.t.Fatal(err)
	}
	_, _ = c.server.Token(c.t.Context(), r, nil)
	if err := c.server.DeleteConnection(c.t.Context(), "html@k-series"); err != nil {
		c.t.Fatal(err)
	}
}

// scanFiles looks through the store's and the spool's files.
func (c *canary) scanFiles(when string) {
	c.t.Helper()
	readable := false // the files hold what is no secret in the clear, so a secret would be seen
	err := filepath.WalkDir(c.server.data, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		readable = readable || bytes.Contains(b, []byte("declines"))
		c.look(filepath.Base(name)+" "+when, b)
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if !readable {
		c.t.Errorf("%s no file has the key of a business", when)
	}
}

// run runs a command and looks at what it prints.
func (c *canary) run(env []string, args ...string) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), binary, args...)
	cmd.Dir, cmd.Env = c.t.TempDir(), append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.server.data}, env...)
	cmd.WaitDelay = time.Second
	out, _ := cmd.CombinedOutput() // many of them fail, and that is looked at
	c.look("evergrant "+strings.Join(args, " "), out)
}
