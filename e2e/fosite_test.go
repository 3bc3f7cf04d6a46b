package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
)

// TestAuthorizationServerInGo connects and keeps a grant of ory/fosite alive, the
// library inside Ory Hydra: it rotates refresh tokens, revokes the access token
// before them at once, and revokes everything of a grant when a refresh token
// comes twice. What it is made to do to us, it does itself: its answer is lost
// after it has committed, its client's secret changes.
func TestAuthorizationServerInGo(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const (
		life   = 20 // seconds
		secret = "a secret with : and % and + in it"
		ref    = "cafe_nord@other"
	)
	provider := startFosite(t, s.public+"/oauth/callback/other", life, secret)
	s.secret("client-secret", secret)
	s.configure(fmt.Sprintf(`  other:
    provider: generic
    client_id: evergrant
    client_secret: {file: secrets/client-secret}
    endpoints: {authorize: %[1]s/auth, token: %[1]s/token, revoke: %[1]s/revoke, api: %[1]s}
    client_auth: basic
    pkce: true
    scopes: [sales, offline_access]
    rotation: {policy: family_kill, old_access_token: revoked_now}
    refresh: {min_interval: 1s}`, provider.issuer), "")
	s.start()

	connect := func() {
		t.Helper()
		link, err := s.CreateLink(t.Context(), client.NewLink{Ref: ref, BusinessName: "Café Nord"})
		if err != nil {
			t.Fatal(err)
		}
		if done := newBrowser(t, nil).follow(link.URL, "/done"); done.status != http.StatusOK {
			t.Fatalf("the page at the end: %d %s", done.status, done.body)
		}
	}
	good := func(accessToken string) bool {
		t.Helper()
		status, _ := ask(t, http.MethodGet, provider.issuer+"/me", accessToken, "")
		return status == http.StatusOK
	}
	works := func(when string) {
		t.Helper()
		// A refresh between the two revokes the token on its way.
		eventually(t, time.Minute, when+", a token that works", func() bool {
			token, err := s.Token(t.Context(), ref, nil)
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			return good(token.AccessToken)
		})
	}
	told := func(event string) int { return provider.count(event, "") }

	connect()
	works("after the consent")
	// Of each of these tokens' lives the whole passes, with nobody asking.
	for n := range int64(3) {
		eventually(t, 2*time.Minute, "a scheduled refresh", func() bool { return s.grant(ref).Seq > n })
		works("after a scheduled refresh")
	}
	for range 3 {
		eventually(t, time.Minute, "a forced refresh", func() bool {
			res, err := s.Refresh(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			return len(res) == 1 && res[0].Refreshed
		})
		works("after a forced refresh")
	}
	eventually(t, time.Minute, "both have counted the same refreshes", func() bool {
		return int64(provider.count("issued", "refresh_token")) == s.grant(ref).Seq
	})
	if told("reuse")+told("refused") > 0 || provider.count("issued", "authorization_code") != 1 {
		t.Errorf("the provider tells %+v", provider.told())
	}

	// The wrong secret is the operator's, once; no business has to do anything.
	change := func(secret string) {
		t.Helper()
		if status, body := ask(t, http.MethodPost, provider.issuer+"/test/secret", "", secret); status != http.StatusOK {
			t.Fatalf("the provider's secret: %d %s", status, body)
		}
	}
	change("another secret")
	eventually(t, 2*time.Minute, "the app's incident", func() bool { return count(t, s, "app.credentials_rejected") == 1 })
	eventually(t, time.Minute, "more than one refusal", func() bool { return told("refused") > 1 })
	c, err := s.Connection(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if c.State != "degraded" || c.Reason != "app_credentials_rejected" || c.ActBy != "operator" {
		t.Errorf("the connection is %s, %s, for the %s; want degraded, app_credentials_rejected, for the operator", c.State, c.Reason, c.ActBy)
	}
	for _, e := range provider.told() {
		if e.Event == "refused" && e.Error != "invalid_client" {
			t.Errorf("the provider refused with %s, want invalid_client only: %s", e.Error, e.Detail)
		}
	}
	change(secret)
	eventually(t, 2*time.Minute, "the end of the incident", func() bool { return count(t, s, "app.credentials_accepted") == 1 })
	works("with the right secret")
	if n := count(t, s, "app.credentials_rejected"); n != 1 {
		t.Errorf("%d events of one incident", n)
	}

	// An answer is lost after the provider has committed it.
	before := s.grant(ref)
	refused := told("refused")
	if status, body := ask(t, http.MethodPost, provider.issuer+"/test/drop", "", ""); status != http.StatusOK {
		t.Fatalf("drop an answer: %d %s", status, body)
	}
	eventually(t, 2*time.Minute, "a lost answer", func() bool { return told("dropped") == 1 })
	var successor struct {
		AccessToken string `json:"access_token"`
	}
	if _, body := ask(t, http.MethodGet, provider.issuer+"/test/lost", "", ""); json.Unmarshal(body, &successor) != nil || successor.AccessToken == "" {
		t.Fatal("the provider has kept no lost answer")
	}
	if told("reuse") == 0 && !good(successor.AccessToken) {
		t.Error("the successor that never arrived is no good before anybody probes")
	}
	eventually(t, 2*time.Minute, "the probe", func() bool { return told("reuse") == 1 })
	// The grant may have been renewed once more before the answer was dropped, so its
	// token ended no earlier than this.
	if now := time.Now(); now.Before(before.ExpiresAt.Add(-5 * time.Second)) {
		t.Errorf("the spent token was sent again %v before the end of the access token in hand", before.ExpiresAt.Sub(now))
	}
	eventually(t, time.Minute, "the verdict", func() bool { return s.grant(ref).State == "needs_reauthorization" })
	if g := s.grant(ref); g.Reason != "rotation_lost" || g.ActBy != "merchant" {
		t.Errorf("the grant is %s for the %s, want rotation_lost for the merchant", g.Reason, g.ActBy)
	}
	if good(successor.AccessToken) {
		t.Error("the provider left the successor alive: it is not a family_kill, and this test shows nothing")
	}
	if told("reuse") != 1 || told("refused") != refused+1 {
		t.Errorf("the provider found %d uses of a spent token and refused %d requests, want 1 and 1", told("reuse"), told("refused")-refused)
	}

	// Only the merchant can bring it back, and then it is as before.
	connect()
	works("after the reconnect")
	if g := s.grant(ref); g.Epoch != before.Epoch+1 || g.State != "connected" {
		t.Errorf("the grant is %s in epoch %d, want connected in %d", g.State, g.Epoch, before.Epoch+1)
	}
	token, err := s.Token(t.Context(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Disconnect(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if told("revoked") != 1 || good(token.AccessToken) {
		t.Errorf("the provider was told of %d revocations; the token is still good: %t", told("revoked"), good(token.AccessToken))
	}
}

// count returns how many events of a type the log has.
func count(t *testing.T, s *server, typ string) int {
	t.Helper()
	log, err := s.Events(t.Context(), client.EventFilter{Types: []string{typ}, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return len(log.Data)
}

// startFosite builds and runs the server in the folder fosite, a module of its
// own, until the test ends.
func startFosite(t *testing.T, redirectURI string, life int, secret string) *provider {
	t.Helper()
	return runProvider(t, exec.Command(buildProvider(t, "fosite"), redirectURI, fmt.Sprint(life), secret))
}
