package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
)

// TestRealAuthorizationServer connects and keeps a grant of node-oidc-provider
// alive: a certified server that nobody here wrote, which rotates refresh tokens,
// demands PKCE, and revokes the whole grant when a refresh token comes twice.
func TestRealAuthorizationServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const life = 20 // seconds
	provider := startProvider(t, s.public+"/oauth/callback/other", life)
	// As the provider's own server.mjs has it.
	s.secret("client-secret", "a secret with : and % and + in it, because Basic encodes them")
	s.configure(fmt.Sprintf(`  other:
    provider: generic
    client_id: evergrant
    client_secret: {file: secrets/client-secret}
    issuer: %s
    client_auth: basic
    pkce: true
    scopes: [openid, offline_access]
    rotation: {policy: family_kill}
    refresh: {min_interval: 1s}`, provider.issuer), "")
	s.start()
	const ref = "cafe_nord@other"

	link, err := s.CreateLink(t.Context(), client.NewLink{Ref: ref, BusinessName: "Café Nord"})
	if err != nil {
		t.Fatal(err)
	}
	done := newBrowser(t, map[string]string{"login": "anna", "password": "anna"}).follow(link.URL, "/done")
	if done.status != http.StatusOK || !strings.Contains(done.body, "Café Nord") {
		t.Fatalf("the page at the end: %d %s", done.status, done.body)
	}
	if id := s.grant(ref).Identity; id.Issuer != provider.issuer || id.Subject != "anna" {
		t.Errorf("the grant is %+v's, want anna's at %s", id, provider.issuer)
	}
	works := func(when string) {
		t.Helper()
		token, err := s.Token(t.Context(), ref, nil)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if status, body := ask(t, http.MethodGet, provider.issuer+"/me", token.AccessToken, ""); status != http.StatusOK || !strings.Contains(string(body), `"anna"`) {
			t.Fatalf("%s: userinfo answered %d %s", when, status, body)
		}
	}
	force := func(n int) {
		t.Helper()
		for range n {
			eventually(t, time.Minute, "a forced refresh", func() bool {
				res, err := s.Refresh(t.Context(), ref)
				if err != nil {
					t.Fatal(err)
				}
				return len(res) == 1 && res[0].Refreshed
			})
			works("after a forced refresh")
		}
	}
	works("after the consent")
	force(4)
	s.interrupt()
	s.ended()
	s.start()
	works("after a restart")
	force(4)
	// The next scheduled refresh is seconds away: no answer is cut off.
	s.kill()
	s.start()
	works("after kill -9")
	force(3)
	seq := s.grant(ref).Seq
	eventually(t, time.Minute, "a scheduled refresh", func() bool { return s.grant(ref).Seq > seq })
	works("after a scheduled refresh")

	// Judged by the provider: everything it issued arrived, and it revoked nothing.
	ours := s.grant(ref).Seq
	if n := provider.count("issued", "refresh_token"); int64(n) != ours || n < 12 {
		t.Errorf("the provider has issued %d refreshes and the grant has had %d, want the same, 12 at least", n, ours)
	}
	if n := provider.count("issued", "authorization_code"); n != 1 {
		t.Errorf("the provider has exchanged %d codes, want 1", n)
	}
	for _, event := range []string{"refused", "revoked", "server_error"} {
		if n := provider.count(event, ""); n != 0 {
			t.Errorf("the provider tells %d times of %q: %+v", n, event, provider.told())
		}
	}
	log, err := s.ConnectionEvents(t.Context(), ref, client.EventFilter{Types: []string{"grant.refreshed"}, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(log.Data)) != ours {
		t.Errorf("the event log has %d refreshes, want %d", len(log.Data), ours)
	}
}

// provider is a running authorization server that nobody here wrote.
type provider struct {
	issuer string
	mu     sync.Mutex
	events []providerEvent
}

// providerEvent is one line it tells.
type providerEvent struct {
	Event     string `json:"event"`
	Issuer    string `json:"issuer"`
	GrantType string `json:"grant_type"`
	Error     string `json:"error"`
	Detail    string `json:"detail"`
}

// startProvider starts node-oidc-provider until the test ends. It may be told in
// JSON what is known of the people who log in there.
func startProvider(t *testing.T, redirectURI string, life int, people ...string) *provider {
	t.Helper()
	const folder = "oidc-provider"
	if _, err := os.Stat(filepath.Join(folder, "node_modules", folder)); err != nil {
		t.Fatalf("the authorization server to test against is not installed; run: make test (%v)", err)
	}
	cmd := exec.Command("node", append([]string{"server.mjs", redirectURI, fmt.Sprint(life)}, people...)...)
	cmd.Dir = folder
	return runProvider(t, cmd)
}

// runProvider runs a program that is an authorization server until the test
// ends. It tells what happens, beginning with the address it listens at, and ends
// with its standard input, however the test ends.
func runProvider(t *testing.T, cmd *exec.Cmd) *provider {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("run the authorization server to test against: %v", err)
	}
	p := &provider{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e providerEvent
			if json.Unmarshal(lines.Bytes(), &e) != nil {
				continue // the library's own warnings
			}
			p.mu.Lock()
			p.events = append(p.events, e)
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		<-read
		_ = cmd.Wait()
	})
	eventually(t, time.Minute, "the authorization server listens", func() bool { return p.count("listening", "") == 1 })
	p.issuer = p.told()[0].Issuer
	return p
}

func (p *provider) told() []providerEvent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]providerEvent(nil), p.events...)
}

// count counts what was told of an event, for a grant type if one is given.
func (p *provider) count(event, grantType string) int {
	n := 0
	for _, e := range p.told() {
		if e.Event == event && (grantType == "" || e.GrantType == grantType) {
			n++
		}
	}
	return n
}
