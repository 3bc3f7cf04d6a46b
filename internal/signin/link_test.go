package signin_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/signin"
)

func TestALinkLetsOnePersonInOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	link := s.invite(access.Support)
	anna, mallory := s.browser(), s.browser()
	// Whoever only looks, such as a mail scanner, uses nothing up.
	for _, method := range []string{"GET", "HEAD", "GET"} {
		p := mallory.do(method, link, nil)
		if p.status != 200 || method == "GET" && (!strings.Contains(p.body, "Log in as Anna?") || !strings.Contains(p.body, "role is support")) {
			t.Fatalf("%s: %d %s", method, p.status, p.body)
		}
	}
	anna.is("", "")
	if p := anna.post(link, url.Values{}); p.status != http.StatusSeeOther || p.location != "/" {
		t.Fatalf("%d %s", p.status, p.body)
	}
	anna.is("Anna", access.Support)
	for _, method := range []string{"GET", "POST"} {
		if p := mallory.do(method, link, nil); p.status != 404 || !strings.Contains(p.body, "does not work") {
			t.Errorf("the used link answers %d to %s", p.status, method)
		}
	}
	mallory.is("", "")
	if p := anna.get(link); p.status != 404 || !strings.Contains(p.body, "logged in as Anna already") {
		t.Errorf("opened again by who used it: %d %s", p.status, p.body)
	}
	anna.is("Anna", access.Support)
}

func TestALinkThatManyFollowAtOnceLetsOneIn(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	link := s.invite(access.Operator)
	var in atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		b := s.browser()
		all.Go(func() {
			if p := b.post(link, url.Values{}); p.status == http.StatusSeeOther && len(p.cookies) > 0 {
				in.Add(1)
			}
		})
	}
	all.Wait()
	if in.Load() != 1 {
		t.Errorf("%d browsers were let in", in.Load())
	}
}

func TestALinkAndItsSessionEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	late, intime := s.invite(access.Viewer), s.invite(access.Viewer)
	b := s.browser()
	s.advance(signin.LinkLife - time.Second)
	p := b.post(intime, url.Values{})
	if p.status != http.StatusSeeOther || p.cookies[0].MaxAge != int(signin.LinkSessionLife/time.Second) {
		t.Fatalf("%d, cookies %v", p.status, p.cookies)
	}
	s.advance(time.Second)
	if p := s.browser().post(late, url.Values{}); p.status != 404 {
		t.Errorf("a link of five minutes answers %d", p.status)
	}
	s.advance(signin.LinkSessionLife - 2*time.Second)
	b.is("Anna", access.Viewer)
	s.advance(time.Second)
	b.is("", "") // although the browser still sends the cookie
}

func TestAnotherLinkMakesOneAnotherPerson(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	b := s.browser()
	b.post(s.invite(access.Viewer), url.Values{})
	other, err := s.signin.Invite(t.Context(), "Bob", access.Operator)
	must(t, err)
	if p := b.get(other.URL.Reveal()); !strings.Contains(p.body, "You are logged in as Anna (viewer). That ends.") {
		t.Errorf("the page does not say what ends: %s", p.body)
	}
	b.post(other.URL.Reveal(), url.Values{})
	b.is("Bob", access.Operator)
}

func TestInvitationsAreOnlyForWhoCanComeIn(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	var e *evergrant.Error
	if _, err := s.signin.Invite(t.Context(), " \x00\u202e ", access.Viewer); !errors.As(err, &e) || !errors.Is(err, evergrant.ErrInvalid) {
		t.Errorf("a name of nothing: %v", err)
	}
	if _, err := s.signin.Invite(t.Context(), "Anna", "admin"); err == nil {
		t.Error("a role that is none is given")
	}
	i, err := s.signin.Invite(t.Context(), " An\x1bna\n"+strings.Repeat("x", 200), access.Viewer)
	must(t, err)
	if p := s.browser().get(i.URL.Reveal()); !strings.Contains(p.body, "<h1>Log in as Anna "+strings.Repeat("x", 95)+"?</h1>") {
		t.Errorf("the name is not shown as it can be: %s", p.body)
	}
	nowhere := newSite(t, nil, func(c *signin.Config) { c.URL = "" })
	if _, err := nowhere.signin.Invite(t.Context(), "Anna", access.Viewer); !errors.As(err, &e) || e.Code != "conflict" || !strings.Contains(e.Message, "dashboard.url") {
		t.Errorf("without an address: %v", err)
	}
}

func TestWhoGuessesLinksIsToldToWaitAndNobodyElse(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	b := s.browser()
	var p page
	tries := 0
	for p.status != http.StatusTooManyRequests && tries < 100 {
		p = b.post("/login/link/"+strings.Repeat("A", 43), url.Values{})
		tries++
	}
	if p.status != http.StatusTooManyRequests || p.header.Get("Retry-After") == "" || tries < 10 {
		t.Fatalf("after %d tries: %d %v", tries, p.status, p.header)
	}
	for _, token := range []string{"x", "..%2f..", strings.Repeat("A", 44), strings.Repeat("A", 42) + "="} {
		if p := b.get("/login/link/" + token); p.status != http.StatusTooManyRequests {
			t.Errorf("%q answers %d", token, p.status)
		}
	}
	if p := b.post(s.invite(access.Viewer), url.Values{}); p.status != http.StatusSeeOther {
		t.Errorf("a good link from the same address: %d", p.status)
	}
	b.is("Anna", access.Viewer)
}

func TestNoSecretIsLogged(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	s := newSite(t, o)
	link := s.invite(access.Operator)
	b := s.browser()
	b.get(link)
	secrets := []string{link[strings.LastIndex(link, "/")+1:], opSecret, "a secret diagnosis"}
	for _, c := range b.post(link, url.Values{}).cookies {
		secrets = append(secrets, c.Value)
	}
	b.post(link, url.Values{})
	for range 2 {
		b := s.browser()
		q := b.depart("/")
		back, err := url.Parse(o.approve(q, map[string]any{"email": "x@acme.example"}))
		must(t, err)
		secrets = append(secrets, q.Get("state"), q.Get("nonce"), back.Query().Get("code"))
		b.get(back.String())
		b.get(back.String())
		o.tokenCode = http.StatusBadGateway // the second time
	}
	o.down = true
	s.advance(2 * time.Hour)
	s.browser().get("/login")
	log := s.logged()
	if !strings.Contains(log, "a person logged in") || !strings.Contains(log, "name=Anna") || !strings.Contains(log, "not let in") || !strings.Contains(log, "it answers 502") {
		t.Errorf("the log does not tell who came: %s", log)
	}
	for _, secret := range secrets {
		if secret != "" && strings.Contains(log, secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}
