package connect

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/sandbox"
)

func TestAMerchantConnects(t *testing.T) {
	for _, app := range []string{"k-series", "k-old"} {
		t.Run(app, func(t *testing.T) {
			k := newKit(t, nil)
			l := k.link(app, nil)
			final, body := k.visit(k.browser(false), anna, l.URL)
			if final != l.URL+"/done" {
				t.Fatalf("the visit ended at %s\n%s", final, body)
			}
			wants(t, body, "Café Nord is connected", `href="https://app.acme.example/settings"`, "Back to Acme Loyalty", l.Link.ShortCode)
			k.exchanged(1)
			gs := k.grants(app)
			if len(gs) != 1 || gs[0].Status.State != grant.Connected {
				t.Fatalf("grants = %+v", gs)
			}
			if got := gs[0].Identity.Businesses; !slices.Equal(got, []string{"310001000000100"}) {
				t.Errorf("businesses = %v", got)
			}
			equal(t, "events", k.events(), []string{"link.created", "link.opened", "link.completed"})
			equal(t, "states", k.states, []string{"created", "opened", "at_provider", "completed"})
			if n := k.spool.Stats().Entries; n != 0 {
				t.Errorf("%d spool entries are left", n)
			}

			resp, body := k.get(k.browser(false), l.URL)
			if resp.StatusCode != http.StatusOK {
				t.Errorf("the used link answers %d", resp.StatusCode)
			}
			wants(t, body, "Already connected")
		})
	}
}

func TestAMerchantWhoDeclinesCanTryAgain(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	client := k.browser(false)
	final, body := k.visitAs(sandbox.Visit{Client: client, Email: anna, Decline: true}, l.URL)
	if final != l.URL+"/problem" {
		t.Fatalf("the visit ended at %s", final)
	}
	wants(t, body, "You chose not to connect", "Try again")
	if got := k.stored(l.Link.ID); got.State != grant.LinkStateFailed || got.Problem != grant.ProblemDeclined {
		t.Errorf("link is %s, %s", got.State, got.Problem)
	}
	if resp, _ := k.get(client, final); resp.StatusCode != http.StatusForbidden {
		t.Errorf("the reloaded page answers %d", resp.StatusCode)
	}
	// The problem page's own button starts the next trip.
	final, _ = k.visit(client, anna, final)
	if final != l.URL+"/done" {
		t.Fatalf("the second visit ended at %s", final)
	}
	equal(t, "events", k.events(), []string{"link.created", "link.opened", "link.failed", "link.completed"})
}

func TestTheCallbackIsBoundToTheBrowser(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	callback, _ := k.visit(k.browser(true), anna, l.URL)
	if !strings.Contains(callback, "/oauth/callback/k-series?") {
		t.Fatalf("the visit ended at %s", callback)
	}

	resp, body := k.get(k.browser(false), callback)
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a stranger's browser is answered %d", resp.StatusCode)
	}
	wants(t, body, "Let’s try that once more", "Open the link again")

	// Another browser that is at the provider itself, with a cookie of its own.
	other := k.browser(true)
	k.visit(other, anna, l.URL)
	if resp, _ := k.get(other, callback); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("another merchant's browser is answered %d", resp.StatusCode)
	}
	k.exchanged(0)
}

func TestTheStateOfOneTripIsNoGoodForTheCodeOfAnother(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	client := k.browser(true)
	first, _ := k.visit(client, anna, l.URL)
	second, _ := k.visit(client, bruno, l.URL)
	mixed := mustParse(t, first)
	q := mixed.Query()
	q.Set("code", mustParse(t, second).Query().Get("code"))
	mixed.RawQuery = q.Encode()
	// PKCE binds the code to its own verifier.
	resp, body := k.get(client, mixed.String())
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("mixed callback is answered %d", resp.StatusCode)
	}
	wants(t, body, "That took a little too long")
	k.exchanged(0)
}

func TestAHundredCallbacksExchangeOnce(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	client := k.browser(true)
	callback, _ := k.visit(client, anna, l.URL)

	var wg sync.WaitGroup
	ends := make([]string, 100)
	for i := range ends {
		wg.Go(func() {
			resp, _ := k.get(client, callback)
			ends[i] = resp.Request.URL.String()
		})
	}
	wg.Wait()
	for i, end := range ends {
		if end != l.URL+"/done" {
			t.Errorf("callback %d ended at %s", i, end)
		}
	}
	k.exchanged(1)
	if gs := k.grants("k-series"); len(gs) != 1 || gs[0].Version.Epoch != 1 {
		t.Errorf("grants = %+v", gs)
	}
	// And much later it still shows the first result.
	k.advance(2 * time.Hour)
	if resp, _ := k.get(client, callback); resp.Request.URL.String() != l.URL+"/done" {
		t.Errorf("a late repetition ended at %s", resp.Request.URL)
	}
	k.exchanged(1)
}

func TestAStateOlderThanHalfAnHourIsRefused(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	client := k.browser(true)
	callback, _ := k.visit(client, anna, l.URL)
	k.advance(31 * time.Minute)
	resp, body := k.get(client, callback)
	if resp.StatusCode != http.StatusBadRequest || resp.Request.URL.Path != mustParse(t, l.URL).Path+"/problem" {
		t.Errorf("answered %d at %s", resp.StatusCode, resp.Request.URL)
	}
	wants(t, body, "Let’s try that once more", "Continue")
	k.exchanged(0)
}

func TestALinkThatExpiresOnTheWayStillCounts(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", func(r *LinkRequest) { r.TTL = time.Minute })
	client := k.browser(true)
	callback, _ := k.visit(client, anna, l.URL)
	k.advance(10 * time.Second)
	k.svc.c.Now = func() time.Time { return k.now().Add(2 * time.Minute) } // the code's clock stands still
	resp, _ := k.get(client, callback)
	if resp.Request.URL.String() != l.URL+"/done" {
		t.Errorf("ended at %s", resp.Request.URL)
	}
}

func TestAnotherBusinessIsRefused(t *testing.T) {
	t.Run("on a reconnect", func(t *testing.T) {
		k := newKit(t, nil)
		k.visit(k.browser(false), anna, k.link("k-series", nil).URL)
		before := k.grants("k-series")
		l := k.link("k-series", nil)
		if l.Link.Purpose != grant.PurposeReconnect {
			t.Errorf("purpose = %s", l.Link.Purpose)
		}
		final, body := k.visit(k.browser(false), bruno, l.URL)
		if final != l.URL+"/problem" {
			t.Fatalf("ended at %s", final)
		}
		wants(t, body, "That login belongs to another business", "Café Nord", "Use another login")
		if after := k.grants("k-series"); after[0].Version != before[0].Version {
			t.Errorf("the grant changed: %+v", after)
		}
		if resp, _ := k.get(k.browser(false), final); resp.StatusCode != http.StatusConflict {
			t.Errorf("the page answers %d", resp.StatusCode)
		}
	})
	t.Run("where the link expects one", func(t *testing.T) {
		k := newKit(t, nil)
		l := k.link("k-series", func(r *LinkRequest) { r.ExpectBusiness = "310001000000100" })
		if final, _ := k.visit(k.browser(false), bruno, l.URL); final != l.URL+"/problem" {
			t.Fatalf("ended at %s", final)
		}
		if gs := k.grants("k-series"); len(gs) != 0 {
			t.Errorf("grants = %+v", gs)
		}
		if final, _ := k.visit(k.browser(false), anna, l.URL); final != l.URL+"/done" {
			t.Errorf("the expected business ended at %s", final)
		}
	})
}

func TestAnAnswerOfAnotherIssuerIsRefused(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	client := k.browser(true)
	callback, _ := k.visit(client, anna, l.URL)
	u := mustParse(t, callback)
	q := u.Query()
	if q.Get("iss") == "" {
		t.Fatal("the sandbox sends no iss")
	}
	q.Set("iss", "https://evil.example/realms/k-series")
	u.RawQuery = q.Encode()
	resp, _ := k.get(client, u.String())
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("answered %d", resp.StatusCode)
	}
	if got := k.stored(l.Link.ID).Problem; got != grant.ProblemLostSession {
		t.Errorf("problem = %s", got)
	}
	k.exchanged(0)
}

func TestAnAnswerAtAnotherAppsAddressIsRefused(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	client := k.browser(true)
	callback, _ := k.visit(client, anna, l.URL)
	resp, _ := k.get(client, strings.Replace(callback, "/oauth/callback/k-series", "/oauth/callback/k-old", 1))
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("answered %d", resp.StatusCode)
	}
	k.exchanged(0)
}

func TestAFurtherUserAddsAGrant(t *testing.T) {
	k := newKit(t, nil)
	k.visit(k.browser(false), "marc@harbour-group.example", k.link("k-series", nil).URL)
	l := k.link("k-series", func(r *LinkRequest) { r.Locations = []string{"310004455667790"} })
	if l.Link.Purpose != grant.PurposeAddGrant {
		t.Fatalf("purpose = %s", l.Link.Purpose)
	}
	final, body := k.visit(k.browser(false), "lena@harbour-group.example", l.URL)
	if final != l.URL+"/done" {
		t.Fatalf("ended at %s\n%s", final, body)
	}
	wants(t, body, "Connected locations of Harbour Group:", "Quay Bar", "Lighthouse Kitchen", "Pier Café")
	if gs := k.grants("k-series"); len(gs) != 2 {
		t.Errorf("grants = %+v", gs)
	}
}

func TestLocationsByHandAreKeptWhereNothingListsThem(t *testing.T) {
	k := newKit(t, func(c *Config) { c.Apps["k-series"].Scopes = []string{"items", "offline_access"} })
	l := k.link("k-series", func(r *LinkRequest) { r.Locations = []string{"4711", "4712"} })
	if final, body := k.visit(k.browser(false), anna, l.URL); final != l.URL+"/done" {
		t.Fatalf("ended at %s\n%s", final, body)
	}
	ls, err := k.store.Locations(t.Context(), l.Link.ConnectionID)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, l := range ls {
		ids = append(ids, l.ID)
	}
	equal(t, "locations", ids, []string{"4711", "4712"})
}

func TestCallbacksThatMakeNoSenseGetAPage(t *testing.T) {
	k := newKit(t, nil)
	for _, query := range []string{"", "?code=x", "?state=x", "?code=x&state=y&state=z", "?code=x&error=y&state=z",
		"?code=x&state=" + strings.Repeat("y", 5000), "?%zz", "?error=access_denied"} {
		resp, body := k.get(k.browser(false), k.url+"/oauth/callback/k-series"+query)
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%.40q is answered %d", query, resp.StatusCode)
		}
		wants(t, body, "<h1")
	}
	if resp, _ := k.get(k.browser(false), k.url+"/oauth/callback/nobody?code=x&state=y"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown app is answered %d", resp.StatusCode)
	}
}

func TestRedirectErrorsHaveTheirMeaning(t *testing.T) {
	for code, want := range map[string]grant.Problem{
		"": "", "access_denied": grant.ProblemDeclined, "invalid_scope": grant.ProblemOurSetup,
		"unauthorized_client": grant.ProblemOurSetup, "server_error": grant.ProblemProviderUnavailable,
		"temporarily_unavailable": grant.ProblemProviderUnavailable, "login_required": grant.ProblemLostSession,
		"something_new": grant.ProblemProviderUnavailable,
	} {
		if got := redirectProblem(code); got != want {
			t.Errorf("redirectProblem(%q) = %q, want %q", code, got, want)
		}
	}
}

func mustParse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(fmt.Errorf("parse %q: %w", raw, err))
	}
	return u
}
