package api_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api/apitest"
)

// delivered is a request that came to a webhook.
type delivered struct {
	header http.Header
	body   string
}

// hook is a receiver of events.
func hook(t *testing.T) (url string, got <-chan delivered) {
	t.Helper()
	ch := make(chan delivered, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		ch <- delivered{r.Header, string(body)}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/hooks", ch
}

// signed reports whether a request is signed with a secret, as the specification
// of Standard Webhooks tells a receiver to find out.
func (d delivered) signed(whsec string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(whsec, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", d.header.Get("webhook-id"), d.header.Get("webhook-timestamp"), d.body)
	return d.header.Get("webhook-signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestAWebhookIsSentWhatTheLogSays(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	url, got := hook(t)
	made := expect(t, k.Do(admin, "POST", "/v1/webhooks", `{"url":"`+url+`","name":"app","types":["connection.*"]}`), 201)
	whsec, _ := made["signing_secret"].(string)
	if !strings.HasPrefix(whsec, "whsec_") || made["state"] != "enabled" || made["source"] != "store" {
		t.Fatalf("made %v", made)
	}
	k.Adopt("biz_1", "k-series")
	d := <-got
	if !d.signed(whsec) {
		t.Errorf("the signature %s does not verify", d.header.Get("webhook-signature"))
	}
	log := expect(t, k.Do(admin, "GET", "/v1/events?type=connection.*", ""), 200)
	var sent map[string]any
	if err := json.Unmarshal([]byte(d.body), &sent); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(log["data"].([]any)[0], any(sent)); diff != "" {
		t.Errorf("what the log says and what was sent (-log +sent):\n%s", diff)
	}
	if d.header.Get("webhook-id") != sent["id"] {
		t.Errorf("webhook-id %s of event %v", d.header.Get("webhook-id"), sent["id"])
	}

	k.Adopt("biz_2", "k-series")
	<-got // events go out in order, so the delivery of the first is on record now

	test := expect(t, k.Do(admin, "POST", "/v1/webhooks/app/test", ""), 200)
	if test["delivered"] != true || test["status"] != 200.0 || test["type"] != "webhook.test" {
		t.Errorf("the test came to %v", test)
	}
	if d := <-got; !d.signed(whsec) || !strings.Contains(d.body, `"webhook.test"`) {
		t.Errorf("the test sent %s", d.body)
	}
	list := k.Do(admin, "GET", "/v1/webhooks", "").Body
	if strings.Contains(list, "whsec_") || !strings.Contains(list, url) {
		t.Errorf("the list is %s", list)
	}
	deliveries := expect(t, k.Do(admin, "GET", fmt.Sprintf("/v1/webhooks/%s/deliveries?limit=1", made["id"]), ""), 200)
	if deliveries["next_cursor"] == nil || len(deliveries["data"].([]any)) != 1 {
		t.Errorf("a page of one delivery is %v", deliveries)
	}
	rotated := expect(t, k.Do(admin, "POST", "/v1/webhooks/app/rotate-secret", ""), 200)
	if s, _ := rotated["signing_secret"].(string); s == whsec || !strings.HasPrefix(s, "whsec_") {
		t.Error("rotating the secret brought none")
	}
	changed := expect(t, k.Do(admin, "PATCH", "/v1/webhooks/app", `{"enabled":false,"name":"new","types":["*"]}`), 200)
	if changed["state"] != "disabled" || changed["disabled_because"] != "operator" || changed["name"] != "new" || fmt.Sprint(changed["types"]) != "[*]" {
		t.Errorf("changed it is %v", changed)
	}
	expectProblem(t, k.Do(admin, "POST", "/v1/webhooks", `{"url":"`+url+`","name":"new"}`), 409, "conflict")
	expect(t, k.Do(admin, "DELETE", "/v1/webhooks/new", ""), 204)
	expectProblem(t, k.Do(admin, "GET", "/v1/webhooks/new", ""), 404, "not_found")
}

func TestWebhooksHearNoMoreThanTheKeyThatMadeThem(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	url, got := hook(t)
	limited := k.Key([]access.Scope{access.Admin}, []string{"k-series"}, []string{"biz_1"})
	reader := k.Key([]access.Scope{access.Events}, nil, nil)
	stranger := k.Key([]access.Scope{access.Events}, []string{"r-series"}, nil)
	body := `{"url":"` + url + `","name":"mine","types":["connection.connected"]%s}`
	expectProblem(t, k.Do(limited, "POST", "/v1/webhooks", fmt.Sprintf(body, `,"businesses":["biz_2"]`)), 403, "forbidden")
	expect(t, k.Do(limited, "POST", "/v1/webhooks", fmt.Sprintf(body, "")), 201)
	k.Adopt("biz_2", "k-series")
	k.Adopt("biz_1", "r-series")
	k.Adopt("biz_1", "k-series")
	if d := <-got; !strings.Contains(d.body, `"biz_1@k-series"`) {
		t.Errorf("it heard of %s", d.body)
	}
	expect(t, k.Do(reader, "GET", "/v1/webhooks/mine", ""), 200)
	expectProblem(t, k.Do(reader, "POST", "/v1/webhooks/mine/test", ""), 403, "forbidden")
	expectProblem(t, k.Do(stranger, "GET", "/v1/webhooks/mine", ""), 404, "not_found")
	expectProblem(t, k.Do(k.Key([]access.Scope{access.Links}, nil, nil), "GET", "/v1/webhooks", ""), 403, "forbidden")
}

func TestRunwayNamesWhoIsLostFirst(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	for i, life := range []time.Duration{120 * time.Hour, 48 * time.Hour} {
		access, refresh := k.Oracle.Issue(fmt.Sprint("biz_", i))
		expect(t, k.Do(admin, "POST", "/v1/connections", fmt.Sprintf(
			`{"ref":"biz_%d@k-series","tokens":{"access_token":%q,"refresh_token":%q,"expires_in":3600,"refresh_expires_at":%q}}`,
			i, access, refresh, k.Now().Add(life).UTC().Format(time.RFC3339))), 201)
	}
	all := expect(t, k.Do(admin, "GET", "/v1/runway", ""), 200)
	if first := all["first"].(map[string]any); first["ref"] != "biz_1@k-series" {
		t.Errorf("the first to be lost is %v", first)
	}
	if s := all["runway_seconds"].(float64); s < 47*3600 || s > 48*3600 {
		t.Errorf("the runway is %v s", s)
	}
	if n := len(all["apps"].([]any)); n != 2 {
		t.Errorf("there are %d apps", n)
	}
	if m := k.Do("", "GET", "/metrics", "").Body; !strings.Contains(m, `evergrant_runway_seconds{app="k-series"} 1`) {
		t.Error("the metric is missing")
	}
	other := k.Key([]access.Scope{access.Connections}, nil, []string{"biz_0"})
	mine := expect(t, k.Do(other, "GET", "/v1/runway?app=k-series", ""), 200)
	if first := mine["first"].(map[string]any); first["ref"] != "biz_0@k-series" || len(mine["apps"].([]any)) != 1 {
		t.Errorf("a limited key sees %v", mine)
	}
	c := expect(t, k.Do(admin, "GET", "/v1/connections/biz_1@k-series", ""), 200)
	if c["deadline_near"] != nil || c["deadline"] == nil {
		t.Errorf("the connection is %v", c)
	}
}
