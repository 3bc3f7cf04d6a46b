package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/grant"
)

const tokenPath = "/v1/connections/biz_42@k-series/token"

func TestTokenAnswerHasTheContractsShape(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	conn := k.Adopt("biz_42", "k-series")
	a := k.Do(admin, "GET", tokenPath, "")
	got := expect(t, a, 200)
	want := map[string]any{
		"token_type": "Bearer", "scope": "", "base_url": "https://api.example",
		"connection": map[string]any{"id": conn.ID, "key": "biz_42", "app": "k-series", "state": "connected"},
		"locations":  []any{}, "warnings": []any{},
	}
	varying := []string{"access_token", "expires_at", "expires_in", "fingerprint", "grant"}
	ignore := cmpopts.IgnoreMapEntries(func(k string, _ any) bool {
		for _, v := range varying {
			if k == v {
				return true
			}
		}
		return false
	})
	if diff := cmp.Diff(want, got, ignore); diff != "" {
		t.Error(diff)
	}
	for _, m := range varying {
		if _, ok := got[m]; !ok {
			t.Errorf("%s is missing", m)
		}
	}
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", a.Header)
	}
	if left := got["expires_in"].(float64); left < 3500 || left > 3600 {
		t.Errorf("expires_in %v for a token of an hour", left)
	}
}

func TestExpiresInIsCountedForEachCaller(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_42", "k-series")
	first := expect(t, k.Do(admin, "GET", tokenPath, ""), 200)
	k.Advance(10 * time.Minute)
	second := expect(t, k.Do(admin, "GET", tokenPath, ""), 200)
	if first["access_token"] != second["access_token"] {
		t.Fatal("the token changed")
	}
	if d := first["expires_in"].(float64) - second["expires_in"].(float64); d < 599 || d > 660 {
		t.Errorf("ten minutes later expires_in is only %v less", d)
	}
}

func TestTokenIsFoundByAddressAndByID(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	conn := k.Adopt("Café-100%@home+?..", "k-series")
	for _, ref := range []string{"Caf%C3%A9-100%25@home+%3F..@k-series", "Caf%c3%a9-100%25%40home%2B%3F..%40k-series", conn.ID} {
		expect(t, k.Do(admin, "GET", "/v1/connections/"+ref+"/token", ""), 200)
	}
	k.Adopt("..", "k-series")
	expect(t, k.Do(admin, "GET", "/v1/connections/..@k-series/token", ""), 200)
}

func TestTokenProblems(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_42", "k-series")
	expect(t, k.Do(admin, "POST", "/v1/connections", `{"ref":"new@k-series"}`), 201)
	tokens := k.Key([]access.Scope{access.Tokens}, nil, nil)
	both := k.Key([]access.Scope{access.Tokens, access.Links}, nil, nil)
	events := k.Key([]access.Scope{access.Events}, nil, nil)
	for _, c := range []struct {
		name, key, target string
		status            int
		code, field       string
	}{
		{"no key", "", tokenPath, 401, "unauthorized", ""},
		{"a wrong key", "evg_wrong", tokenPath, 401, "unauthorized", ""},
		{"a key without the scope", events, tokenPath, 403, "forbidden", ""},
		{"an absent connection", tokens, "/v1/connections/none@k-series/token", 404, "not_found", ""},
		{"an absent id", tokens, "/v1/connections/conn_01/token", 404, "not_found", ""},
		{"an absent app", tokens, "/v1/connections/biz_42@none/token", 404, "not_found", ""},
		{"a ref that is none", tokens, "/v1/connections/biz_42/token", 400, "invalid_request", "ref"},
		{"a min_valid that is none", tokens, tokenPath + "?min_valid=soon", 400, "invalid_request", "min_valid"},
		{"a negative min_valid", tokens, tokenPath + "?min_valid=-5s", 400, "invalid_request", "min_valid"},
		{"a min_valid longer than tokens live", tokens, tokenPath + "?min_valid=2h", 400, "invalid_request", ""},
		{"a misspelt parameter", tokens, tokenPath + "?min_vaild=5m", 400, "invalid_request", "min_vaild"},
		{"a parameter given twice", tokens, tokenPath + "?location=1&location=2", 400, "invalid_request", "location"},
		{"a connection without a grant", tokens, "/v1/connections/new@k-series/token", 409, "never_connected", ""},
		{"a location nobody reaches", tokens, tokenPath + "?location=310", 409, "location_not_covered", ""},
		{"a connection without a grant, for a key that may make links", both, "/v1/connections/new@k-series/token", 409, "never_connected", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := k.Do(c.key, "GET", c.target, "")
			p := expectProblem(t, a, c.status, c.code)
			if c.field != "" && !strings.Contains(a.Body, `"field":"`+c.field+`"`) {
				t.Errorf("no error names the field %s: %s", c.field, a.Body)
			}
			if c.status == 401 && a.Header.Get("WWW-Authenticate") == "" {
				t.Error("a 401 without WWW-Authenticate")
			}
			if c.status == 409 && p["connection"] == nil {
				t.Error("the connection is not named")
			}
			_, told := p["reauthorize_url"]
			if want := c.key == both; told != want {
				t.Errorf("reauthorize_url told: %v, want %v", told, want)
			}
			if c.code == "location_not_covered" && !cmp.Equal(p["locations"], []any{"310"}) {
				t.Errorf("locations %v", p["locations"])
			}
		})
	}
}

func TestReauthorizeLinkIsMadeOnceWhileItIsGood(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	expect(t, k.Do(admin, "POST", "/v1/connections", `{"ref":"new@k-series"}`), 201)
	url := func() string {
		p := expectProblem(t, k.Do(admin, "GET", "/v1/connections/new@k-series/token", ""), 409, "never_connected")
		return p["reauthorize_url"].(string)
	}
	first := url()
	if second := url(); second != first {
		t.Error("a second link was made within the hour")
	}
	link := data(t, k.Do(admin, "GET", "/v1/links", ""))[0]["id"].(string)
	expect(t, k.Do(admin, "POST", "/v1/links/"+link+"/revoke", ""), 200)
	revoked := url()
	if revoked == first {
		t.Error("a revoked link is told")
	}
	k.Advance(61 * time.Minute)
	if url() == revoked {
		t.Error("the link is told for more than an hour")
	}
}

func TestTokenOfALocation(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	conn := k.Adopt("biz_42", "k-series")
	grants, err := k.Manager.Grants(t.Context(), grant.Ref{ID: conn.ID})
	if err != nil {
		t.Fatal(err)
	}
	err = k.Store.SetLocations(t.Context(), grants[0].ID, []grant.Location{{GrantID: grants[0].ID, ID: "310", Name: "Quay Bar", SeenAt: k.Now()}})
	if err != nil {
		t.Fatal(err)
	}
	got := expect(t, k.Do(admin, "GET", tokenPath+"?location=310&min_valid=1m", ""), 200)
	if diff := cmp.Diff([]any{"310"}, got["locations"]); diff != "" {
		t.Error(diff)
	}
}

func TestReject(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_42", "k-series")
	reject := func(fp string) map[string]any {
		return expect(t, k.Do(admin, "POST", tokenPath+"/reject", `{"fingerprint":"`+fp+`"}`), 200)
	}
	first := expect(t, k.Do(admin, "GET", tokenPath, ""), 200)
	second := reject(first["fingerprint"].(string))
	if second["access_token"] == first["access_token"] {
		t.Fatal("the rejected token was not refreshed")
	}
	if again := reject(first["fingerprint"].(string)); again["access_token"] != second["access_token"] {
		t.Error("rejecting an old token refreshed again")
	}
	third := reject(second["fingerprint"].(string))
	if diff := cmp.Diff([]any{"rejected_recently"}, third["warnings"]); diff != "" {
		t.Error(diff)
	}
	expectProblem(t, k.Do(admin, "POST", tokenPath+"/reject", `{}`), 400, "invalid_request")
	// An Idempotency-Key must not bring back an old token.
	key := "Idempotency-Key: once"
	a := k.Do(admin, "POST", tokenPath+"/reject", `{"fingerprint":"x"}`, key)
	b := k.Do(admin, "POST", tokenPath+"/reject", `{"fingerprint":"x"}`, key)
	if a.Status != 200 || b.Status != 200 || b.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%d, then %d, replayed %q", a.Status, b.Status, b.Header.Get("Idempotent-Replayed"))
	}
}
