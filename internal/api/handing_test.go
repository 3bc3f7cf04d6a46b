package api_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/proxy"
)

// TestWhatIsNotAKeysIsNotThereOnAnyWay: a token is handed out on four ways, and on
// each the same is absent, forbidden or out of reach.
func TestWhatIsNotAKeysIsNotThereOnAnyWay(t *testing.T) {
	k := apitest.New(t, apitest.Options{API: "http://127.0.0.1:1"})
	k.Adopt("mine", "k-series")
	others := k.Adopt("others", "k-series")
	limited := k.Key([]access.Scope{access.Tokens}, nil, []string{"mine"})
	scopeless := k.Key([]access.Scope{access.Connections}, nil, nil)
	for _, way := range []struct {
		prefix            string
		absent, scopeless int
	}{{"/proxy/", 404, 403}, {"/v1/forward-auth/", 403, 403}} {
		a := k.Do(limited, "GET", way.prefix+"nobody@k-series", "")
		for _, ref := range []string{"others@k-series", others.ID, "mine@r-series"} {
			b := k.Do(limited, "GET", way.prefix+ref, "")
			if b.Status != way.absent || withoutID(a) != withoutID(b) {
				t.Errorf("%s%s: %d %s, absent is %s", way.prefix, ref, b.Status, b.Body, a.Body)
			}
		}
		if a := k.Do(scopeless, "GET", way.prefix+"mine@k-series", ""); a.Status != way.scopeless {
			t.Errorf("%s without the scope: %d", way.prefix, a.Status)
		}
		if a := k.Do("", "GET", way.prefix+"mine@k-series", ""); a.Status != 401 || a.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s without a key: %d", way.prefix, a.Status)
		}
		for _, ref := range []string{"..", "biz", "%2e%2e", "a%2fb@k-series"} {
			if a := k.Do(limited, "GET", way.prefix+ref+"/x", ""); a.Status != 400 && a.Status != 403 {
				t.Errorf("%s%s: %d %s", way.prefix, ref, a.Status, a.Body)
			}
		}
	}
	a := ask(k, url.Values{"client_id": {"nobody@k-series"}, "client_secret": {limited}}, "")
	for _, ref := range []string{"others@k-series", others.ID} {
		if b := ask(k, url.Values{"client_id": {ref}, "client_secret": {limited}}, ""); b.Status != 401 || withoutID(a) != withoutID(b) {
			t.Errorf("%s: %d %s, absent is %s", ref, b.Status, b.Body, a.Body)
		}
	}
}

// ask sends a form to the token endpoint, with an Authorization header if one is
// given. The grant type is filled in.
func ask(k *apitest.Kit, form url.Values, authorization string) apitest.Answer {
	if form.Get("grant_type") == "" {
		form.Set("grant_type", "client_credentials")
	}
	header := []string{"Content-Type: application/x-www-form-urlencoded"}
	if authorization != "" {
		header = append(header, "Authorization: "+authorization)
	}
	return k.Do("", "POST", "/oauth/token", form.Encode(), header...)
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestTheTokenEndpointAnswersAsOAuthDoes(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	conn := k.Adopt("biz+42%@home", "k-series")
	want := expect(t, k.Do(admin, "GET", "/v1/connections/"+conn.ID+"/token", ""), 200)["access_token"]
	const ref = "biz+42%@home@k-series"
	for name, a := range map[string]apitest.Answer{
		"in the body":                 ask(k, url.Values{"client_id": {ref}, "client_secret": {admin}}, ""),
		"by id":                       ask(k, url.Values{"client_id": {conn.ID}, "client_secret": {admin}}, ""),
		"by Basic, encoded":           ask(k, url.Values{}, basic(url.QueryEscape(ref), url.QueryEscape(admin))),
		"by Basic, as it is":          ask(k, url.Values{}, basic(conn.ID, admin)),
		"by Basic, with an odd ref":   ask(k, url.Values{}, basic(ref, admin)),
		"by Basic, and named twice":   ask(k, url.Values{"client_id": {ref}}, basic(url.QueryEscape(ref), admin)),
		"with the key as a Bearer":    ask(k, url.Values{"client_id": {ref}}, "Bearer "+admin),
		"with a parameter of its own": ask(k, url.Values{"client_id": {ref}, "client_secret": {admin}, "audience": {"x"}, "min_valid": {"1m"}}, ""),
	} {
		got := expect(t, a, 200)
		if got["access_token"] != want || got["token_type"] != "Bearer" || got["expires_in"].(float64) < 3500 || got["base_url"] != "https://api.example" {
			t.Errorf("%s: %v", name, got["token_type"])
		}
		if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Pragma") != "no-cache" || got["refresh_token"] != nil {
			t.Errorf("%s: %v", name, a.Header)
		}
	}
}

func TestTheTokenEndpointFailsAsOAuthDoes(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz", "k-series")
	expect(t, k.Do(admin, "POST", "/v1/connections", `{"ref":"new@k-series"}`), 201)
	scopeless := k.Key([]access.Scope{access.Connections}, nil, nil)
	good := func(more ...string) url.Values {
		v := url.Values{"client_id": {"biz@k-series"}, "client_secret": {admin}}
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	form := "Content-Type: application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		a      apitest.Answer
		status int
		code   string
	}{
		"another grant":              {ask(k, good("grant_type", "refresh_token"), ""), 400, "unsupported_grant_type"},
		"no grant":                   {k.Do("", "POST", "/oauth/token", "client_id=biz@k-series", form), 400, "invalid_request"},
		"JSON":                       {k.Do("", "POST", "/oauth/token", `{}`, "Content-Type: application/json"), 400, "invalid_request"},
		"a parameter twice":          {k.Do("", "POST", "/oauth/token", "grant_type=client_credentials&grant_type=x", form), 400, "invalid_request"},
		"a secret in the URL":        {k.Do("", "POST", "/oauth/token?client_secret=x", "grant_type=client_credentials", form), 400, "invalid_request"},
		"a body too long":            {k.Do("", "POST", "/oauth/token", strings.Repeat("x", 65<<10), form), 400, "invalid_request"},
		"no client":                  {ask(k, url.Values{}, ""), 401, "invalid_client"},
		"a wrong key":                {ask(k, good("client_secret", "evg_wrong"), ""), 401, "invalid_client"},
		"a client that is none":      {ask(k, good("client_id", "biz"), ""), 401, "invalid_client"},
		"an Authorization of nobody": {ask(k, url.Values{}, "Digest x"), 401, "invalid_client"},
		"two ways":                   {ask(k, good(), basic("biz@k-series", admin)), 400, "invalid_request"},
		"two clients":                {ask(k, url.Values{"client_id": {"a@k-series"}}, basic("biz@k-series", admin)), 400, "invalid_request"},
		"a key without the scope":    {ask(k, good("client_secret", scopeless), ""), 400, "unauthorized_client"},
		"nobody authorized":          {ask(k, good("client_id", "new@k-series"), ""), 400, "invalid_grant"},
		"a location nobody reaches":  {ask(k, good("location", "3"), ""), 400, "invalid_grant"},
		"a min_valid that is none":   {ask(k, good("min_valid", "soon"), ""), 400, "invalid_request"},
	} {
		got := expect(t, c.a, c.status)
		if got["error"] != c.code || got["error_description"] == "" || got["request_id"] == "" {
			t.Errorf("%s: %s", name, c.a.Body)
		}
		if strings.ContainsFunc(got["error_description"].(string), func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
			t.Errorf("%s: RFC 6749 does not allow the description %s", name, got["error_description"])
		}
		if (c.status == 401) != (c.a.Header.Get("WWW-Authenticate") != "") || c.a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", name, c.a.Header)
		}
	}
	if u := expect(t, ask(k, good("client_id", "new@k-series"), ""), 400)["reauthorize_url"]; u == nil {
		t.Error("a key that may make links is told none")
	}
	expectProblem(t, k.Do("", "GET", "/oauth/token", ""), 405, "method_not_allowed")
	m := expect(t, k.Do("", "GET", "/.well-known/oauth-authorization-server", ""), 200)
	if m["issuer"] != "http://example.com" || m["token_endpoint"] != "http://example.com/oauth/token" {
		t.Errorf("%v", m)
	}
}

func TestForwardAuthTellsTheGateway(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz", "k-series")
	expect(t, k.Do(admin, "POST", "/v1/connections", `{"ref":"new@k-series"}`), 201)
	token := expect(t, k.Do(admin, "GET", "/v1/connections/biz@k-series/token", ""), 200)["access_token"].(string)
	const path = "/v1/forward-auth/biz@k-series"
	for _, c := range []struct {
		name, key, method, target, header string
		status                            int
	}{
		{"a GET", admin, "GET", path, "", 200},
		{"a HEAD", admin, "HEAD", path, "", 200},
		{"Envoy, with its client's path and query", admin, "DELETE", path + "/x//..%2f;?location=3", "", 200},
		{"Caddy, with its client's query", admin, "GET", path + "?z=1", "X-Forwarded-Uri: /x?z=1", 200},
		{"Caddy, with a client that names a location", admin, "GET", path + "?location=3", "X-Forwarded-Uri: /x?location=3", 403},
		{"Traefik, with the key in the address", "", "GET", path, "Authorization: " + basic("x", admin), 200},
		{"a time to be valid", admin, "GET", path + "?min_valid=1m", "", 200},
		{"a misspelt parameter", admin, "GET", path + "?min_vaild=1m", "", 403},
		{"a location nobody reaches", admin, "GET", path + "?location=3", "", 403},
		{"a business that has to authorize", admin, "GET", "/v1/forward-auth/new@k-series", "", 403},
		{"a connection that is not there", admin, "GET", "/v1/forward-auth/none@k-series", "", 403},
		{"a wrong key", "evg_wrong", "GET", path, "", 401},
		{"a wrong key in the address", "", "GET", path, "Authorization: " + basic("x", "evg_wrong"), 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			var header []string
			if c.header != "" {
				header = append(header, c.header)
			}
			a := k.Do(c.key, c.method, c.target, "", header...)
			if a.Status != c.status || strings.Contains(a.Body, "reauthorize_url") {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			want := ""
			if c.status == 200 {
				want = "Bearer " + token
			}
			if a.Header.Get("Authorization") != want || a.Header.Get("X-Upstream-Authorization") != want || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers of a %d", a.Status)
			}
		})
	}
}

// TestTheProxyIsPartOfTheAPI sends requests the whole way, with what the token
// endpoint and the API really do.
func TestTheProxyIsPartOfTheAPI(t *testing.T) {
	var log bytes.Buffer
	var k *apitest.Kit
	refuse := ""
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse != "" && r.Header.Get("Authorization") == "Bearer "+refuse {
			w.WriteHeader(401)
		}
	}))
	defer api.Close()
	k = apitest.New(t, apitest.Options{API: api.URL, Rules: map[string]proxy.Rules{"k-series": {Methods: []string{"GET"}}},
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	conn := k.Adopt("biz", "k-series")
	token := func() string {
		return expect(t, k.Do(admin, "GET", "/v1/connections/biz@k-series/token", ""), 200)["access_token"].(string)
	}
	refuse = token()
	a := k.Do(admin, "GET", "/proxy/"+conn.ID+"/findme", "")
	if a.Status != 200 || a.Header.Get("Evergrant-Retried") != "1" || token() == refuse {
		t.Errorf("%d %v", a.Status, a.Header)
	}
	expectProblem(t, k.Do(admin, "PUT", "/proxy/biz@k-series/x", "y"), 403, "forbidden")
	expectProblem(t, k.Do(admin, "TRACE", "/proxy/biz@k-series/x", ""), 405, "method_not_allowed")
	p := expectProblem(t, k.Do(admin, "GET", "/proxy/biz@k-series/a/%2e%2e/b", ""), 400, "invalid_request")
	if diff := cmp.Diff([]any{map[string]any{"field": "path", "message": "it must not contain a segment of dots"}}, p["errors"]); diff != "" {
		t.Error(diff)
	}
	expectProblem(t, k.Do(admin, "GET", "/proxy/biz@k-series/x?evergrant_location=3", ""), 409, "location_not_covered")
	api.Close()
	gone := expectProblem(t, k.Do(admin, "GET", "/proxy/biz@k-series/x", ""), 502, "temporarily_unavailable")
	if gone["act_by"] != "provider" {
		t.Errorf("%v", gone)
	}
	if strings.Contains(log.String(), "findme") || !strings.Contains(log.String(), "route=/proxy/{ref}/{path...}") {
		t.Error("the log tells the path, or not the route")
	}
}
