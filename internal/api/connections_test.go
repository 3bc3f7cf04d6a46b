package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/grant"
)

func TestConnectionsAreMadeShownChangedAndDeleted(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	made := k.Do(admin, "POST", "/v1/connections", `{"ref":"biz_1@k-series","name":"Quay <Bar> & Co","tags":{"region":"eu"},"required_locations":["1","2"]}`)
	got := expect(t, made, 201)
	id := got["id"].(string)
	if made.Header.Get("Location") != "/v1/connections/"+id {
		t.Errorf("Location %q", made.Header.Get("Location"))
	}
	if !strings.Contains(made.Body, "Quay <Bar> & Co") {
		t.Errorf("the name is escaped: %s", made.Body)
	}
	for member, want := range map[string]any{
		"ref": "biz_1@k-series", "key": "biz_1", "app": "k-series", "state": "pending", "reason": "never_connected", "act_by": "merchant",
		"tags": map[string]any{"region": "eu"}, "required_locations": []any{"1", "2"}, "flags": []any{}, "next_try_at": nil,
	} {
		if diff := cmp.Diff(want, got[member]); diff != "" {
			t.Errorf("%s: %s", member, diff)
		}
	}
	again := expect(t, k.Do(admin, "POST", "/v1/connections", `{"ref":"biz_1@k-series"}`), 200)
	if again["id"] != id {
		t.Error("the same address became another connection")
	}

	const one = "/v1/connections/biz_1@k-series"
	patch := func(body, member string, want any) {
		t.Helper()
		if diff := cmp.Diff(want, expect(t, k.Do(admin, "PATCH", one, body), 200)[member]); diff != "" {
			t.Errorf("after %s, %s: %s", body, member, diff)
		}
	}
	patch(`{}`, "name", "Quay <Bar> & Co")
	patch(`{"name":"Quay"}`, "name", "Quay")
	patch(`{"name":"Quay"}`, "required_locations", []any{"1", "2"})
	patch(`{"required_locations":null}`, "required_locations", nil)
	patch(`{"tags":{"vip":"yes"}}`, "tags", map[string]any{"vip": "yes"})
	patch(`{"tags":null}`, "tags", map[string]any{})

	if a := k.Do(admin, "DELETE", one, ""); a.Status != 204 || a.Body != "" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	expectProblem(t, k.Do(admin, "GET", one, ""), 404, "not_found")
	expectProblem(t, k.Do(admin, "DELETE", one, ""), 404, "not_found")
	events := data(t, k.Do(admin, "GET", "/v1/events?ref="+id, ""))
	if !strings.Contains(column(events, "type"), "connection.deleted") {
		t.Errorf("the events of a deleted connection are gone: %v", events)
	}
}

func TestAdoptedTokensWorkAndAreNeverShownAgain(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	at, rt := k.Oracle.Issue("biz_1")
	deadline := k.Now().Add(20 * 24 * time.Hour).UTC().Format(time.RFC3339)
	body := fmt.Sprintf(`{"ref":"biz_1@k-series","tokens":{"access_token":%q,"refresh_token":%q,"token_type":"Bearer","scope":"a b",
		"expires_in":3600,"refresh_expires_at":%q}}`, at, rt, deadline)
	a := k.Do(admin, "POST", "/v1/connections", body)
	got := expect(t, a, 201)
	if got["state"] != "connected" || got["deadline"] != deadline || got["refreshed_at"] == nil {
		t.Errorf("%s", a.Body)
	}
	grants := data(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series/grants", ""))
	if len(grants) != 1 || grants[0]["scope"] != "a b" || grants[0]["epoch"] != 1.0 {
		t.Fatalf("grants %v", grants)
	}
	id := grants[0]["id"].(string)
	one := expect(t, k.Do(admin, "GET", "/v1/grants/"+id, ""), 200)
	if diff := cmp.Diff(grants[0], one); diff != "" {
		t.Error(diff)
	}
	expectProblem(t, k.Do(admin, "GET", "/v1/grants/grant_none", ""), 404, "not_found")
	if tok := expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series/token", ""), 200); tok["access_token"] != at {
		t.Error("another token than the adopted one")
	}
	for _, path := range []string{"/v1/connections", "/v1/connections/biz_1@k-series", "/v1/connections/biz_1@k-series/grants", "/v1/grants/" + id,
		"/v1/events", "/v1/connections/biz_1@k-series/events", "/v1/connections/biz_1@k-series/locations", "/v1/apps", "/v1/keys", "/metrics", "/readyz?verbose"} {
		if a := k.Do(admin, "GET", path, ""); strings.Contains(a.Body, at) || strings.Contains(a.Body, rt) {
			t.Errorf("%s shows a token", path)
		}
	}
}

func TestRefreshSaysWhatBecameOfEachGrant(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_1", "k-series")
	refresh := func() map[string]any {
		t.Helper()
		a := expect(t, k.Do(admin, "POST", "/v1/connections/biz_1@k-series/refresh", ""), 200)
		return a["grants"].([]any)[0].(map[string]any)
	}
	first := refresh()
	if first["refreshed"] != true || first["reason"] != "ok" || first["retry_after"] != nil {
		t.Errorf("first: %v", first)
	}
	second := refresh()
	if wait, _ := second["retry_after"].(float64); second["refreshed"] != false || wait < 1 || wait > 30 {
		t.Errorf("within the interval: %v", second)
	}
	expect(t, k.Do(admin, "POST", "/v1/connections", `{"ref":"new@k-series"}`), 201)
	expectProblem(t, k.Do(admin, "POST", "/v1/connections/new@k-series/refresh", ""), 409, "never_connected")
}

func TestDisconnectKeepsTheHistory(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_1", "k-series")
	got := expect(t, k.Do(admin, "POST", "/v1/connections/biz_1@k-series/disconnect", ""), 200)
	if got["state"] != "disconnected" || got["reason"] != "disconnected_by_us" {
		t.Errorf("%v", got)
	}
	p := expectProblem(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series/token", ""), 409, "needs_reauthorization")
	if p["reauthorize_url"] == nil || p["act_by"] != "merchant" {
		t.Errorf("%v", p)
	}
	types := column(data(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series/events", "")), "type")
	if !strings.Contains(types, "connection.disconnected") {
		t.Errorf("events %s", types)
	}
}

func TestConnectionsAreListedByFilterAndPage(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	for i := range 5 {
		k.Advance(time.Millisecond) // ids sort by the millisecond
		expect(t, k.Do(admin, "POST", "/v1/connections", fmt.Sprintf(`{"ref":"biz_%d@k-series","name":"Café %d","tags":{"n":"%d","all":"yes"}}`, i, i, i)), 201)
	}
	k.Advance(time.Millisecond)
	k.Adopt("live", "r-series")
	for query, want := range map[string]string{
		"":                                "biz_0 biz_1 biz_2 biz_3 biz_4 live",
		"app=r-series":                    "live",
		"app=none":                        "",
		"state=connected":                 "live",
		"state=connected,pending":         "biz_0 biz_1 biz_2 biz_3 biz_4 live",
		"state=connected&state=degraded":  "live",
		"act_by=merchant":                 "biz_0 biz_1 biz_2 biz_3 biz_4",
		"q=BIZ_3":                         "biz_3",
		"q=caf":                           "biz_0 biz_1 biz_2 biz_3 biz_4",
		"tag.n=2":                         "biz_2",
		"tag.n=2&tag.all=yes":             "biz_2",
		"tag.n=2&tag.all=no":              "",
		"deadline_before=" + farAway():    "",
		"limit=1000&app=r-series&q=&tag.": "?",
	} {
		a := k.Do(admin, "GET", "/v1/connections?"+query, "")
		if want == "?" {
			expectProblem(t, a, 400, "invalid_request")
			continue
		}
		if got := column(data(t, a), "key"); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	var keys []string
	target := "/v1/connections?limit=2&tag.all=yes"
	for target != "" {
		a := k.Do(admin, "GET", target, "")
		for _, c := range data(t, a) {
			keys = append(keys, c["key"].(string))
		}
		next, _ := a.JSON(t)["next_cursor"].(string)
		link := a.Header.Get("Link")
		if (next == "") != (link == "") {
			t.Fatalf("next_cursor %q, Link %q", next, link)
		}
		target = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
	}
	if want := []string{"biz_0", "biz_1", "biz_2", "biz_3", "biz_4"}; !slices.Equal(keys, want) {
		t.Errorf("pages hold %v", keys)
	}
}

func farAway() string {
	return time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)
}

func TestCoverageOfAConnection(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	conn := k.Adopt("biz_1", "k-series")
	empty := expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series/locations", ""), 200)
	want := map[string]any{"locations": []any{}, "uncovered": []any{}, "single_grant": []any{}, "minimal_grants": []any{}, "as_of": nil}
	if diff := cmp.Diff(want, empty); diff != "" {
		t.Error(diff)
	}
	grants, err := k.Manager.Grants(t.Context(), grant.Ref{ID: conn.ID})
	if err != nil {
		t.Fatal(err)
	}
	seen := k.Now().UTC().Truncate(time.Second)
	err = k.Store.SetLocations(t.Context(), grants[0].ID, []grant.Location{
		{GrantID: grants[0].ID, ID: "310", Name: "Quay Bar", BusinessID: "31", BusinessName: "Harbour", SeenAt: seen},
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, k.Do(admin, "PATCH", "/v1/connections/biz_1@k-series", `{"required_locations":["310","999"]}`), 200)
	for _, a := range []apitest.Answer{
		k.Do(admin, "GET", "/v1/connections/biz_1@k-series/locations", ""),
		k.Do(admin, "POST", "/v1/connections/biz_1@k-series/locations/refresh", ""),
	} {
		g := []any{grants[0].ID}
		want := map[string]any{
			"locations": []any{
				map[string]any{"id": "310", "name": "Quay Bar", "business_id": "31", "business_name": "Harbour", "required": true, "grants": g},
				map[string]any{"id": "999", "name": "", "business_id": "", "business_name": "", "required": true, "grants": []any{}},
			},
			"uncovered": []any{"999"}, "single_grant": []any{"310"}, "minimal_grants": g, "as_of": seen.Format(time.RFC3339),
		}
		if diff := cmp.Diff(want, expect(t, a, 200)); diff != "" {
			t.Error(diff)
		}
	}
	p := expectProblem(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series/token?location=5", ""), 409, "location_not_covered")
	if diff := cmp.Diff([]any{"5", "999"}, p["locations"]); diff != "" {
		t.Error(diff)
	}

	// What is missing shows wherever the connection does, and goes with the need.
	flags := func(want ...any) {
		t.Helper()
		one := expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series", ""), 200)
		list := expect(t, k.Do(admin, "GET", "/v1/connections", ""), 200)["data"].([]any)
		for _, c := range append(list, one) {
			if diff := cmp.Diff(append([]any{}, want...), c.(map[string]any)["flags"]); diff != "" {
				t.Error(diff)
			}
		}
	}
	flags("locations_missing")
	expect(t, k.Do(admin, "PATCH", "/v1/connections/biz_1@k-series", `{"required_locations":["310"]}`), 200)
	flags()
}
