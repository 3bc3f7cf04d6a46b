package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/evergrant/evergrant/client"
)

// staff are the people that the identity provider of these tests knows.
const staff = `{
	"anna": {"email": "anna@acme.example", "email_verified": true, "groups": ["platform"]},
	"cas": {"email": "cas@acme.example", "email_verified": true, "groups": ["all", "care"]},
	"eve": {"email": "anna@acme.example", "email_verified": false, "groups": ["visitors"]}
}`

// TestPeopleLogInToTheDashboard logs in as people do, with real browsers at a
// certified OpenID provider that nobody here wrote, and attacks that.
func TestPeopleLogInToTheDashboard(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	op := startProvider(t, s.api+"/login/callback", 60, staff)
	s.secret("oidc-secret", "a secret with : and % and + in it, because Basic encodes them")
	s.configure("  {}", fmt.Sprintf(`dashboard:
  oidc:
    issuer: %s
    client_id: evergrant
    client_secret: {file: secrets/oidc-secret}
    scopes: [openid, email, groups]
    roles: {operator: [anna@acme.example], support: [care]}`, op.issuer))
	s.start()

	anna := chromium(t, 1280)
	goTo(t, anna, s.api+"/connections")
	if page := shown(t, anna, "1-login"); !strings.Contains(page, "You log in at "+strings.TrimPrefix(op.issuer, "http://")) {
		t.Fatalf("who is not logged in sees %q", page)
	}
	logIn(t, anna, "anna")
	if at := location(t, anna); at != s.api+"/connections" {
		t.Fatalf("the login leads to %s: %s", at, shown(t, anna, "lost"))
	}
	if page := shown(t, anna, "2-in"); !strings.Contains(page, "anna@acme.example") {
		t.Errorf("the dashboard does not say who one is: %q", page)
	}
	// The session is the browser's, not the process's.
	s.interrupt()
	s.ended()
	s.start()
	goTo(t, anna, s.api+"/")
	in := func(when string) {
		t.Helper()
		goTo(t, anna, s.api+"/logout")
		if page := shown(t, anna, "in"); !strings.Contains(page, "You are logged in as anna@acme.example (operator).") {
			t.Errorf("%s: %q", when, page)
		}
	}
	in("after a restart")

	t.Run("a phone, a role by a claim", func(t *testing.T) {
		cas := chromium(t, 360)
		goTo(t, cas, s.api+"/login")
		logIn(t, cas, "cas")
		goTo(t, cas, s.api+"/logout")
		if page := shown(t, cas, "3-phone"); !strings.Contains(page, "You are logged in as cas@acme.example (support).") {
			t.Errorf("%q", page)
		}
	})
	t.Run("an address that is not verified", func(t *testing.T) {
		eve := chromium(t, 360)
		goTo(t, eve, s.api+"/login")
		logIn(t, eve, "eve")
		page := shown(t, eve, "4-no-role")
		for _, want := range []string{"You have no role here", "anna@acme.example, which is not verified there", "groups: visitors"} {
			if !strings.Contains(page, want) {
				t.Errorf("no %q in %q", want, page)
			}
		}
	})
	t.Run("another person's code", func(t *testing.T) {
		back := interceptedCallback(t, s.api, "cas")
		victim := chromium(t, 1280)
		before := op.count("issued", "authorization_code")
		goTo(t, victim, back)
		if page := shown(t, victim, "5-strange-code"); !strings.Contains(page, "Please start again") {
			t.Errorf("%q", page)
		}
		goTo(t, victim, s.api+"/")
		if at := location(t, victim); at != s.api+"/login" {
			t.Errorf("the victim is at %s", at)
		}
		goTo(t, anna, back)
		in("after another person's code")
		if n := op.count("issued", "authorization_code"); n != before {
			t.Errorf("%d codes of another browser were redeemed", n-before)
		}
	})
	t.Run("forms of another site", func(t *testing.T) {
		l, err := s.CreateDashboardLogin(t.Context(), client.NewDashboardLogin{Role: "viewer", Name: "Mallory"})
		if err != nil {
			t.Fatal(err)
		}
		for _, action := range []string{s.api + "/logout", l.URL, s.api + "/login/oidc"} {
			evil := strings.Replace(attacker(t, action), "127.0.0.1", "localhost", 1) // another site
			goTo(t, anna, evil)
			press(t, anna, "Win")
			if page := shown(t, anna, "6-forged"); !strings.Contains(page, "This did not come from here") {
				t.Errorf("%s: %q", action, page)
			}
			in("after a forged form")
		}
		mallory := chromium(t, 1280)
		goTo(t, mallory, l.URL)
		if page := shown(t, mallory, "7-link"); !strings.Contains(page, "Log in as Mallory?") {
			t.Fatalf("%q", page)
		}
		press(t, mallory, "Log in")
		if at := location(t, mallory); at != s.api+"/" {
			t.Errorf("the link leads to %s", at)
		}
		goTo(t, anna, l.URL)
		if page := shown(t, anna, "8-used-link"); !strings.Contains(page, "This link does not work") {
			t.Errorf("the used link: %q", page)
		}
		in("after a used link")
	})

	in("at the end")
	press(t, anna, "Log out")
	if page := shown(t, anna, "9-out"); !strings.Contains(page, "You are logged out") {
		t.Errorf("%q", page)
	}
	goTo(t, anna, s.api+"/connections")
	if at := location(t, anna); !strings.HasPrefix(at, s.api+"/login") {
		t.Errorf("after logging out one is at %s", at)
	}
	if n := op.count("refused", "") + op.count("server_error", ""); n != 0 {
		t.Errorf("the provider refused something: %+v", op.told())
	}
}

// goTo opens an address.
func goTo(t *testing.T, ctx context.Context, address string) {
	t.Helper()
	if _, err := chromedp.RunResponse(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatalf("open %s: %v", address, err)
	}
}

// location returns where a browser is.
func location(t *testing.T, ctx context.Context) string {
	t.Helper()
	at, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// logIn goes from our login page over the provider's and back.
func logIn(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	press(t, ctx, "Continue")
	for _, field := range []string{"login", "password"} {
		if _, err := chromedp.Run(ctx, chromedp.SendKeys(`input[name="`+field+`"]`, name)); err != nil {
			t.Fatalf("the provider's login: %v", err)
		}
	}
	press(t, ctx, "Sign-in")
	press(t, ctx, "Continue")
}

// interceptedCallback logs in as name in a browser of its own and returns the
// callback that it would have gone to.
func interceptedCallback(t *testing.T, site, name string) string {
	t.Helper()
	b := newBrowser(t, map[string]string{"login": name, "password": name})
	b.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), site+"/login/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	at := b.open(site + "/login")
	for range 4 {
		if back := at.header.Get("Location"); strings.HasPrefix(back, site+"/login/callback") {
			return back
		}
		at = b.submit(at)
	}
	t.Fatalf("the login does not lead back: %d %s", at.status, at.body)
	return ""
}

// attacker serves a page with a form that leads to action.
func attacker(t *testing.T, action string) string {
	t.Helper()
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<title>Win</title><form method="post" action="%s"><button>Win</button></form>`, action)
	}))
	t.Cleanup(evil.Close)
	return evil.URL
}
