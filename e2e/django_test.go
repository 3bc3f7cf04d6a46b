package e2e_test

import (
	"net/http"
	"os/exec"
	"testing"
	"time"
)

// TestDjango keeps a grant of Django OAuth Toolkit alive, which forgives: for a
// while it answers a spent refresh token with the same successor, so a lost answer
// costs nothing.
func TestDjango(t *testing.T) {
	t.Parallel()
	const python = "/usr/bin/python3" // Debian's, which knows Debian's packages
	if out, err := exec.Command(python, "-c", "import oauth2_provider").CombinedOutput(); err != nil {
		t.Fatalf("the authorization server to test against is not installed; run: make deps (%v: %s)", err, out)
	}
	const forgives = 60 * time.Second
	folder := t.TempDir()
	r := relate(t, `endpoints: {authorize: '{issuer}/o/authorize/', token: '{issuer}/o/token/', revoke: '{issuer}/o/revoke_token/', api: '{issuer}'}
    rotation: {policy: grace, window: 60s, old_access_token: revoked_now}`, func(_, redirectURI string) *exec.Cmd {
		return exec.Command(python, "django/server.py", redirectURI, "20", "60", clientSecret, folder)
	})
	r.good = func(accessToken string) bool {
		status, _ := ask(t, http.MethodGet, r.gate.url+"/me", accessToken, "")
		return status == http.StatusOK
	}
	r.connect(nil)
	r.refresh(3)
	seq := r.ours.grant(r.ref).Seq
	eventually(t, time.Minute, "a scheduled refresh", func() bool { return r.ours.grant(r.ref).Seq > seq })
	r.works("after a scheduled refresh")
	r.clean()

	for range 3 {
		lost, again := r.lose()
		if d := again.at.Sub(lost.at); d < time.Second || d > forgives/2 {
			t.Errorf("the token was sent again after %v, want a second or little more", d)
		}
		if again.answer.RefreshToken != lost.answer.RefreshToken || again.answer.AccessToken != lost.answer.AccessToken {
			t.Errorf("the second answer is %d %s and not the first: it does not forgive, and this test shows nothing", again.answer.status, again.answer.Error)
		}
		r.works("after a lost answer")
		r.refresh(1)
	}

	// A thief within the window learns what the grant has. Once the grant was renewed
	// again the server fails at it, and after the window it refuses.
	spent, newest := r.spent(), r.gate.newest().answer.RefreshToken
	if a := r.present(spent); a.RefreshToken != newest {
		t.Errorf("a spent token brought %d %s, and not its successor", a.status, a.Error)
	}
	var late answer
	every(t, time.Second, 3*time.Minute, "the window ends", func() bool {
		late = r.present(spent)
		return late.status == http.StatusBadRequest
	})
	if late.Error != "invalid_grant" {
		t.Errorf("after the window a spent token is refused with %s, want invalid_grant", late.Error)
	}
	r.refresh(1)
	if n := r.gate.overlaps(); n != 0 {
		t.Errorf("%d refreshes began while another was under way", n)
	}

	last := r.gate.newest().answer.AccessToken
	if _, err := r.ours.Disconnect(t.Context(), r.ref); err != nil {
		t.Fatal(err)
	}
	if r.good(last) {
		t.Error("the token is good after a disconnect")
	}
}
