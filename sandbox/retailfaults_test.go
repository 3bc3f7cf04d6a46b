package sandbox_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/sandbox"
)

// Each fault hits one refresh of R-Series and of X-Series; then the client sends
// the refresh token again. R-Series takes it until the new access token is used.
func TestFaultsOfRetail(t *testing.T) {
	const works, refused = 200, 400
	for fault, c := range map[string]struct {
		answerR, answerX func(a answered, err error) string
		resendR, resendX int
		violationsX      string // R has none
	}{
		"lose_answer":        {closedEarly, closedEarly, works, refused, "refresh_token_reused/lose_answer"},
		"truncate":           {halved, halved, works, refused, "refresh_token_reused/truncate"},
		"bad_json":           {notJSON, notJSON, works, refused, "refresh_token_reused/bad_json"},
		"lose_request":       {closedEarly, closedEarly, works, works, ""},
		"reset":              {closedEarly, closedEarly, works, works, ""},
		"status_500":         {status(500), status(500), works, works, ""},
		"status_429":         {status(429), waitsUntil, works, works, ""},
		"html":               {captive, captive, works, works, ""},
		"invalid_grant_once": {errorIs(400, "invalid_grant"), errorIs(400, "invalid_grant"), works, works, ""},
		"invalid_client":     {errorIs(401, "invalid_client"), errorIs(401, "invalid_client"), works, works, ""},
		"revoke":             {errorIs(400, "invalid_grant"), errorIs(400, "invalid_grant"), refused, refused, ""},
		"no_refresh_token":   {lacks("refresh_token"), lacks("refresh_token"), works, works, ""},
		"no_expires_in":      {lacks("expires_in"), lacks("expires_in"), works, refused, "refresh_token_reused"},
		"expires_in_string":  {raw(`"expires_in":"3600"`), raw(`"expires_in":"86400"`), works, refused, "refresh_token_reused"},
		"expires_in_float":   {raw(`"expires_in":3599.5`), raw(`"expires_in":86399.5`), works, refused, "refresh_token_reused"},
		"scope_shrink":       {lacks("scope"), raw(`"scope":"outlets:read retailer:read payment_types:read users:read registers:read customers:read products:read"`), works, refused, "refresh_token_reused"},
	} {
		t.Run(fault, func(t *testing.T) {
			r := startR(t, sandbox.Config{})
			x := startX(t, sandbox.Config{})
			for _, s := range []struct {
				b          *bench
				first      answered
				email, app string
				answer     func(answered, error) string
				resend     int
				violations string
			}{
				{r, r.connect(ingrid, "redirect_uri", ""), ingrid, "r-series", c.answerR, c.resendR, ""},
				{x, x.connectX(sara), sara, "lightspeed-x", c.answerX, c.resendX, c.violationsX},
			} {
				s.b.sb.Advance(50 * time.Minute)
				s.b.sb.Fault(sandbox.Fault{App: s.app, Fault: fault, Times: 1, Match: map[string]string{"grant_type": "refresh_token", "email": s.email}})
				if problem := s.answer(s.b.refresh(s.first.Refresh)); problem != "" {
					t.Errorf("%s: %s", s.app, problem)
				}
				if a := s.b.must(s.b.refresh(s.first.Refresh)); a.Status != s.resend {
					t.Errorf("%s: sent again: %d %s", s.app, a.Status, a.Raw)
				}
				if got := kinds(s.b.sb.Report().Violations); got != s.violations {
					t.Errorf("%s: violations = %q, want %q", s.app, got, s.violations)
				}
			}
		})
	}
}

// waitsUntil is a 429 whose Retry-After is a date.
func waitsUntil(a answered, err error) string {
	at, parseErr := http.ParseTime(a.Header.Get("Retry-After"))
	now, _ := http.ParseTime(a.Header.Get("Date"))
	if err != nil || a.Status != http.StatusTooManyRequests || parseErr != nil || at.Sub(now) != 5*time.Second {
		return "answered " + a.Header.Get("Retry-After") + " at " + a.Header.Get("Date")
	}
	return ""
}

func errorIs(status int, code string) func(answered, error) string {
	return func(a answered, err error) string {
		if err != nil || a.Status != status || a.Fields["error"] != code {
			return "answered " + a.Raw
		}
		return ""
	}
}

func TestSlowAndSameTokenAtRetail(t *testing.T) {
	r, x := startR(t, sandbox.Config{}), startX(t, sandbox.Config{})
	for app, s := range map[string]struct {
		b     *bench
		first answered
	}{"r-series": {r, r.connect(ingrid, "redirect_uri", "")}, "x-series": {x, x.connectX(sara)}} {
		s.b.sb.Fault(sandbox.Fault{App: app, Fault: "slow", Times: 1, Match: map[string]string{"delay": "1ms"}})
		s.b.sb.Fault(sandbox.Fault{App: app, Fault: "same_token", Times: 1})
		a := s.b.must(s.b.refresh(s.first.Refresh))
		if a.Status != http.StatusOK || a.Access != s.first.Access || a.Refresh != s.first.Refresh {
			t.Errorf("%s answered %d %s", app, a.Status, a.Raw)
		}
		if got := kinds(s.b.sb.Report().Violations); got != "" {
			t.Errorf("%s: violations = %s", app, got)
		}
	}
}

func TestAFaultNamesClientsThatWereNotSeenYet(t *testing.T) {
	b := startX(t, sandbox.Config{})
	if a := b.control(http.MethodPost, "/faults", `{"client_id":"c1ient","fault":"status_500","times":1}`, nil); a.Status != http.StatusCreated {
		t.Fatalf("answered %d %s", a.Status, a.Raw)
	}
	code := b.consent(sara, "state", stateX).Get("code")
	if a := b.must(b.exchange(code)); a.Status != http.StatusInternalServerError {
		t.Errorf("answered %d %s", a.Status, a.Raw)
	}
}

func TestClientsOfRetailAreRegistered(t *testing.T) {
	b := start(t, sandbox.Config{})
	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"client_id":"acme","series":"r-series","redirect_uris":["https://a.example"]}`, 200, `"server":"new"`},
		{`{"client_id":"acme","server":"old"}`, 200, `"server":"old"`},
		{`{"client_id":"acme","series":"lightspeed-x"}`, 200, `"store_cap":30`},
		{`{"client_id":"acme"}`, 400, `client_id: \"acme\" does not tell its series`}, // known to both now
		{`{"client_id":"acme","series":"s-series"}`, 400, `series: `},
		{`{"client_id":"devp-acme","series":"r-series"}`, 400, `client_id: `},
		{`{"client_id":"devp-acme","series":"lightspeed-k"}`, 400, `client_id: `},
		{`{"client_id":"acme","series":"r-series","redirect_uris":["https://a.example","https://b.example"]}`, 400, `redirect_uris: `},
		{`{"client_id":"acme","series":"r-series","store_cap":1}`, 400, `store_cap: `},
		{`{"client_id":"acme","series":"r-series","server":"x"}`, 400, `server: `},
		{`{"client_id":"acme","series":"x-series","server":"old"}`, 400, `server: `},
		{`{"client_id":"acme","series":"x-series","public":true}`, 400, `public: `},
		{`{"client_id":"acme","series":"x-series","store_cap":-1}`, 400, `store_cap: `},
		{`{"client_id":"devp-acme","series":"k-series"}`, 200, `"series":"lightspeed-k-v1"`},
	} {
		a := b.control(http.MethodPost, "/clients", c.body, nil)
		if a.Status != c.status || !strings.Contains(a.Raw, c.want) {
			t.Errorf("%s answered %d %s", c.body, a.Status, a.Raw)
		}
	}
	for _, c := range []struct{ path, body, want string }{
		{"/users", `{"email":"a@b.example","account":{"id":0}}`, "account.id"},
		{"/users", `{"email":"a@b.example","account":{"id":1,"shops":[{"id":-1}]}}`, "account.shops[0].id"},
		{"/users", `{"email":"a@b.example","retailer":{"domain_prefix":"a.b"}}`, "retailer.domain_prefix"},
		{"/users", `{"email":"a@b.example","retailer":{"domain_prefix":""}}`, "retailer.domain_prefix"},
		{"/users/" + anna + "/revoke", `{"only":"x"}`, "only"},
		{"/lifetimes", `{"series":"l-series","access":"1h"}`, "series"},
	} {
		if a := b.control(http.MethodPost, c.path, c.body, nil); a.Status != http.StatusBadRequest || !strings.Contains(a.Raw, `"`+c.want) {
			t.Errorf("%s %s answered %d %s", c.path, c.body, a.Status, a.Raw)
		}
	}
	if a := b.control(http.MethodPost, "/users/nobody@b.example/lock", "", nil); a.Status != http.StatusNotFound {
		t.Errorf("locking nobody answered %d", a.Status)
	}
}

func TestLifetimesOfOneSeries(t *testing.T) {
	b := startX(t, sandbox.Config{AccessLifetime: time.Minute})
	b.control(http.MethodPost, "/lifetimes", `{"series":"x-series","access":"2h"}`, nil)
	if a := b.connectX(sara); a.Fields["expires_in"] != 7200.0 {
		t.Errorf("token = %s", a.Raw)
	}
	b.control(http.MethodPost, "/lifetimes", `{"access":"3h"}`, nil)
	r := startR(t, sandbox.Config{AccessLifetime: time.Minute})
	if a := r.connect(ingrid, "redirect_uri", ""); a.Fields["expires_in"] != 60.0 {
		t.Errorf("token = %s", a.Raw)
	}
}

func TestTheFirstPageListsEverySeries(t *testing.T) {
	b := start(t, sandbox.Config{})
	a := b.must(b.do(mustRequest(t, http.MethodGet, b.url+"/")))
	for _, part := range []string{
		"lightspeed-k", "/r/auth/oauth/authorize", "/x/connect", "/x/{domain_prefix}/api/1.0/token", anna, ingrid, sara,
		"Velo Nord: Velo Nord Centre, Velo Nord Harbour, Velo Nord Airport<", "Net Only<",
	} {
		if !strings.Contains(a.Raw, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
}
