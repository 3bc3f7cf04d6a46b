package api_test

import (
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api/apitest"
)

// resources makes one of everything that can be shown, and returns their paths.
func resources(t *testing.T, k *apitest.Kit) []string {
	t.Helper()
	conn := k.Adopt("biz_1", "k-series")
	one := "/v1/connections/" + conn.ID
	grants := data(t, k.Do(admin, "GET", one+"/grants", ""))
	link := expect(t, k.Do(admin, "POST", "/v1/links", `{"ref":"biz_1@k-series"}`), 201)["id"].(string)
	hook := expect(t, k.Do(admin, "POST", "/v1/webhooks", `{"url":"https://app.example/","types":["app.*"]}`), 201)["id"].(string)
	return []string{one, one + "/token", one + "/locations", "/v1/grants/" + grants[0]["id"].(string), "/v1/links/" + link,
		"/v1/webhooks/" + hook, "/v1/apps/k-series"}
}

func TestAnAnswerThatTheCallerHasIsNotSentAgain(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	for _, path := range append(resources(t, k), "/v1/connections", "/v1/meta", "/v1/openapi.json", "/docs") {
		first := k.Do(admin, "GET", path, "")
		tag := first.Header.Get("ETag")
		if weak := strings.HasPrefix(tag, "W/"); first.Status != 200 || tag == "" || weak != strings.HasSuffix(path, "/token") {
			t.Fatalf("%s: %d, ETag %q", path, first.Status, tag)
		}
		for header, want := range map[string]int{
			"If-None-Match: " + tag: 304, "If-None-Match: *": 304, `If-None-Match: "a,b", ` + tag: 304,
			"If-None-Match: " + strings.TrimPrefix(tag, "W/"): 304, "If-None-Match: W/" + strings.TrimPrefix(tag, "W/"): 304, `If-None-Match: W/"x"`: 200, "If-None-Match: ": 200,
		} {
			a := k.Do(admin, "GET", path, "", header)
			if a.Status != want || (want == 304) != (a.Body == "") || a.Header.Get("ETag") != tag {
				t.Errorf("%s with %s: %d, ETag %s, %d bytes", path, header, a.Status, a.Header.Get("ETag"), len(a.Body))
			}
			if want == 304 && (a.Header.Get("Content-Type") != "" || a.Header.Get("Cache-Control") == "") {
				t.Errorf("%s: %v", path, a.Header)
			}
		}
	}
}

func TestATagIsNoWayAroundAKey(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	limited := k.Key([]access.Scope{access.Admin}, []string{"r-series"}, nil)
	for _, path := range resources(t, k) {
		if a := k.Do("", "GET", path, "", "If-None-Match: *"); a.Status != 401 || a.Header.Get("ETag") != "" {
			t.Errorf("%s without a key: %d", path, a.Status)
		}
		if a := k.Do(limited, "GET", path, "", "If-None-Match: *"); a.Status != 404 || a.Header.Get("ETag") != "" {
			t.Errorf("%s out of reach: %d", path, a.Status)
		}
	}
}

func TestATokensTagChangesWithTheTokenOnly(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_1", "k-series")
	const path = "/v1/connections/biz_1@k-series/token"
	first := k.Do(admin, "GET", path, "")
	expect(t, k.Do(admin, "PATCH", "/v1/connections/biz_1@k-series", `{"name":"Quay Bar"}`), 200)
	if again := k.Do(admin, "GET", path, ""); again.Header.Get("ETag") != first.Header.Get("ETag") {
		t.Error("it changes without a refresh")
	}
	token := first.JSON(t)
	if strings.Contains(first.Header.Get("ETag"), token["access_token"].(string)) {
		t.Error("it tells the token")
	}
	expect(t, k.Do(admin, "POST", path+"/reject", `{"fingerprint":"`+token["fingerprint"].(string)+`"}`), 200)
	next := k.Do(admin, "GET", path, "", "If-None-Match: "+first.Header.Get("ETag"))
	if next.Status != 200 || next.JSON(t)["fingerprint"] == token["fingerprint"] {
		t.Errorf("%d after a refresh", next.Status)
	}
}

func TestAGetWaitsForWhatTheCallerHasNot(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	for key, end := range map[string]string{"biz_1": "/token", "biz_2": ""} {
		k.Adopt(key, "k-series")
		conn := "/v1/connections/" + key + "@k-series"
		path := conn + end
		tag := "If-None-Match: " + k.Do(admin, "GET", path, "").Header.Get("ETag")
		if a := k.Do(admin, "GET", path+"?wait=20ms", "", tag); a.Status != 304 {
			t.Errorf("%s without news: %d", path, a.Status)
		}
		if a := k.Do(admin, "GET", path+"?wait=60s", ""); a.Status != 200 {
			t.Errorf("%s without a tag: %d", path, a.Status)
		}
		expectProblem(t, k.Do(admin, "GET", path+"?wait=61s", "", tag), 400, "invalid_request")
		waiting := make(chan apitest.Answer)
		go func() { waiting <- k.Do(admin, "GET", path+"?wait=60s", "", tag) }()
		expect(t, k.Do(admin, "POST", conn+"/refresh", ""), 200)
		if a := <-waiting; a.Status != 200 || "If-None-Match: "+a.Header.Get("ETag") == tag {
			t.Errorf("%s after a refresh: %d", path, a.Status)
		}
	}
	expectProblem(t, k.Do(admin, "GET", "/v1/meta?wait=1s", ""), 400, "invalid_request")
}

func TestAKeyThatIsRevokedWaitsForNothing(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_1", "k-series")
	made := expect(t, k.Do(admin, "POST", "/v1/keys", `{"name":"x","scopes":["tokens"]}`), 201)
	key := made["key"].(string)
	const path = "/v1/connections/biz_1@k-series/token"
	tag := "If-None-Match: " + k.Do(key, "GET", path, "").Header.Get("ETag")
	waiting := make(chan apitest.Answer)
	go func() { waiting <- k.Do(key, "GET", path+"?wait=60s", "", tag) }()
	k.Do(admin, "DELETE", "/v1/keys/"+made["id"].(string), "")
	expectProblem(t, <-waiting, 401, "unauthorized")
}

func TestLongAnswersAreCompressedAndTokensNever(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	for i := range 5 {
		k.Adopt(strings.Repeat("biz_", 25)+string(rune('a'+i)), "k-series")
	}
	k.Adopt("biz_1", "k-series")
	for _, c := range []struct {
		method, path, body, accepts string
		zipped                      bool
	}{
		{"GET", "/v1/connections", "", "gzip", true},
		{"GET", "/v1/connections", "", "br;q=1, GZIP; q=0.2", true},
		{"GET", "/v1/connections", "", "*", true},
		{"GET", "/v1/connections", "", "", false},
		{"GET", "/v1/connections", "", "identity", false},
		{"GET", "/v1/connections", "", "gzip;q=0, *", false},
		{"GET", "/v1/connections", "", "gzip;q=x", false},
		{"GET", "/v1/openapi.json", "", "gzip", true},
		{"GET", "/docs", "", "gzip", true},
		{"GET", "/v1/meta", "", "gzip", false},
		{"GET", "/v1/connections/biz_1@k-series/token", "", "gzip", false},
		{"POST", "/v1/connections/biz_1@k-series/refresh", "", "gzip", false},
		{"POST", "/v1/links", `{"ref":"biz_1@k-series","business_name":"` + strings.Repeat("x", 200) + `"}`, "gzip", false},
	} {
		plain := k.Do(admin, c.method, c.path, c.body)
		a := k.Do(admin, c.method, c.path, c.body, "Accept-Encoding: "+c.accepts)
		if zipped := a.Header.Get("Content-Encoding") == "gzip"; zipped != c.zipped {
			t.Errorf("%s %s for %q: compressed is %v", c.method, c.path, c.accepts, zipped)
			continue
		}
		if vary := a.Header.Get("Vary") == "Accept-Encoding"; vary != (c.method == "GET" && !strings.HasSuffix(c.path, "/token")) {
			t.Errorf("%s: Vary %q", c.path, a.Header.Get("Vary"))
		}
		if !c.zipped {
			continue
		}
		z, err := gzip.NewReader(strings.NewReader(a.Body))
		if err != nil {
			t.Fatal(err)
		}
		if whole, err := io.ReadAll(z); err != nil || string(whole) != plain.Body || len(a.Body) >= len(plain.Body) {
			t.Errorf("%s: %v, %d bytes of %d", c.path, err, len(a.Body), len(plain.Body))
		}
		tag, whole := a.Header.Get("ETag"), plain.Header.Get("ETag")
		if tag == whole {
			t.Errorf("%s: one tag for what differs", c.path)
		}
		for _, known := range []string{tag, whole} { // whichever the caller got first
			again := k.Do(admin, c.method, c.path, c.body, "Accept-Encoding: "+c.accepts, "If-None-Match: "+known)
			if again.Status != 304 || again.Header.Get("ETag") != tag {
				t.Errorf("%s with %s: %d, %s", c.path, known, again.Status, again.Header.Get("ETag"))
			}
		}
	}
}
