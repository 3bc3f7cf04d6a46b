package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
)

// clientSecret tells who decodes what Basic encodes.
const clientSecret = "a secret with : and % and + in it, because Basic encodes them"

// relation is a server of ours, an authorization server that somebody else
// wrote, and the tollgate between them.
type relation struct {
	t    *testing.T
	ours *server
	gate *tollgate
	at   string // where the authorization server itself listens
	ref  evergrant.Ref
	good func(accessToken string) bool // its API takes a token; nil if it has none
}

// relate runs an authorization server, whose command is made of its issuer and our
// redirect URI, and ours with an app at it. more is further keys of the app, in
// which {issuer} stands for the issuer.
func relate(t *testing.T, more string, command func(issuer, redirectURI string) *exec.Cmd) *relation {
	t.Helper()
	r := &relation{t: t, ours: newServer(t), gate: newTollgate(t), ref: "cafe_nord@other"}
	r.at = runProvider(t, command(r.gate.url, r.ours.public+"/oauth/callback/other")).issuer
	r.gate.open(t, r.at)
	r.ours.secret("client-secret", clientSecret)
	r.ours.configure(fmt.Sprintf(`  other:
    provider: generic
    client_id: evergrant
    client_secret: {file: secrets/client-secret}
    client_auth: basic
    scopes: [openid, offline_access]
    refresh: {min_interval: 1s}
    %s`, strings.ReplaceAll(more, "{issuer}", r.gate.url)), "")
	r.ours.start()
	return r
}

// connect goes through the merchant's pages and those of the authorization
// server, where the merchant types what it is given.
func (r *relation) connect(types map[string]string) {
	r.t.Helper()
	link, err := r.ours.CreateLink(r.t.Context(), client.NewLink{Ref: r.ref, BusinessName: "Café Nord"})
	if err != nil {
		r.t.Fatal(err)
	}
	if done := newBrowser(r.t, types).follow(link.URL, "/done"); done.status != http.StatusOK || !strings.Contains(done.body, "Café Nord") {
		r.t.Fatalf("the page at the end: %d %s", done.status, done.body)
	}
	r.works("after the consent")
}

// works checks that the token handed out is the newest that arrived, and good.
func (r *relation) works(when string) {
	r.t.Helper()
	eventually(r.t, time.Minute, when+", the newest token", func() bool {
		token, err := r.ours.Token(r.t.Context(), r.ref, nil)
		if err != nil {
			r.t.Fatalf("%s: %v", when, err)
		}
		return token.AccessToken == r.gate.newest().answer.AccessToken && (r.good == nil || r.good(token.AccessToken))
	})
}

// refresh forces so many refreshes, each of which brings a token that works.
func (r *relation) refresh(n int) {
	r.t.Helper()
	for range n {
		eventually(r.t, time.Minute, "a forced refresh", func() bool {
			res, err := r.ours.Refresh(r.t.Context(), r.ref)
			if err != nil {
				r.t.Fatal(err)
			}
			return len(res) == 1 && res[0].Refreshed
		})
		r.works("after a forced refresh")
	}
}

// clean checks that both have counted the same refreshes, and none was refused.
func (r *relation) clean() {
	r.t.Helper()
	eventually(r.t, time.Minute, "both have counted the same refreshes", func() bool {
		return int64(len(r.gate.told("refresh_token"))) == r.ours.grant(r.ref).Seq
	})
	for _, p := range r.gate.told("") {
		if p.answer.status != http.StatusOK {
			r.t.Errorf("the authorization server answered %s with %d %s", p.grantType, p.answer.status, p.answer.Error)
		}
	}
	if n := r.gate.overlaps(); n != 0 {
		r.t.Errorf("%d refreshes began while another was under way", n)
	}
	if n := r.gate.reused(); n != 0 {
		r.t.Errorf("%d refresh tokens were presented again though their answers had arrived", n)
	}
}

// lostTo waits until the grant is given up for a reason, for the merchant to connect again.
func (r *relation) lostTo(reason string) {
	r.t.Helper()
	eventually(r.t, 2*time.Minute, "the verdict", func() bool { return r.ours.grant(r.ref).State == "needs_reauthorization" })
	if g := r.ours.grant(r.ref); g.Reason != reason || g.ActBy != "merchant" {
		r.t.Errorf("the grant is %s for the %s, want %s for the merchant", g.Reason, g.ActBy, reason)
	}
}

// spent returns a refresh token that the authorization server has replaced.
func (r *relation) spent() string {
	r.t.Helper()
	all := r.gate.told("refresh_token")
	return all[len(all)-1].spent
}

// present presents a refresh token past the tollgate, as a thief does, and
// returns what the authorization server says.
func (r *relation) present(refreshToken string) answer {
	r.t.Helper()
	body := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}}.Encode()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.at+r.gate.tokenPath(), strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("evergrant", url.QueryEscape(clientSecret))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode}
	_ = json.NewDecoder(res.Body).Decode(&a) // a page says nothing
	return a
}

// unsettled is how long after a lost answer's request the next one comes, at least,
// where the provider takes a token once. Twice the timeout counts from the attempt's
// opening, and the first request may have taken longer from there to here than the
// second.
const unsettled = 20*time.Second - time.Second

// lose has the answer to a refresh lost after the authorization server has
// rotated, and waits until its spent token was sent again.
func (r *relation) lose() (lost, again toll) {
	r.t.Helper()
	before := len(r.gate.told("refresh_token"))
	r.gate.loseAnswer()
	var all []toll
	eventually(r.t, 2*time.Minute, "a lost answer, and another request", func() bool {
		if all = r.gate.told("refresh_token")[before:]; len(all) == 0 {
			_, _ = r.ours.Refresh(r.t.Context(), r.ref)
		}
		return len(all) > 1
	})
	if !all[0].lost || all[1].spent != all[0].spent {
		r.t.Fatalf("the first answer was lost: %t, and the next request repeated it: %t", all[0].lost, all[1].spent == all[0].spent)
	}
	if n := r.gate.overlaps(); n != 0 {
		r.t.Errorf("%d refreshes began while another was under way", n)
	}
	return all[0], all[1]
}
