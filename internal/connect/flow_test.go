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
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
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
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("answered %d", resp.StatusCode)
	}
	if got := k.stored(l.Link.ID).Problem; got != grant.ProblemOurSetup {
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

func TestWhatGoesWrongAtTheProviderHasItsPage(t *testing.T) {
	tests := []struct {
		name   string
		fault  string
		page   string
		status int
		want   grant.Problem
		honour int // codes the provider honoured all the same
	}{
		{"the answer is lost on the way", "lose_answer", "Lightspeed is not answering", 503, grant.ProblemProviderUnavailable, 1},
		{"the request is lost on the way", "lose_request", "Lightspeed is not answering", 503, grant.ProblemProviderUnavailable, 0},
		{"the provider answers 500", "status_500", "Lightspeed is not answering", 503, grant.ProblemProviderUnavailable, 0},
		{"the provider answers 429", "status_429", "Lightspeed is not answering", 503, grant.ProblemProviderUnavailable, 0},
		{"a captive portal answers", "html", "Lightspeed is not answering", 503, grant.ProblemProviderUnavailable, 0},
		{"the answer is not JSON", "bad_json", "Lightspeed is not answering", 503, grant.ProblemProviderUnavailable, 1},
		{"the answer is cut off", "truncate", "Lightspeed is not answering", 503, grant.ProblemProviderUnavailable, 1},
		{"the code is refused", "invalid_grant_once", "That took a little too long", 400, grant.ProblemCodeRejected, 0},
		{"the app is refused", "invalid_client", "Acme Loyalty has to fix something", 503, grant.ProblemOurSetup, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var rejected []string
			k := newKit(t, func(c *Config) { c.AppRejected = func(app string) { rejected = append(rejected, app) } })
			l := k.link("k-series", nil)
			k.box.Fault(sandbox.Fault{Fault: tt.fault, Times: 1})
			client := k.browser(false)
			final, body := k.visit(client, anna, l.URL)
			if final != l.URL+"/problem" {
				t.Fatalf("ended at %s\n%s", final, body)
			}
			wants(t, body, tt.page)
			resp, _ := k.get(client, final)
			if resp.StatusCode != tt.status {
				t.Errorf("answered %d, want %d", resp.StatusCode, tt.status)
			}
			if got := k.stored(l.Link.ID).Problem; got != tt.want {
				t.Errorf("problem = %s, want %s", got, tt.want)
			}
			if (len(rejected) > 0) != (tt.want == grant.ProblemOurSetup) {
				t.Errorf("AppRejected was told %v", rejected)
			}
			k.exchanged(tt.honour)
			if n := k.spool.Stats().Entries; n != 0 {
				t.Errorf("%d spool entries are left", n)
			}
			// The link is still good.
			if final, _ := k.visit(client, anna, l.URL); final != l.URL+"/done" {
				t.Errorf("the next try ended at %s", final)
			}
		})
	}
}

func TestAProviderThatIsDownCostsNothing(t *testing.T) {
	k := newKit(t, nil)
	l := k.link("k-series", nil)
	client := k.browser(true)
	callback, _ := k.visit(client, anna, l.URL)
	k.between = func(w http.ResponseWriter, r *http.Request) bool {
		panic(http.ErrAbortHandler)
	}
	resp, body := k.get(client, callback)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("answered %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	wants(t, body, "Lightspeed is not answering")
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' "+k.boxAt) {
		t.Errorf("the page's button cannot lead to the provider: %s", csp)
	}
}

func TestAnIssuerThatCannotBeAskedHasAPageThatAsksAgain(t *testing.T) {
	down := true
	k := newKit(t, nil)
	k.between = func(w http.ResponseWriter, r *http.Request) bool {
		if down && strings.Contains(r.URL.Path, "/.well-known/") {
			http.Error(w, "down", http.StatusBadGateway)
			return true
		}
		return false
	}
	app, err := provider.NewApp(provider.AppOptions{
		Name: "other", Recipe: provider.Generic(), ClientID: "devp-v2-demo-other", PublicURL: k.url,
		Endpoints: provider.Endpoints{Issuer: k.boxAt + "/k/realms/k-series", API: k.boxAt + "/k"},
		Secrets:   []secret.String{secret.New("s3cret")}, Scopes: []string{"openid", "offline_access"},
	})
	if err != nil {
		t.Fatal(err)
	}
	k.svc.c.Apps["other"] = app
	l := k.link("other", nil)
	resp, body := k.get(k.browser(false), l.URL)
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("answered %d", resp.StatusCode)
	}
	wants(t, body, `<a class="button" href="`+l.URL+`">Try again</a>`)
	down = false
	if final, body := k.visit(k.browser(false), anna, l.URL); final != l.URL+"/done" {
		t.Fatalf("ended at %s\n%s", final, body)
	}
	if gs := k.grants("other"); len(gs) != 1 || gs[0].Identity.Subject == "" {
		t.Errorf("grants = %+v", gs)
	}
}

func TestARefusedScopeIsOurSetup(t *testing.T) {
	k := newKit(t, func(c *Config) { c.Apps["k-series"].Scopes = []string{"no-such-scope"} })
	l := k.link("k-series", nil)
	// The provider refuses the scope on the redirect, without a login.
	client := k.browser(false)
	resp, body := k.do(client, http.MethodPost, l.URL+"/start")
	if resp.Request.URL.String() != l.URL+"/problem" || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("answered %d at %s", resp.StatusCode, resp.Request.URL)
	}
	wants(t, body, "Acme Loyalty has to fix something")
}

func TestTheSecondSecretIsTriedWhenTheFirstIsRefused(t *testing.T) {
	k := newKit(t, nil)
	k.visit(k.browser(false), anna, k.link("k-series", nil).URL) // the sandbox learns the secret
	app := k.svc.c.Apps["k-series"]
	app.Secrets = append([]secret.String{secret.New("not-it")}, app.Secrets...)
	l := k.link("k-series", nil)
	if final, body := k.visit(k.browser(false), anna, l.URL); final != l.URL+"/done" {
		t.Fatalf("ended at %s\n%s", final, body)
	}
	k.exchanged(2)
}

func TestAWrongSecretIsOurSetup(t *testing.T) {
	k := newKit(t, nil)
	k.visit(k.browser(false), anna, k.link("k-series", nil).URL)
	k.svc.c.Apps["k-series"].Secrets = []secret.String{secret.New("not-it")}
	l := k.link("k-series", nil)
	final, body := k.visit(k.browser(false), anna, l.URL)
	if final != l.URL+"/problem" {
		t.Fatalf("ended at %s", final)
	}
	wants(t, body, "Acme Loyalty has to fix something")
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
