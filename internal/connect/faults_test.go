package connect

import (
	"net/http"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
	"github.com/evergrant/evergrant/sandbox"
)

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

func TestAMissingPermissionIsSaidOnTheDonePage(t *testing.T) {
	k := newKit(t, func(c *Config) {
		app := c.Apps["k-series"]
		app.Scopes = []string{"financial-api", "items", "offline_access"}
		app.RequiredScopes = []string{"items"}
	})
	k.box.Fault(sandbox.Fault{Fault: "scope_shrink", Times: 1, Match: map[string]string{"scope": "items"}})
	l := k.link("k-series", nil)
	final, body := k.visit(k.browser(false), anna, l.URL)
	if final != l.URL+"/done" {
		t.Fatalf("ended at %s", final)
	}
	wants(t, body, "Café Nord is connected", "not yet with all the permissions it needs", "A permission is missing.")
	if strings.Contains(body, "nothing more to do") {
		t.Error("the page says that there is nothing more to do")
	}
}
