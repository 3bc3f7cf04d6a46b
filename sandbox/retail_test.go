package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/sandbox"
)

const (
	ingrid = "ingrid@velo-nord.example" // R: three shops and an archived one
	jonas  = "jonas@velo-nord.example"  // R: one shop of the same account
	nora   = "nora@net-only.example"    // R: no shop
	sara   = "sara@fjord-wear.example"  // X: three outlets and a deleted one
	tom    = "tom@corner-books.example" // X: one outlet
	scopeR = "employee:all"
	scopeX = "outlets:read retailer:read payment_types:read users:read registers:read customers:read products:read sales:read"
	stateX = "st4te-of-eight"
)

// startR is a bench of R-Series with a registered client.
func startR(t *testing.T, cfg sandbox.Config) *bench {
	b := start(t, cfg)
	b.clientID, b.scope, b.inBody = "c1ient", scopeR, true
	b.authorize, b.token, b.api = b.url+"/r/auth/oauth/authorize", b.url+"/r/auth/oauth/token", b.url+"/r/API"
	b.registerR("{}")
	return b
}

// registerR registers the client with its redirect URI, and the fields given.
func (b *bench) registerR(fields string) {
	b.t.Helper()
	in := map[string]any{}
	if err := json.Unmarshal([]byte(fields), &in); err != nil {
		b.t.Fatal(err)
	}
	in["client_id"], in["series"], in["redirect_uris"] = b.clientID, "r-series", []string{callback}
	body, err := json.Marshal(in)
	if err != nil {
		b.t.Fatal(err)
	}
	if a := b.control(http.MethodPost, "/clients", string(body), nil); a.Status != http.StatusOK {
		b.t.Fatalf("register: %d %s", a.Status, a.Raw)
	}
}

// startX is a bench of X-Series for one retailer.
func startX(t *testing.T, cfg sandbox.Config) *bench {
	b := start(t, cfg)
	b.clientID, b.scope, b.inBody = "c1ient", scopeX, true
	b.authorize = b.url + "/x/connect"
	return b.retailer("fjordwear")
}

func (b *bench) retailer(prefix string) *bench {
	b.token, b.api = b.url+"/x/"+prefix+"/api/1.0/token", b.url+"/x/"+prefix+"/api/2.0"
	return b
}

func TestRFlow(t *testing.T) {
	b := startR(t, sandbox.Config{})
	back := b.consent(ingrid, "redirect_uri", "")
	if diff := cmp.Diff([]string{"code", "state"}, keysOf(back)); diff != "" {
		t.Errorf("callback (-want +got):\n%s", diff)
	}
	tok := b.must(b.exchange(back.Get("code"))) // its redirect_uri is ignored
	if tok.Status != http.StatusOK || len(tok.Fields) != 4 || tok.Fields["token_type"] != "Bearer" || tok.Fields["expires_in"] != 3600.0 {
		t.Fatalf("token answered %d %s", tok.Status, tok.Raw)
	}
	var claims map[string]any
	if err := json.Unmarshal(decode64(t, strings.Split(tok.Access, ".")[1]), &claims); err != nil {
		t.Fatal(err)
	}
	if claims["acct"] != "90210" || claims["aud"] != "c1ient" || claims["scope"] != scopeR || claims["iss"] != b.url+"/r" {
		t.Errorf("claims = %v", claims)
	}
	next := b.must(b.refresh(tok.Refresh))
	if next.Status != http.StatusOK || next.Refresh == tok.Refresh || next.Access == tok.Access {
		t.Fatalf("refresh answered %d %s", next.Status, next.Raw)
	}
	a := b.get("/V3/Account.json", next.Access)
	if a.Status != http.StatusOK || !strings.Contains(a.Raw, `"Account":{"accountID":"90210"`) || a.Header.Get("X-LS-Acct-Id") != "90210" {
		t.Errorf("account answered %d %v %s", a.Status, a.Header, a.Raw)
	}
	if got := kinds(b.sb.Report().Violations); got != "" {
		t.Errorf("violations = %s", got)
	}
}

func TestXFlow(t *testing.T) {
	b := startX(t, sandbox.Config{})
	back := b.consent(sara, "state", stateX)
	if diff := cmp.Diff([]string{"code", "domain_prefix", "scope", "state", "user_id"}, keysOf(back)); diff != "" || back.Get("domain_prefix") != "fjordwear" {
		t.Errorf("callback %v (-want +got):\n%s", back, diff)
	}
	tok := b.must(b.exchange(back.Get("code")))
	if tok.Status != http.StatusOK || tok.Fields["expires_in"] != 86400.0 || tok.Fields["domain_prefix"] != "fjordwear" {
		t.Fatalf("token answered %d %s", tok.Status, tok.Raw)
	}
	if want := float64(b.sb.Now().Add(24 * time.Hour).Unix()); tok.Fields["expires"] != want {
		t.Errorf("expires = %v, want %v", tok.Fields["expires"], want)
	}
	next := b.must(b.refresh(tok.Refresh))
	if next.Status != http.StatusOK || next.Refresh == tok.Refresh {
		t.Fatalf("refresh answered %d %s", next.Status, next.Raw)
	}
	if a := b.get("/outlets", tok.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("the access token before answered %d", a.Status)
	}
	a := b.get("/outlets", next.Access)
	if a.Status != http.StatusOK || strings.Count(a.Raw, `"Fjord Wear`) != 3 || a.Header.Get("X-RateLimit-Remaining") != "949" {
		t.Errorf("outlets answered %d %v %s", a.Status, a.Header, a.Raw)
	}
	if got := kinds(b.sb.Report().Violations); got != "" {
		t.Errorf("violations = %s", got)
	}
}

func keysOf(q url.Values) []string {
	var out []string
	for _, part := range strings.Split(q.Encode(), "&") {
		name, _, _ := strings.Cut(part, "=")
		out = append(out, name)
	}
	return out
}
