package e2e_test

import (
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestReuseAtNodeOIDCProvider has an answer of node-oidc-provider lost, and a thief
// use a spent token: either ends the whole grant, and only its merchant can bring
// it back.
func TestReuseAtNodeOIDCProvider(t *testing.T) {
	t.Parallel()
	anna := map[string]string{"login": "anna", "password": "anna"}
	r := relate(t, "issuer: '{issuer}'\n    rotation: {policy: family_kill}", func(issuer, redirectURI string) *exec.Cmd {
		cmd := exec.Command("node", "server.mjs", redirectURI, "20")
		cmd.Dir, cmd.Env = "oidc-provider", append(os.Environ(), "ISSUER="+issuer)
		return cmd
	})
	r.good = func(accessToken string) bool {
		status, _ := ask(t, http.MethodGet, r.gate.url+"/me", accessToken, "")
		return status == http.StatusOK
	}
	r.connect(anna)
	r.refresh(3)
	r.clean()

	ends := r.ours.grant(r.ref).ExpiresAt
	lost, again := r.lose()
	// The grant may have been renewed once more before, so its token ended no earlier.
	if again.at.Before(ends.Add(-5*time.Second)) || again.answer.Error != "invalid_grant" {
		t.Errorf("the token was sent again %v before the end of the access token and answered %s, want 5s at most and invalid_grant",
			ends.Sub(again.at), again.answer.Error)
	}
	r.lostTo("rotation_lost")
	if r.good(lost.answer.AccessToken) {
		t.Error("the provider left the successor alive: it is not a family_kill, and this test shows nothing")
	}

	r.connect(anna)
	r.refresh(2)
	if a := r.present(r.spent()); a.status != http.StatusBadRequest || a.Error != "invalid_grant" {
		t.Errorf("the provider answers %d %s to a spent token, want 400 invalid_grant", a.status, a.Error)
	}
	r.lostTo("refresh_rejected")
	if n := r.gate.overlaps(); n != 0 {
		t.Errorf("%d refreshes began while another was under way", n)
	}
	r.connect(anna)
	r.refresh(1)
}
