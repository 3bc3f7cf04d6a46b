package lightspeed

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
)

// Shapes as https://developers.lightspeedhq.com/retail has them (endpoints/Account,
// endpoints/Shop); one shop as an object is recorded traffic, see
// https://github.com/marketplacer/lightspeed_pos.
const (
	veloNord  = `{"@attributes":{"count":"1"},"Account":{"accountID":"90210","name":"Velo Nord","link":{"@attributes":{"href":"/API/V3/Account/90210"}}}}`
	twoShops  = `{"@attributes":{"next":"","previous":""},"Shop":[{"shopID":"1","name":"Centre","timeZone":"Europe/Oslo","archived":"false","timeStamp":"2026-01-05T09:00:00+00:00","contactID":"2","priceLevelID":"1"},{"shopID":"2","name":"Harbour","archived":"false"}]}`
	oneShop   = `{"@attributes":{"count":"1"},"Shop":{"shopID":"1","name":"Centre","archived":"false"}}`
	expired   = `{"error":"access_denied","error_description":"The resource owner or authorization server denied the request.","hint":"Access token could not be verified"}`
	revoked   = `{"error":"access_denied","error_description":"The resource owner or authorization server denied the request.","hint":"Access token has been revoked"}`
	olderBody = `{"httpCode":"401","httpMessage":"Unauthorized","message":"Invalid username\/password or API key.","errorClass":"BadAuthenticationRequestError"}`
)

// retail serves the account and, by the query, pages of shops.
func retail(t *testing.T, account string, pages map[string]string) provider.API {
	return api(t, "employee:all", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer at" || r.UserAgent() == "" {
			t.Errorf("headers = %v", r.Header)
		}
		switch page, ok := pages[r.URL.RawQuery]; {
		case r.URL.Path == "/k/API/V3/Account.json" && r.URL.RawQuery == "":
			_, _ = fmt.Fprint(w, account)
		case r.URL.Path == "/k/API/V3/Account/90210/Shop.json" && ok:
			_, _ = fmt.Fprint(w, page)
		default:
			t.Errorf("asked %s", r.RequestURI)
		}
	})
}

func shop(id, name string) grant.Location {
	return grant.Location{ID: id, Name: name, BusinessID: "90210", BusinessName: "Velo Nord"}
}

func TestShopsOfAnAccountAreRead(t *testing.T) {
	tests := []struct {
		name  string
		pages map[string]string // by query
		want  []grant.Location
	}{
		{"an array", map[string]string{"": twoShops}, []grant.Location{shop("1", "Centre"), shop("2", "Harbour")}},
		{"one object", map[string]string{"": oneShop}, []grant.Location{shop("1", "Centre")}},
		{"no key", map[string]string{"": `{"@attributes":{"next":"","previous":""}}`}, nil},
		{"an empty text", map[string]string{"": `{"@attributes":{"count":"0"},"Shop":""}`}, nil},
		{"null", map[string]string{"": `{"@attributes":[],"Shop":null}`}, nil},
		{"archived ones are left out", map[string]string{"": `{"Shop":[{"shopID":"1","name":"Centre","archived":"true"},{"shopID":"3","name":"Fjord","archived":"false"}]}`},
			[]grant.Location{shop("3", "Fjord")}},
		{"ids as numbers and an entry without one", map[string]string{"": `{"Shop":[{"shopID":7,"name":"Bro"},{"name":"?"},{"shopID":{},"name":"?"}]}`}, []grant.Location{shop("7", "Bro")}},
		{"pages, whose links name another host", map[string]string{
			"":                           `{"@attributes":{"next":"https://evil.example/API/V3/Account/1/Shop.json?limit=100&after=WzJd"},"Shop":[{"shopID":"1","name":"Centre"}]}`,
			"after=WzJd&limit=100":       `{"@attributes":{"next":"https://api.lightspeedapp.com/API/V3/Account/90210/Shop.json?limit=100&after=WzNd%3D%3D"},"Shop":{"shopID":"2","name":"Harbour"}}`,
			"after=WzNd%3D%3D&limit=100": `{"@attributes":{"next":""},"Shop":{"shopID":"3","name":"Fjord"}}`,
		}, []grant.Location{shop("1", "Centre"), shop("2", "Harbour"), shop("3", "Fjord")}},
		{"a cursor that comes again is the last", map[string]string{
			"":        `{"@attributes":{"next":"https://x.example/?after=a"},"Shop":{"shopID":"1","name":"Centre"}}`,
			"after=a": `{"@attributes":{"next":"https://x.example/?after=a"},"Shop":{"shopID":"2","name":"Harbour"}}`,
		}, []grant.Location{shop("1", "Centre"), shop("2", "Harbour")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := discoverR(t.Context(), retail(t, veloNord, tt.pages))
			if diff := cmp.Diff(provider.Reach{Account: "90210", Name: "Velo Nord", Locations: tt.want}, got); err != nil || diff != "" {
				t.Errorf("reach: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestAnEmployeeWithoutTheRightToListShopsStillTellsTheAccount(t *testing.T) {
	got, err := discoverR(t.Context(), api(t, "employee:register", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/Shop.json") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = fmt.Fprint(w, veloNord)
	}))
	if !errors.Is(err, provider.ErrNoDiscovery) {
		t.Errorf("error = %v", err)
	}
	if diff := cmp.Diff(provider.Reach{Account: "90210", Name: "Velo Nord"}, got); diff != "" {
		t.Errorf("reach (-want +got):\n%s", diff)
	}
}

func TestRefusedTokensAndOddAnswersAreErrorsThatQuoteNothing(t *testing.T) {
	tests := map[string]func(http.ResponseWriter, *http.Request){
		"an expired token":        func(w http.ResponseWriter, _ *http.Request) { http.Error(w, expired, http.StatusUnauthorized) },
		"a revoked token":         func(w http.ResponseWriter, _ *http.Request) { http.Error(w, revoked, http.StatusUnauthorized) },
		"the older API's refusal": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, olderBody, http.StatusUnauthorized) },
		"XML": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `<Account count="1"><accountID>hint</accountID></Account>`)
		},
		"two accounts": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `{"Account":[{"accountID":"1","name":"hint"},{"accountID":"2"}]}`)
		},
		"an account that is a path": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `{"Account":{"accountID":"../hint","name":"x"}}`)
		},
	}
	for name, h := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := discoverR(t.Context(), api(t, "employee:all", h))
			if err == nil || strings.Contains(err.Error(), "hint") || strings.Contains(err.Error(), "verified") || got.Account != "" {
				t.Errorf("reach %+v, error %v", got, err)
			}
		})
	}
}

func TestPagesOfShopsWithoutEndAreAnError(t *testing.T) {
	asked := 0
	_, err := discoverR(t.Context(), api(t, "employee:all", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "Account.json") {
			_, _ = fmt.Fprint(w, veloNord)
			return
		}
		asked++
		_, _ = fmt.Fprintf(w, `{"@attributes":{"next":"https://x.example/?after=%d"}}`, asked)
	}))
	if err == nil || asked != mostPages {
		t.Errorf("%d pages were asked for, error %v", asked, err)
	}
}

// jwtOf returns an access token as R-Series' new server issues them.
func jwtOf(claims string) oauth.Token {
	return oauth.Token{AccessToken: secret.New("eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".z")}
}

func TestTheAccountIsReadFromTheAccessToken(t *testing.T) {
	got := R().Identify(jwtOf(`{"jti":"0f3c","iss":"https://cloud.lightspeedapp.com","aud":"c1ient","sub":"31","acct":"90210","scope":"employee:inventory_read","iat":1790000000.51,"nbf":1790000000.51,"exp":1790003600.5}`), nil)
	if diff := cmp.Diff(grant.Identity{Issuer: "https://cloud.lightspeedapp.com", Subject: "31", Account: "90210"}, got); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
	for _, odd := range []oauth.Token{{}, {AccessToken: secret.New("opaque")}, jwtOf(`{"acct":90210,"sub":{}}`), jwtOf(`[]`)} {
		if got := R().Identify(odd, nil); got.Account != "" || got.Subject != "" {
			t.Errorf("identity = %+v", got)
		}
	}
}

func TestTheFourFieldAnswerIsATokenResponse(t *testing.T) {
	for body, want := range map[string]time.Duration{
		`{"token_type":"Bearer","expires_in":3600,"access_token":"eyJ0.e30.z","refresh_token":"def5example"}`:                                     time.Hour,
		`{"token_type":"bearer","expires_in":1800,"access_token":"old","refresh_token":"def5example","scope":"employee:all systemuserid:123456"}`: 30 * time.Minute,
	} {
		tok, err := oauth.ParseToken(oauth.Answer{Sent: true, Complete: true, Status: 200, Body: []byte(body), SentAt: time.Now()})
		if err != nil || tok.Type != "Bearer" || tok.ExpiresIn != want || tok.RefreshToken.Reveal() != "def5example" || len(tok.Odd) > 0 {
			t.Errorf("token = %+v, %v", tok, err)
		}
	}
}

// authentication/authorization-code-grant and refresh-token.
func TestRetailTokenEndpointErrorsMeanWhatTheDocumentationSays(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   grant.Outcome
	}{
		{400, `{"error":"invalid_grant","error_description":"The provided authorization grant is invalid","hint":"Token has been revoked"}`, grant.Refused},
		{401, `{"error":"invalid_client","error_description":"Client authentication failed"}`, grant.Misconfigured},
		{400, `{"error":"invalid_request","error_description":"The request is missing a required parameter","hint":"Check the refresh_token parameter"}`, grant.Unclear},
		{405, `{"error":"invalid_request"}`, grant.Unclear},
		{429, `{"error":"too_many_requests"}`, grant.Throttled},
		{503, `{"error":"invalid_grant"}`, grant.Unclear},
	} {
		for _, r := range []provider.Recipe{R(), X()} {
			a := oauth.Answer{Sent: true, Complete: true, Status: tt.status, ContentType: "application/json", Body: []byte(tt.body)}
			if got := oauth.Classify(a, r.Errors).Outcome; got != tt.want {
				t.Errorf("%s: %d %s is %s, want %s", r.Name, tt.status, tt.body, got, tt.want)
			}
		}
	}
}

func TestRetailPolicies(t *testing.T) {
	r, x := R().Policy, X().Policy
	if r.Rotation != grant.RetireOnUse || r.ForcedInterval() < time.Minute/5 || r.RefreshPerMinute != 5 || r.RefreshIdle != 30*24*time.Hour {
		t.Errorf("R-Series: %+v", r)
	}
	if x.Rotation != grant.Strict || x.OldAccessToken != grant.RevokedNow || !x.Rotation.SingleUse() {
		t.Errorf("X-Series: %+v", x)
	}
}

func TestScopesOfTheOtherRetailAreRefused(t *testing.T) {
	for _, tt := range []struct {
		check func(string) error
		scope string
		ok    bool
	}{
		{checkScopeR, "employee:inventory_read", true},
		{checkScopeR, "sales:read", false},
		{checkScopeR, "financial-api", false},
		{checkScopeX, "sales:read", true},
		{checkScopeX, "employee:all", false},
	} {
		if err := tt.check(tt.scope); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.scope, err)
		}
	}
}

func FuzzDecodeShops(f *testing.F) {
	for _, s := range []string{twoShops, oneShop, `{"Shop":""}`, `{"@attributes":{"next":"https://x.example/?after=%ZZ;a&b"},"Shop":[null,1]}`, `[]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := decodeShops(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Error("accepted what is not JSON")
		}
		if strings.TrimLeft(p.next, "?") != "" && (p.next[0] != '?' || strings.ContainsAny(p.next[1:], "?# /\\@\r\n")) {
			t.Errorf("next page is %q", p.next)
		}
		fit(t, []business{{id: "1", locations: p.shops}})
	})
}

func FuzzDecodeAccount(f *testing.F) {
	for _, s := range []string{veloNord, `{"Account":[{"accountID":1}]}`, `{"Account":{"accountID":"../x"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if b, err := decodeAccount(body); err == nil {
			fit(t, []business{b})
		}
	})
}
