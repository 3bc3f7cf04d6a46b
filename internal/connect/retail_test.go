package connect

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
	"github.com/evergrant/evergrant/provider/lightspeed"
)

// vendor is R-Series under /r and X-Series under /x, as their documentation has
// them, where everybody has logged in and approves.
type vendor struct {
	t      *testing.T
	url    string
	public string // of the Service

	mu       sync.Mutex
	account  string // of R-Series
	retailer string // of X-Series; the one that approves
	answers  string // the one the token response names; "" for none
	asked    []string
	codes    map[string]url.Values // authorize parameters by code
}

func newVendor(t *testing.T) *vendor {
	v := &vendor{t: t, account: "90210", retailer: "velonord", answers: "velonord", codes: make(map[string]url.Values)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /r/auth/oauth/authorize", v.authorizeR)
	mux.HandleFunc("POST /r/auth/oauth/token", v.tokenR)
	mux.HandleFunc("GET /r/API/V3/Account.json", v.says(`{"@attributes":{"count":"1"},"Account":{"accountID":"90210","name":"Velo Nord"}}`))
	mux.HandleFunc("GET /r/API/V3/Account/90210/Shop.json", v.says(`{"@attributes":{"count":"1"},"Shop":{"shopID":"1","name":"Centre","archived":"false"}}`))
	mux.HandleFunc("GET /x/connect", v.authorizeX)
	mux.HandleFunc("POST /x/{prefix}/api/1.0/token", v.tokenX)
	mux.HandleFunc("GET /x/velonord/api/2.0/retailer", v.says(`{"data":{"id":"a0","name":"Velo Nord","domain_prefix":"velonord"}}`))
	mux.HandleFunc("GET /x/velonord/api/2.0/outlets", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("after") {
			v.says(`{"data":[],"version":{"min":null,"max":null}}`)(w, r)
			return
		}
		v.says(`{"data":[{"id":"6f1f","name":"Centre","deleted_at":null,"version":7}],"version":{"min":7,"max":7}}`)(w, r)
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		v.asked = append(v.asked, r.Method+" "+r.URL.EscapedPath())
		v.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	v.url = s.URL
	return v
}

func (v *vendor) says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") || r.UserAgent() == "" {
			v.t.Errorf("%s has headers %v", r.URL.Path, r.Header)
		}
		_, _ = fmt.Fprint(w, body)
	}
}

// approve remembers what was asked and sends the browser back.
func (v *vendor) approve(w http.ResponseWriter, r *http.Request, to string, more url.Values) {
	q := r.URL.Query()
	if len(q.Get("state")) < 8 || q.Get("scope") == "" || q.Get("response_type") != "code" || q.Get("client_id") != "acme" {
		v.t.Errorf("asked to authorize %v", q)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	code := fmt.Sprintf("code-%d", len(v.codes))
	v.codes[code] = q
	more.Set("code", code)
	more.Set("state", q.Get("state"))
	http.Redirect(w, r, to+"?"+more.Encode(), http.StatusFound)
}

func (v *vendor) authorizeR(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("redirect_uri") {
		v.t.Error("R-Series was sent a redirect_uri")
	}
	v.approve(w, r, v.public+"/oauth/callback/r-series", url.Values{})
}

func (v *vendor) authorizeX(w http.ResponseWriter, r *http.Request) {
	to := v.public + "/oauth/callback/x-series"
	if got := r.URL.Query().Get("redirect_uri"); got != to {
		v.t.Errorf("redirect_uri = %q", got)
	}
	v.approve(w, r, to, url.Values{"domain_prefix": {v.retailer}, "user_id": {"7"}})
}

// redeem checks an exchange and returns its form and what was asked before.
func (v *vendor) redeem(r *http.Request) (form, asked url.Values) {
	if err := r.ParseForm(); err != nil {
		v.t.Error(err)
	}
	form = r.PostForm
	v.mu.Lock()
	defer v.mu.Unlock()
	asked = v.codes[form.Get("code")]
	if r.URL.RawQuery != "" || r.Header.Get("Authorization") != "" || r.UserAgent() == "" || asked == nil ||
		form.Get("grant_type") != "authorization_code" || form.Get("client_id") != "acme" || form.Get("client_secret") != "s3cret" {
		v.t.Errorf("exchange: %s, headers %v, form %v", r.URL.RawQuery, r.Header, form)
	}
	return form, asked
}

func (v *vendor) tokenR(w http.ResponseWriter, r *http.Request) {
	form, asked := v.redeem(r)
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if form.Has("redirect_uri") || form.Has("scope") || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") {
		v.t.Errorf("R-Series' exchange: %v", form)
	}
	claims := fmt.Sprintf(`{"iss":"https://cloud.lightspeedapp.com","sub":"31","acct":%q,"exp":1790003600.5}`, v.account)
	_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3600,"access_token":"eyJ0eXAiOiJKV1QifQ.%s.z","refresh_token":"def5example"}`,
		base64.RawURLEncoding.EncodeToString([]byte(claims)))
}

func (v *vendor) tokenX(w http.ResponseWriter, r *http.Request) {
	form, _ := v.redeem(r)
	if form.Get("redirect_uri") != v.public+"/oauth/callback/x-series" || form.Has("code_verifier") {
		v.t.Errorf("X-Series' exchange: %v", form)
	}
	named := ""
	if v.answers != "" {
		named = fmt.Sprintf(`"domain_prefix":%q,`, v.answers)
	}
	_, _ = fmt.Fprintf(w, `{"access_token":"Zq81exampleAccess","token_type":"Bearer","expires_in":86400,"refresh_token":"m4KexampleRefresh",%s"scope":"outlets:read retailer:read"}`, named)
}

// exchanges returns the paths of the token requests.
func (v *vendor) exchanges() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var paths []string
	for _, a := range v.asked {
		if path, ok := strings.CutPrefix(a, "POST "); ok && !strings.HasPrefix(path, "/_sandbox/") {
			paths = append(paths, path)
		}
	}
	return paths
}

// newRetailKit is a kit with an app of each Retail series.
func newRetailKit(t *testing.T, configure func(*Config)) (*kit, *vendor) {
	t.Helper()
	v := newVendor(t)
	k := newKit(t, func(c *Config) {
		c.Apps = provider.Apps{}
		for name, o := range map[string]provider.AppOptions{
			"r-series": {Recipe: lightspeed.R(), Scopes: []string{"employee:all"}},
			"x-series": {Recipe: lightspeed.X(), Scopes: []string{"outlets:read", "retailer:read", "payment_types:read"}},
		} {
			o.Name, o.ClientID, o.Secrets = name, "acme", []secret.String{secret.New("s3cret")}
			o.Environment, o.SandboxURL, o.PublicURL = provider.Sandbox, v.url, c.PublicURL
			app, err := provider.NewApp(o)
			if err != nil {
				t.Fatal(err)
			}
			c.Apps[name] = app
		}
		if configure != nil {
			configure(c)
		}
	})
	v.public = k.url
	return k, v
}

// press presses a link's button and returns where the browser ends.
func (k *kit) press(client *http.Client, link string) (resp *http.Response, body string) {
	k.t.Helper()
	return k.do(client, http.MethodPost, link+"/start")
}

func TestARetailerConnects(t *testing.T) {
	tests := []struct {
		app      string
		identity grant.Identity
		location grant.Location
		vars     map[string]string
		exchange string
	}{
		{"r-series", grant.Identity{Issuer: "https://cloud.lightspeedapp.com", Subject: "31", Account: "90210", Name: "Velo Nord"},
			grant.Location{ID: "1", Name: "Centre", BusinessID: "90210", BusinessName: "Velo Nord"}, nil, "/r/auth/oauth/token"},
		{"x-series", grant.Identity{Account: "velonord", Name: "Velo Nord"},
			grant.Location{ID: "6f1f", Name: "Centre", BusinessID: "velonord", BusinessName: "Velo Nord"},
			map[string]string{"domain_prefix": "velonord"}, "/x/velonord/api/1.0/token"},
	}
	for _, tt := range tests {
		t.Run(tt.app, func(t *testing.T) {
			k, v := newRetailKit(t, nil)
			l := k.link(tt.app, func(r *LinkRequest) { r.ExpectBusiness = tt.identity.Account })
			resp, body := k.press(k.browser(false), l.URL)
			if end := resp.Request.URL.String(); end != l.URL+"/done" {
				t.Fatalf("ended at %s\n%s", end, body)
			}
			wants(t, body, "Café Nord is connected", "Centre")
			equal(t, "exchanges", v.exchanges(), []string{tt.exchange})

			gs := k.grants(tt.app)
			if len(gs) != 1 {
				t.Fatalf("grants = %+v", gs)
			}
			if diff := cmp.Diff(tt.identity, gs[0].Identity); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
			got, err := k.store.Locations(t.Context(), gs[0].ConnectionID)
			if err != nil || len(got) != 1 {
				t.Fatalf("locations = %+v, %v", got, err)
			}
			tt.location.GrantID, tt.location.SeenAt = gs[0].ID, got[0].SeenAt
			if diff := cmp.Diff(tt.location, got[0]); diff != "" {
				t.Errorf("location (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.vars, k.credential(gs[0]).Variables); diff != "" {
				t.Errorf("variables (-want +got):\n%s", diff)
			}
		})
	}
}

// credential opens a grant's credentials.
func (k *kit) credential(g grant.Grant) grant.Credential {
	k.t.Helper()
	g, sealed, err := k.store.Credentials(k.t.Context(), g.ID)
	if err != nil {
		k.t.Fatal(err)
	}
	plain, err := k.svc.c.Ring.Open(seal.Slot{Table: seal.Credentials, Row: g.ID, Epoch: g.Version.Epoch, Seq: g.Version.Seq}, sealed)
	if err != nil {
		k.t.Fatal(err)
	}
	cred, err := grant.ParseCredential(plain)
	if err != nil {
		k.t.Fatal(err)
	}
	return cred
}

func TestAnotherRetailerCannotReconnect(t *testing.T) {
	for _, app := range []string{"r-series", "x-series"} {
		t.Run(app, func(t *testing.T) {
			k, v := newRetailKit(t, nil)
			if resp, body := k.press(k.browser(false), k.link(app, nil).URL); !strings.HasSuffix(resp.Request.URL.Path, "/done") {
				t.Fatal(body)
			}
			before := k.grants(app)
			v.account, v.retailer, v.answers = "4711", "otherbikes", "otherbikes"
			again := k.link(app, nil)
			resp, body := k.press(k.browser(false), again.URL)
			if resp.StatusCode == http.StatusOK {
				t.Fatalf("another account reconnected:\n%s", body)
			}
			if got := k.stored(again.Link.ID).Problem; got != grant.ProblemOtherIdentity {
				t.Errorf("problem = %s", got)
			}
			if diff := cmp.Diff(before, k.grants(app)); diff != "" {
				t.Errorf("the grants changed:\n%s", diff)
			}
		})
	}
}

// A browser can claim any domain_prefix. If the provider's answer names another
// retailer, the claim was wrong, and with it the identity.
func TestARetailerThatTheAnswerContradictsIsNotStored(t *testing.T) {
	k, v := newRetailKit(t, nil)
	v.answers = "attacker"
	l := k.link("x-series", func(r *LinkRequest) { r.ExpectBusiness = "velonord" })
	if resp, _ := k.press(k.browser(false), l.URL); resp.StatusCode == http.StatusOK {
		t.Error("connected")
	}
	if got := k.stored(l.Link.ID).Problem; got != grant.ProblemOtherIdentity {
		t.Errorf("problem = %s", got)
	}
	if gs := k.grants("x-series"); len(gs) > 0 {
		t.Errorf("stored %+v", gs)
	}
}

func TestACallbackLeadsToNoHostButTheRetailers(t *testing.T) {
	var (
		mu   sync.Mutex
		went []string
	)
	k, v := newRetailKit(t, func(c *Config) {
		c.Sender = oauth.NewSender(oauth.SenderConfig{DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			went = append(went, addr)
			return nil, net.UnknownNetworkError("in this test")
		}})
	})
	for _, prefix := range []string{
		"", ".", "..", "evil.example", "evil.example/", "evil.example#", "evil.example:443/x", "user@evil.example", "@evil.example", "127.0.0.1:1/", "[::1]", "velonord/../../evil",
		"velonord%2F", "VELONORD", "Velonord", "vеlonord", "ｖｅｌｏ", "velonord。evil", "velonord\x00", "velonord\r\n", "-velonord", strings.Repeat("a", 64), "{domain_prefix}",
	} {
		client := k.browser(true)
		resp, _ := k.press(client, k.link("x-series", nil).URL)
		callback := mustParse(t, resp.Header.Get("Location"))
		q := callback.Query()
		q.Set("domain_prefix", prefix)
		callback.RawQuery = q.Encode()
		resp, body := k.get(client, callback.String())
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%q is answered %d", prefix, resp.StatusCode)
		}
		wants(t, body, "Let’s try that once more")
	}
	for name, change := range map[string]func(url.Values){
		"none":             func(q url.Values) { q.Del("domain_prefix") },
		"two":              func(q url.Values) { q.Add("domain_prefix", "velonord") },
		"an unknown state": func(q url.Values) { q.Set("state", "0123456789012345678901234567890123456789012") },
	} {
		client := k.browser(true)
		resp, _ := k.press(client, k.link("x-series", nil).URL)
		callback := mustParse(t, resp.Header.Get("Location"))
		q := callback.Query()
		change(q)
		callback.RawQuery = q.Encode()
		if resp, _ := k.get(client, callback.String()); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s is answered %d", name, resp.StatusCode)
		}
	}
	if len(went) > 0 || len(v.exchanges()) > 0 {
		t.Errorf("requests went to %q, %q", went, v.exchanges())
	}
	if gs := k.grants("x-series"); len(gs) > 0 {
		t.Errorf("stored %+v", gs)
	}
}

// What a crash leaves in the spool is an answer without its callback. It says
// itself whose it is.
func TestARetailersAnswerIsRecoveredByTheNameInIt(t *testing.T) {
	k, v := newRetailKit(t, nil)
	l := k.link("x-series", nil)
	k.store.set("Install", true)
	if resp, _ := k.press(k.browser(false), l.URL); resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("answered %d", resp.StatusCode)
	}
	if err := k.svc.Recover(t.Context(), died(t, k)); err != nil {
		t.Fatal(err)
	}
	gs := k.grants("x-series")
	if len(gs) != 1 || gs[0].Identity.Account != "velonord" || k.credential(gs[0]).Variables["domain_prefix"] != "velonord" {
		t.Errorf("grants = %+v", gs)
	}
	if !slices.Equal(v.exchanges(), []string{"/x/velonord/api/1.0/token"}) {
		t.Errorf("exchanges = %q", v.exchanges())
	}
}

func TestARetailersAnswerWithoutANameWaitsInTheSpool(t *testing.T) {
	k, v := newRetailKit(t, nil)
	v.answers = ""
	l := k.link("x-series", nil)
	k.store.set("Install", true)
	k.press(k.browser(false), l.URL)
	if err := k.svc.Recover(t.Context(), died(t, k)); err == nil || !strings.Contains(err.Error(), "domain_prefix is missing") {
		t.Errorf("error = %v", err)
	}
	if n := k.spool.Stats().Entries; n != 1 {
		t.Errorf("%d spool entries, want 1", n)
	}
}
