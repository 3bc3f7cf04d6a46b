package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/sandbox"
)

// The victims of these attacks use a real browser. The attackers use whatever
// helps them.

// TestAMerchantCannotBeTricked attacks the way to the provider and back (RFC 9700
// section 4).
func TestAMerchantCannotBeTricked(t *testing.T) {
	t.Parallel()
	for name, attack := range map[string]func(*testing.T, *merchants){
		"with a login that the attacker began":            stateFixation,
		"into the account that the attacker logged in to": loginCSRF,
		"by somebody else who opens the link":             strangersLink,
		"by an address that was used before":              replayedCallback,
		"by many tabs at once":                            racedCallbacks,
		"to another account, on a reconnect":              otherAccount,
		"to another site":                                 openRedirects,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attack(t, newMerchants(t, "#0b5d3b"))
		})
	}
}

// exchanged fails the test if the provider has honoured another number of codes.
func (m *merchants) exchanged(want int) {
	m.t.Helper()
	r := m.box.Report()
	if r.Exchanges != want {
		m.t.Errorf("%d codes were exchanged, want %d", r.Exchanges, want)
	}
	if len(r.Violations) > 0 {
		m.t.Errorf("violations: %+v", r.Violations)
	}
}

// refused fails the test unless the page says that the trip has to begin again,
// and nothing about any business.
func (b *tab) refused(status int) {
	b.t.Helper()
	if status != http.StatusBadRequest {
		b.t.Errorf("%s answers %d, want 400", b.address(), status)
	}
	b.says("Let’s try that once more")
	if text := b.text(); strings.Contains(text, businessName) {
		b.t.Errorf("the page tells a stranger of a business:\n%s", text)
	}
}

// approves goes the whole way from a link, to the page at its end.
func (b *tab) approves(link, email string) (status int) {
	b.t.Helper()
	b.open(link)
	b.press("Continue")
	b.press(email)
	return b.press("Allow")
}

// stateFixation has a victim log in on a trip that the attacker began, so that the
// victim's approval would be the attacker's.
func stateFixation(t *testing.T, m *merchants) {
	ref := m.aRef("k-series")
	link := m.link(ref, client.NewLink{})
	var authorize string
	attacker := &http.Client{CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		authorize = r.URL.String()
		return http.ErrUseLastResponse
	}}
	res, err := attacker.Post(link.URL+"/start", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	for name, prepare := range map[string]func(*tab){
		"who never opened a link":         func(*tab) {},
		"who is on a trip of their own":   func(b *tab) { b.open(m.link(m.aRef("k-series"), client.NewLink{}).URL); b.press("Continue") },
		"who is on a trip with this link": func(b *tab) { b.open(link.URL); b.press("Continue") },
	} {
		victim := newPerson(t, phoneWidth, phoneHeight)
		prepare(victim)
		victim.open(authorize)
		victim.press(anna)
		victim.refused(victim.press("Allow"))
		m.exchanged(0)
		if c, err := m.Connection(t.Context(), ref); err != nil || c.State != "pending" {
			t.Errorf("a victim %s: the connection is %s, %v", name, c.State, err)
		}
	}
}

// loginCSRF has a victim arrive with the code of the attacker's account, so that
// the victim's business would be connected to it.
func loginCSRF(t *testing.T, m *merchants) {
	ref := m.aRef("k-series")
	link := m.link(ref, client.NewLink{})
	_, ofAttacker := m.atCallback(bruno, m.link(m.aRef("k-series"), client.NewLink{}))
	_, sameLink := m.atCallback(bruno, link)

	victim := newPerson(t, phoneWidth, phoneHeight)
	victim.open(link.URL)
	victim.press("Continue")
	for _, at := range []*url.URL{ofAttacker, sameLink} {
		victim.refused(victim.open(at.String()))
	}
	m.exchanged(0)
	// The victim's own trip still leads to the end.
	victim.approves(link.URL, anna)
	victim.says("is connected")
	if who := m.grant(ref).Identity.Name; who != "Café Nord" {
		t.Errorf("the connection is %s’s", who)
	}
}

// strangersLink has a link fall into other hands.
func strangersLink(t *testing.T, m *merchants) {
	// Where the business is known, nobody else's login is taken.
	known := m.link(m.aRef("k-series"), client.NewLink{ExpectBusiness: "310001000000100"})
	stranger := newPerson(t, deskWidth, deskHeight)
	if status := stranger.approves(known.URL, bruno); status != http.StatusConflict {
		t.Errorf("another business is answered %d, want 409", status)
	}
	stranger.says("That login belongs to another business")

	// Two people with one link: one comes first, and the other's approval is not
	// taken any more.
	ref := m.aRef("k-series")
	link := m.link(ref, client.NewLink{})
	second := newPerson(t, phoneWidth, phoneHeight)
	second.open(link.URL)
	second.press("Continue")
	second.press(bruno)
	first := newPerson(t, phoneWidth, phoneHeight)
	first.approves(link.URL, anna)
	first.says("is connected")
	before := m.box.Report().Exchanges
	second.press("Allow")
	m.exchanged(before)
	if who := m.grant(ref).Identity.Name; who != "Café Nord" {
		t.Errorf("the connection is %s’s", who)
	}
	// And who opens it later learns that it is done, and cannot begin again.
	third := newPerson(t, phoneWidth, phoneHeight)
	third.open(link.URL)
	third.says("Already connected")
	if status, _ := ask(t, http.MethodPost, link.URL+"/start", "", ""); status != http.StatusOK {
		t.Errorf("a used link is started with %d", status)
	}
	m.exchanged(before)
}

// replayedCallback opens the address that the provider sent somebody back to once
// more, as a browser's history, a log or a shoulder surfer has it.
func replayedCallback(t *testing.T, m *merchants) {
	link := m.link(m.aRef("k-series"), client.NewLink{})
	merchant := newPerson(t, phoneWidth, phoneHeight)
	merchant.approves(link.URL, anna)
	merchant.says("is connected")
	callback := merchant.passed("/oauth/callback/")
	if at := merchant.address(); at != link.URL+"/done" {
		t.Errorf("the code stays in the address: %s", at)
	}
	for range 2 {
		merchant.open(callback)
		merchant.says("is connected")
		if at := merchant.address(); at != link.URL+"/done" {
			t.Errorf("a repetition leads to %s", at)
		}
	}
	stranger := newPerson(t, phoneWidth, phoneHeight)
	stranger.refused(stranger.open(callback))
	m.exchanged(1)
}

// racedCallbacks arrives in several tabs of one browser at once.
func racedCallbacks(t *testing.T, m *merchants) {
	ref := m.aRef("k-series")
	link := m.link(ref, client.NewLink{})
	goes, at := m.atCallback(anna, link)
	first := newPerson(t, phoneWidth, phoneHeight)
	for _, c := range goes.Jar.Cookies(at) {
		call(first, network.SetCookie, network.SetCookieParams{Name: c.Name, Value: c.Value, URL: m.public})
	}
	tabs := []*tab{first}
	for range 5 {
		tabs = append(tabs, first.another(phoneWidth, phoneHeight))
	}
	var all sync.WaitGroup
	for _, b := range tabs {
		all.Go(func() {
			if _, err := chromedp.RunResponse(b.ctx, chromedp.Navigate(at.String())); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for n, b := range tabs {
		if got := b.address(); got != link.URL+"/done" {
			t.Errorf("tab %d is at %s", n, got)
		}
		b.says("is connected")
	}
	m.exchanged(1)
	if g := m.grant(ref); g.Seq != 0 {
		t.Errorf("the grant has changed: %+v", g)
	}
}

// otherAccount reconnects a business with the login of another one.
func otherAccount(t *testing.T, m *merchants) {
	ref, _ := m.connected(anna)
	before := m.grant(ref)
	link := m.link(ref, client.NewLink{})
	b := newPerson(t, phoneWidth, phoneHeight)
	if status := b.approves(link.URL, bruno); status != http.StatusConflict {
		t.Errorf("another account is answered %d, want 409", status)
	}
	b.says("That login belongs to another business", "Nothing was changed")
	if after := m.grant(ref); after.ID != before.ID || after.Epoch != before.Epoch || after.Identity.Name != before.Identity.Name {
		t.Errorf("the grant was %+v and is %+v", before, after)
	}
	tok, err := m.Token(t.Context(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := ask(t, http.MethodGet, tok.BaseURL+"/f/data/businesses", tok.AccessToken, ""); status != http.StatusOK || !strings.Contains(string(body), "Café Nord") {
		t.Errorf("the API answers %d %s to the token", status, body)
	}
	// The page's one button leads to the right login.
	b.press("Use another login")
	b.press(anna)
	b.press("Allow")
	b.says("is connected")
}

// openRedirects makes up addresses of ours that could lead elsewhere.
func openRedirects(t *testing.T, m *merchants) {
	var visits atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	t.Cleanup(evil.Close)
	host := strings.TrimPrefix(evil.URL, "http://")
	for _, to := range []string{evil.URL, "//" + host, "https://app.acme.example." + host, "https://app.acme.example@" + host, "javascript:alert(1)"} {
		if _, err := m.CreateLink(t.Context(), client.NewLink{Ref: m.aRef("k-series"), ReturnURL: to}); err == nil {
			t.Errorf("a link may lead back to %s", to)
		}
	}
	ref, used := m.connected(anna)
	open := m.link(ref, client.NewLink{})
	query := "?return_url=" + url.QueryEscape(evil.URL) + "&redirect_uri=" + url.QueryEscape(evil.URL) + "&next=//" + host + "&lang=//" + host
	b := newPerson(t, deskWidth, deskHeight)
	for _, address := range []string{
		m.public + "//" + host, m.public + "/%2f%2f" + host, m.public + "/connect//" + host, m.public + "/connect/..//" + host,
		m.public + "/oauth/callback/k-series" + query, open.URL + query, open.URL + "/start" + query, open.URL + "/done" + query, used.URL + "/done" + query,
	} {
		b.open(address)
		b.stays(m.public, host)
	}
	// A problem of the provider's own making does not lead away either.
	m.box.Fault(sandbox.Fault{App: "devp-v2-k-series", Fault: "status_500", Times: 1})
	b.open(open.URL + query)
	b.press("Continue")
	b.press(anna)
	b.press("Allow")
	b.stays(m.public, host)

	for _, next := range []string{evil.URL, "//" + host, `/\` + host, "/%2f" + host, "/.//" + host, "/%09/" + host, "/\t/" + host, "javascript:alert(1)"} {
		b.open(m.api + "/login?next=" + url.QueryEscape(next))
		b.stays(m.api, host)
	}
	b.invited(m.Client, "viewer", "Vera")
	for _, next := range []string{evil.URL, "//" + host, `/\` + host, "/%2f" + host, "/.//" + host, "/%09/" + host, "/\t/" + host, "javascript:alert(1)"} {
		b.open(m.api + "/login?next=" + url.QueryEscape(next))
		b.stays(m.api, host)
	}
	if n := visits.Load(); n > 0 {
		t.Errorf("the other site was asked %d times", n)
	}
}

// stays fails the test if the page is not on this origin, or has a way to the
// other host.
func (b *tab) stays(origin, host string) {
	b.t.Helper()
	if at := b.address(); !strings.HasPrefix(at, origin+"/") {
		b.t.Errorf("the page leads to %s", at)
	}
	// The switch of languages repeats the path that was asked for, never a host.
	ways := eval[[]string](b, `[...document.querySelectorAll("a[href], form[action]")].map(e => e.href ?? e.action)`)
	for _, way := range ways {
		if u, err := url.Parse(way); err != nil || u.Host == host {
			b.t.Errorf("%s has a way to %s", b.address(), way)
		}
	}
}
