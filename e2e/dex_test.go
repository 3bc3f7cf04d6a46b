package e2e_test

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDex keeps a grant of dex alive. dex takes a refresh token once, answers
// invalid_request when one comes again, and revokes nothing: strict, in other
// words than RFC 6749's.
func TestDex(t *testing.T) {
	t.Parallel()
	program := buildProvider(t, "dex")
	dir, err := exec.Command("go", "list", "-C", "dex", "-m", "-f", "{{.Dir}}", "github.com/dexidp/dex").Output()
	if err != nil {
		t.Fatal(err)
	}
	pages := filepath.Join(strings.TrimSpace(string(dir)), "web")
	run := func(t *testing.T, life, more string) *relation {
		t.Helper()
		return relate(t, "issuer: '{issuer}'\n    pkce: false\n    rotation: {policy: strict}\n    "+more, func(issuer, redirectURI string) *exec.Cmd {
			return exec.Command(program, issuer, redirectURI, life, clientSecret, pages)
		})
	}

	t.Run("told what its words mean", func(t *testing.T) {
		t.Parallel()
		r := run(t, "20s", "errors: {invalid_request: refused}")
		r.connect(nil)
		r.refresh(4)
		for range 2 { // with nobody asking
			seq := r.ours.grant(r.ref).Seq
			eventually(t, time.Minute, "a scheduled refresh", func() bool { return r.ours.grant(r.ref).Seq > seq })
			r.works("after a scheduled refresh")
		}
		r.clean()
		if a := r.present(r.spent()); a.status != http.StatusBadRequest || a.Error != "invalid_request" {
			t.Errorf("dex answers %d %s to a spent token, want 400 invalid_request", a.status, a.Error)
		}
		r.refresh(2) // the grant is none the worse for it

		lost, again := r.lose()
		if d := again.at.Sub(lost.at); d < unsettled || again.answer.Error != "invalid_request" {
			t.Errorf("the token was sent again after %v and answered %s, want %v at least and invalid_request", d, again.answer.Error, unsettled)
		}
		r.lostTo("rotation_lost")
		if a := r.present(lost.answer.RefreshToken); a.status != http.StatusOK {
			t.Errorf("the successor that never arrived is refused with %s: dex is not strict, and this test shows nothing", a.Error)
		}
		r.connect(nil)
		r.refresh(1)
	})

	// Death needs proof, and to RFC 6749 this code is a malformed request.
	t.Run("not told", func(t *testing.T) {
		t.Parallel()
		r := run(t, "40s", "")
		r.connect(nil)
		r.lose()
		tries := len(r.gate.told("refresh_token"))
		eventually(t, 2*time.Minute, "three more tries", func() bool { return len(r.gate.told("refresh_token")) > tries+2 })
		if g := r.ours.grant(r.ref); g.State != "degraded" || g.Reason != "provider_unavailable" || g.ActBy != "provider" {
			t.Errorf("the grant is %s, %s, for the %s; want degraded, provider_unavailable, for the provider", g.State, g.Reason, g.ActBy)
		}
		if n := r.gate.overlaps(); n != 0 {
			t.Errorf("%d refreshes began while another was under way", n)
		}
	})
}
