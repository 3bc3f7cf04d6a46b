package connect

import (
	"net/http"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
	"github.com/evergrant/evergrant/provider/lightspeed"
)

// TestTheSandboxLearnsWhereRSeriesMerchantsGoBackTo: on a trip to R-Series nobody
// says so, and a sandbox forgets with every reset.
func TestTheSandboxLearnsWhereRSeriesMerchantsGoBackTo(t *testing.T) {
	k := newKit(t, nil)
	app, err := provider.NewApp(provider.AppOptions{
		Name: "r-series", Recipe: lightspeed.R(), Environment: provider.Sandbox, SandboxURL: k.boxAt + "/", PublicURL: k.url,
		ClientID: "acme", Secrets: []secret.String{secret.New("s3cret")}, Scopes: []string{"employee:all"},
	})
	if err != nil {
		t.Fatal(err)
	}
	k.svc.c.Apps["r-series"] = app
	for _, key := range []string{"velo_1", "velo_2"} {
		l := k.link("r-series", func(r *LinkRequest) { r.Ref = grant.Ref{Key: key, App: "r-series"} })
		final, body := k.visit(k.browser(false), "ingrid@velo-nord.example", l.URL)
		if !strings.HasSuffix(final, "/done") {
			t.Errorf("the trip ended at %s:\n%s", final, body)
		}
		if resp, body := k.do(k.browser(false), http.MethodPost, k.boxAt+"/_sandbox/reset"); resp.StatusCode != http.StatusOK {
			t.Fatalf("the reset was answered %d %s", resp.StatusCode, body)
		}
	}
}

// TestAnAppThatMayConnectNoMoreStoresIsOurSetup: the provider lets an app that it
// has not approved connect so many stores. That is the operator's to settle.
func TestAnAppThatMayConnectNoMoreStoresIsOurSetup(t *testing.T) {
	k := newKit(t, nil)
	app, err := provider.NewApp(provider.AppOptions{
		Name: "x-series", Recipe: lightspeed.X(), Environment: provider.Sandbox, SandboxURL: k.boxAt, PublicURL: k.url,
		ClientID: "acme", Secrets: []secret.String{secret.New("s3cret")}, Scopes: []string{"retailer:read", "outlets:read"},
	})
	if err != nil {
		t.Fatal(err)
	}
	k.svc.c.Apps["x-series"] = app
	limit := strings.NewReader(`{"client_id":"acme","series":"x-series","store_cap":1}`)
	resp, err := http.Post(k.boxAt+"/_sandbox/clients", "application/json", limit)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the sandbox answered %s", resp.Status)
	}
	l := k.link("x-series", func(r *LinkRequest) { r.Ref = grant.Ref{Key: "wear", App: "x-series"} })
	if final, body := k.visit(k.browser(false), "sara@fjord-wear.example", l.URL); final != l.URL+"/done" {
		t.Fatalf("the first store's trip ended at %s\n%s", final, body)
	}
	l = k.link("x-series", func(r *LinkRequest) { r.Ref = grant.Ref{Key: "books", App: "x-series"} })
	final, body := k.visit(k.browser(false), "tom@corner-books.example", l.URL)
	if final != l.URL+"/problem" {
		t.Fatalf("the second store's trip ended at %s", final)
	}
	wants(t, body, "Acme Loyalty has to fix something")
}
