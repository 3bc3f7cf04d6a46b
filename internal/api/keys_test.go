package api_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api"
	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/store"
)

func TestKeysAreMadeUsedAndRevoked(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_42", "k-series")
	made := expect(t, k.Do(admin, "POST", "/v1/keys", `{"name":"app","scopes":["tokens"],"apps":["k-series"],"businesses":["biz_42"]}`), 201)
	secret, id := made["key"].(string), made["id"].(string)
	expect(t, k.Do(secret, "GET", tokenPath, ""), 200)

	listed := data(t, k.Do(admin, "GET", "/v1/keys", ""))
	if got := column(listed, "name"); got != "admin app" {
		t.Fatalf("keys %q", got)
	}
	if listed[1]["key"] != nil || listed[1]["last_used_at"] == nil {
		t.Errorf("%v", listed[1])
	}
	if diff := cmp.Diff([]any{"biz_42"}, listed[1]["businesses"]); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		if a := k.Do(admin, "DELETE", "/v1/keys/"+id, ""); a.Status != 204 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	expectProblem(t, k.Do(secret, "GET", tokenPath, ""), 401, "unauthorized")
}

func TestAKeyEndsWhenItSaysSo(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	ends := k.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	made := expect(t, k.Do(admin, "POST", "/v1/keys", `{"name":"brief","scopes":["tokens"],"expires_at":"`+ends+`"}`), 201)
	expect(t, k.Do(made["key"].(string), "GET", "/v1/whoami", ""), 200)
	k.Advance(time.Hour)
	expectProblem(t, k.Do(made["key"].(string), "GET", "/v1/whoami", ""), 401, "unauthorized")
}

func TestALimitedAdminMakesOnlyLimitedKeys(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	limited := k.Key([]access.Scope{access.Admin}, []string{"k-series"}, []string{"biz_1", "biz_2"})
	made := expect(t, k.Do(limited, "POST", "/v1/keys", `{"name":"x","scopes":["admin"],"businesses":["biz_1"]}`), 201)
	if diff := cmp.Diff([]any{"k-series"}, made["apps"]); diff != "" {
		t.Errorf("the limit to apps was not inherited: %s", diff)
	}
	for _, body := range []string{
		`{"name":"x","scopes":["tokens"],"apps":["r-series"]}`,
		`{"name":"x","scopes":["tokens"],"businesses":["biz_3"]}`,
	} {
		expectProblem(t, k.Do(limited, "POST", "/v1/keys", body), 403, "forbidden")
	}
	expectProblem(t, k.Do(limited, "DELETE", "/v1/keys/key_admin", ""), 404, "not_found")
	if got := column(data(t, k.Do(made["key"].(string), "GET", "/v1/keys", "")), "name"); got != "x" {
		t.Errorf("a limited key sees the keys %q", got)
	}
}

func TestKeysOfOneProcessCountEverywhereAtOnce(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	private, c := k.Handler, k.Config
	c.TrustAll = true
	trusted, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // more often than unknown keys make the store be read
		made := expect(t, apitest.Serve(trusted, "", "POST", "/v1/keys", `{"name":"x","scopes":["events"]}`), 201)
		expect(t, apitest.Serve(private, made["key"].(string), "GET", "/v1/whoami", ""), 200)
		if a := apitest.Serve(trusted, "", "DELETE", "/v1/keys/"+made["id"].(string), ""); a.Status != 204 {
			t.Fatalf("%d", a.Status)
		}
		expectProblem(t, apitest.Serve(private, made["key"].(string), "GET", "/v1/whoami", ""), 401, "unauthorized")
	}
}

func TestKeysOfOthersAreSeenWithinSeconds(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	expect(t, k.Do(admin, "GET", "/v1/whoami", ""), 200)
	secret := access.NewSecret().Reveal()
	other := access.Key{ID: "key_other", Name: "other", Hash: access.Hash(secret), Scopes: []access.Scope{access.Events}, CreatedAt: k.Now()}
	if err := k.Store.CreateKey(t.Context(), other); err != nil { // behind the API's back
		t.Fatal(err)
	}
	who := expect(t, k.Do(secret, "GET", "/v1/whoami", ""), 200)
	if err := k.Store.RevokeKey(t.Context(), who["id"].(string), k.Now()); err != nil {
		t.Fatal(err)
	}
	k.Advance(5 * time.Second)
	expectProblem(t, k.Do(secret, "GET", "/v1/whoami", ""), 401, "unauthorized")
}

func TestKeysGoOnWorkingWhileTheStoreIsDown(t *testing.T) {
	broken := &faulty{}
	k := apitest.New(t, apitest.Options{Wrap: func(s store.Store) store.Store { broken.Store = s; return broken }})
	secret := k.Key([]access.Scope{access.Events}, nil, nil)
	expect(t, k.Do(secret, "GET", "/v1/whoami", ""), 200)
	broken.down.Store(true)
	for range 3 {
		k.Advance(time.Minute)
		expect(t, k.Do(secret, "GET", "/v1/whoami", ""), 200)
	}
}

func TestLastUsesAreWrittenOnceAMinute(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	secret := k.Key([]access.Scope{access.Events}, nil, nil)
	stored := func() time.Time {
		keys, err := k.Store.ListKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return keys[0].LastUsedAt
	}
	expect(t, k.Do(secret, "GET", "/v1/whoami", ""), 200)
	if !stored().IsZero() {
		t.Error("written within the first minute")
	}
	k.Advance(61 * time.Second)
	expect(t, k.Do(secret, "GET", "/v1/whoami", ""), 200)
	if age := k.Now().Sub(stored()); age < 0 || age > 5*time.Second {
		t.Errorf("the last use is written as %s ago", age)
	}
}

func TestShortListsHavePagesToo(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	for range 3 {
		k.Key([]access.Scope{access.Events}, nil, nil)
	}
	all := column(data(t, k.Do(admin, "GET", "/v1/keys", "")), "id")
	first := k.Do(admin, "GET", "/v1/keys?limit=3", "")
	next := first.JSON(t)["next_cursor"].(string)
	last := k.Do(admin, "GET", "/v1/keys?limit=3&cursor="+next, "")
	if got := column(data(t, first), "id") + " " + column(data(t, last), "id"); got != all || last.JSON(t)["next_cursor"] != nil {
		t.Errorf("pages %q, all %q", got, all)
	}
	expectProblem(t, k.Do(admin, "GET", "/v1/keys?cursor=key_none", ""), 400, "invalid_request")
	expect(t, k.Do(admin, "GET", "/v1/apps?limit=1", ""), 200)
}
