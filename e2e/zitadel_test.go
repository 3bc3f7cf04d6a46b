package e2e_test

import (
	"net/http"
	"os/exec"
	"testing"
	"time"
)

// TestZitadel keeps a grant of ZITADEL's library alive, with the storage of its
// own example: it takes a refresh token once, ends the access token before it,
// answers invalid_grant when one comes again, and revokes nothing.
func TestZitadel(t *testing.T) {
	t.Parallel()
	program := buildProvider(t, "zitadel")
	anna := map[string]string{"username": "test-user@127.0.0.1", "password": "verysecure"}
	run := func(t *testing.T, rotation string) *relation {
		t.Helper()
		r := relate(t, "issuer: '{issuer}'\n    rotation: "+rotation, func(issuer, redirectURI string) *exec.Cmd {
			return exec.Command(program, issuer, redirectURI, clientSecret)
		})
		r.good = func(accessToken string) bool {
			status, _ := ask(t, http.MethodGet, r.gate.url+"/userinfo", accessToken, "")
			return status == http.StatusOK
		}
		return r
	}

	t.Run("as it is", func(t *testing.T) {
		t.Parallel()
		r := run(t, "{policy: strict, old_access_token: revoked_now}")
		r.connect(anna)
		before := r.gate.newest().answer.AccessToken
		r.refresh(6)
		if r.good(before) {
			t.Error("the access token before a refresh is good: old_access_token is wrong, and this test shows nothing")
		}
		r.clean()
		if a := r.present(r.spent()); a.status != http.StatusBadRequest || a.Error != "invalid_grant" {
			t.Errorf("it answers %d %s to a spent token, want 400 invalid_grant", a.status, a.Error)
		}
		r.refresh(2) // the grant is none the worse for it

		lost, again := r.lose()
		if d := again.at.Sub(lost.at); d < unsettled || again.answer.Error != "invalid_grant" {
			t.Errorf("the token was sent again after %v and answered %s, want %v at least and invalid_grant", d, again.answer.Error, unsettled)
		}
		r.lostTo("rotation_lost")
		if !r.good(lost.answer.AccessToken) {
			t.Error("the successor that never arrived is no good: it is not strict, and this test shows nothing")
		}
		r.connect(anna)
		r.refresh(1)
		last := r.gate.newest().answer.AccessToken
		if _, err := r.ours.Disconnect(t.Context(), r.ref); err != nil {
			t.Fatal(err)
		}
		if r.good(last) {
			t.Error("the token is good after a disconnect")
		}
	})

	// A policy kinder than the truth costs the same grant, sooner. Of one grant it may
	// have been a merchant's revocation, so nobody is accused.
	t.Run("taken for one with a grace", func(t *testing.T) {
		t.Parallel()
		r := run(t, "{policy: grace, window: 5m}")
		r.connect(anna)
		r.refresh(2)
		r.clean()
		lost, again := r.lose()
		if d := again.at.Sub(lost.at); d < time.Second || d > 15*time.Second || again.answer.Error != "invalid_grant" {
			t.Errorf("the token was sent again after %v and answered %s, want a second or little more and invalid_grant", d, again.answer.Error)
		}
		r.lostTo("rotation_lost")
		if n := count(t, r.ours, "app.rotation_contradicted"); n != 0 {
			t.Errorf("%d events tell of a contradiction, of one grant", n)
		}
	})
}
