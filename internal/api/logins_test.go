package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api"
	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/signin"
)

func TestALinkIntoTheDashboardIsForUnlimitedAdmins(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	const path = "/v1/dashboard/logins"
	made := expect(t, k.Do(admin, "POST", path, `{"role":"support","name":"Anna"}`), 201)
	ends, err := time.Parse(time.RFC3339, made["expires_at"].(string))
	if left := ends.Sub(k.Now()); err != nil || left <= 0 || left > signin.LinkLife || !strings.HasPrefix(made["url"].(string), "https://dashboard.example/login/link/") || len(made) != 2 {
		t.Errorf("%v", made)
	}
	again := k.Do(admin, "POST", path, `{"role":"support"}`, "Idempotency-Key: one")
	if other := k.Do(admin, "POST", path, `{"role":"support"}`, "Idempotency-Key: one"); other.Body == again.Body {
		t.Error("a repeated request gets the same link, which may be used")
	}
	for name, c := range map[string]struct {
		key, body string
		status    int
		code      string
	}{
		"no key":                     {"", `{"role":"viewer"}`, 401, "unauthorized"},
		"every other scope":          {k.Key([]access.Scope{access.Tokens, access.Connections, access.Links, access.Events}, nil, nil), `{"role":"viewer"}`, 403, "forbidden"},
		"an admin of one app":        {k.Key([]access.Scope{access.Admin}, []string{"k-series"}, nil), `{"role":"viewer"}`, 403, "forbidden"},
		"an admin of one business":   {k.Key([]access.Scope{access.Admin}, nil, []string{"biz_1"}), `{"role":"viewer"}`, 403, "forbidden"},
		"a role that is none":        {admin, `{"role":"admin"}`, 400, "invalid_request"},
		"no role":                    {admin, `{}`, 400, "invalid_request"},
		"a name of nothing":          {admin, `{"role":"viewer","name":"\u202e"}`, 400, "invalid_request"},
		"a name that is much longer": {admin, `{"role":"viewer","name":"` + strings.Repeat("x", 300) + `"}`, 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) { expectProblem(t, k.Do(c.key, "POST", path, c.body), c.status, c.code) })
	}
}

func TestWithoutAnAddressTheresNoLinkIntoTheDashboard(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	c := k.Config
	var err error
	if c.SignIn, err = signin.New(signin.Config{Store: k.Store, Ring: k.Ring, Logger: c.Logger}); err != nil {
		t.Fatal(err)
	}
	h, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	a := apitest.Serve(h, admin, "POST", "/v1/dashboard/logins", `{"role":"viewer"}`)
	expectProblem(t, a, 409, "conflict")
	if !strings.Contains(a.Body, "set dashboard.url") {
		t.Errorf("the problem does not say what to do: %s", a.Body)
	}
	c.SignIn = nil
	if h, err = api.New(c); err != nil {
		t.Fatal(err)
	}
	expectProblem(t, apitest.Serve(h, admin, "POST", "/v1/dashboard/logins", `{"role":"viewer"}`), 404, "not_found")
}

// TestNoCookieOpensTheAPI: who is logged in to the dashboard is nobody here.
func TestNoCookieOpensTheAPI(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	made := expect(t, k.Do(admin, "POST", "/v1/dashboard/logins", `{"role":"operator"}`), 201)
	w := httptest.NewRecorder()
	k.Config.SignIn.Handler().ServeHTTP(w, httptest.NewRequest("POST", made["url"].(string), nil))
	session := w.Result().Cookies()[0]
	r := httptest.NewRequest("GET", "https://dashboard.example/v1/whoami", nil)
	r.AddCookie(session)
	if p, ok := k.Config.SignIn.Person(r); !ok || p.Role != access.Operator {
		t.Fatalf("the cookie is %+v's", p)
	}
	expectProblem(t, k.Do("", "GET", "/v1/whoami", "", "Cookie: "+session.Name+"="+session.Value), http.StatusUnauthorized, "unauthorized")
	expectProblem(t, k.Do(session.Value, "GET", "/v1/whoami", ""), http.StatusUnauthorized, "unauthorized")
}
