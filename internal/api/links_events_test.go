package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

func TestLinksAreMadeShownAndRevoked(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	made := k.Do(admin, "POST", "/v1/links", `{"ref":"biz_1@k-series","business_name":"Café Nord","return_url":"https://app.example/done?x=1&y=2",
		"ttl":"7d","locale":"nl","expect":{"business_id":"84412"},"landing":false}`)
	got := expect(t, made, 201)
	url, _ := got["url"].(string)
	message, _ := got["message"].(map[string]any)
	if !strings.HasPrefix(url, "https://connect.example/connect/") || got["purpose"] != "connect" || got["state"] != "created" ||
		got["ref"] != "biz_1@k-series" || got["landing"] != false || !strings.Contains(message["text"].(string), url) || got["short_code"] == "" {
		t.Errorf("%s", made.Body)
	}
	id := got["id"].(string)
	shown := k.Do(admin, "GET", "/v1/links/"+id, "")
	if one := expect(t, shown, 200); one["id"] != id || one["url"] != nil || one["message"] != nil || strings.Contains(shown.Body, strings.TrimPrefix(url, "https://connect.example/connect/")) {
		t.Errorf("the URL is told again: %s", shown.Body)
	}
	if c := expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series", ""), 200); c["state"] != "pending" {
		t.Errorf("the connection of a link is %v", c["state"])
	}
	k.Advance(time.Millisecond) // ids sort by the millisecond
	expect(t, k.Do(admin, "POST", "/v1/links", `{"ref":"biz_2@k-series"}`), 201)
	for query, want := range map[string]string{
		"": "biz_2@k-series biz_1@k-series", "?ref=biz_1@k-series": "biz_1@k-series", "?state=revoked": "", "?limit=1": "biz_2@k-series",
	} {
		if got := column(data(t, k.Do(admin, "GET", "/v1/links"+query, "")), "ref"); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for range 2 {
		if l := expect(t, k.Do(admin, "POST", "/v1/links/"+id+"/revoke", ""), 200); l["state"] != "revoked" {
			t.Errorf("%v", l["state"])
		}
	}
	if got := column(data(t, k.Do(admin, "GET", "/v1/links?state=revoked", "")), "id"); got != id {
		t.Errorf("revoked links: %q", got)
	}
}

func TestEventsAreListedInTheOrderOfTheLog(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_1", "k-series")
	k.Adopt("biz_2", "k-series")
	all := data(t, k.Do(admin, "GET", "/v1/events", ""))
	if len(all) < 4 {
		t.Fatalf("%d events", len(all))
	}
	for i, e := range all {
		for _, member := range []string{"id", "type", "time", "connection", "ref", "grant", "app", "reason", "act_by", "data"} {
			if _, ok := e[member]; !ok {
				t.Errorf("event %d has no %s", i, member)
			}
		}
		if i > 0 && e["id"].(string) <= all[i-1]["id"].(string) {
			t.Errorf("event %d is not after the one before", i)
		}
	}
	after := data(t, k.Do(admin, "GET", "/v1/events?after="+all[1]["id"].(string), ""))
	if diff := cmp.Diff(all[2:], after); diff != "" {
		t.Error(diff)
	}
	newest := data(t, k.Do(admin, "GET", "/v1/events?order=desc&limit=1", ""))
	if diff := cmp.Diff(all[len(all)-1:], newest); diff != "" {
		t.Error(diff)
	}
	for query, want := range map[string]string{
		"type=grant.*&ref=biz_2@k-series":                "grant.issued",
		"type=grant.issued,connection.connected&limit=2": "grant.issued connection.connected",
		"type=grant.issued&type=connection.deleted":      "grant.issued grant.issued",
		"type=link.*": "",
	} {
		got := column(data(t, k.Do(admin, "GET", "/v1/events?"+query, "")), "type")
		if sorted(got) != sorted(want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	one := column(data(t, k.Do(admin, "GET", "/v1/connections/biz_2@k-series/events", "")), "ref")
	if strings.Contains(one, "biz_1") || !strings.Contains(one, "biz_2@k-series") {
		t.Errorf("events of biz_2 are about %q", one)
	}
}

func TestALongPollAnswersWhenSomethingHappens(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_1", "k-series")
	all := data(t, k.Do(admin, "GET", "/v1/events", ""))
	last := all[len(all)-1]["id"].(string)
	answer := make(chan apitest.Answer)
	go func() { answer <- k.Do(admin, "GET", "/v1/events?wait=60s&after="+last, "") }()
	expect(t, k.Do(admin, "POST", "/v1/links", `{"ref":"biz_1@k-series"}`), 201)
	if got := column(data(t, <-answer), "type"); got != "link.created" {
		t.Errorf("the poll answered %q", got)
	}
	idle := k.Do(admin, "GET", "/v1/events?wait=1ms&type=none.*", "")
	if got := data(t, idle); len(got) != 0 || idle.JSON(t)["next_cursor"] != nil {
		t.Errorf("%s", idle.Body)
	}
}

func TestAppsAreShown(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	a := k.Do(admin, "GET", "/v1/apps", "")
	if got := column(data(t, a), "name"); got != "k-series r-series" {
		t.Errorf("apps %q", got)
	}
	if strings.Contains(a.Body, "s3cret") {
		t.Error("a client secret is shown")
	}
	one := expect(t, k.Do(admin, "GET", "/v1/apps/k-series", ""), 200)
	if one["credentials_ok"] != true || one["reason"] != "ok" || one["redirect_uri"] != "https://connect.example/oauth/callback/k-series" {
		t.Errorf("%v", one)
	}
}
