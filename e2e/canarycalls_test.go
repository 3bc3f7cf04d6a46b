package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/access"
)

// misplaced is a token that a caller sends where an address or a name belongs.
// The answer to that caller may name it; nobody else may ever see it.
const misplaced = "misplaced token"

// tape looks at every answer of the API that passes.
type tape struct{ c *canary }

// RoundTrip implements [http.RoundTripper].
func (t *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	but, inHeader := []string{misplaced}, []string{}
	switch ok := res.StatusCode < 300; {
	case ok && (strings.HasSuffix(r.URL.Path, "/token") || strings.HasSuffix(r.URL.Path, "/token/reject")):
		but = append(but, "access_token") // and nothing else, not even here
	case ok && r.URL.Path == "/oauth/token":
		but = append(but, "access_token")
	case ok && strings.HasPrefix(r.URL.Path, "/v1/forward-auth/"):
		inHeader = append(inHeader, "access_token")
	case ok && r.Method == http.MethodPost && r.URL.Path == "/v1/links":
		but = append(but, "link token")
	case ok && r.Method == http.MethodPost && r.URL.Path == "/v1/keys":
		but = append(but, "API key")
	}
	where := fmt.Sprintf("the answer to %s %s (%d)", r.Method, r.URL.Path, res.StatusCode)
	t.c.look(where, body, but...)
	t.c.look(where+", its header", fmt.Append(nil, res.Header), inHeader...)
	return res, nil
}

// call sends a request to the private listener as it is.
func (c *canary) call(method, target, key, body string, header ...string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.server.api+target, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.tape.RoundTrip(r)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = res.Body.Close()
}

// badRequests makes the mistakes callers make with secrets in their hands.
func (c *canary) badRequests() {
	c.t.Helper()
	key := c.server.key
	wrong, token, refresh, lost := c.fresh("API key"), c.fresh("access_token"), c.fresh("refresh_token"), c.fresh(misplaced)
	c.call("GET", "/v1/connections", wrong, "")
	c.call("GET", "/v1/whoami", "", "", "Authorization", wrong)
	c.call("GET", "/v1/whoami?api_key="+key, "", "")
	c.call("GET", "/v1/whoami?api_key="+key, key, "")
	c.call("GET", "/v1/connections/"+lost+"/token", key, "")
	c.call("GET", "/v1/connections/biz_1@k-series/token?min_valid="+token, key, "")
	c.call("GET", "/v1/"+lost, key, "")
	c.call("POST", "/v1/connections/biz_1@k-series/token/reject", key, `{"fingerprint":"`+token+`"}`)
	c.call("POST", "/v1/connections/biz_1@k-series/token/reject", key, `{"token":"`+token+`"}`)
	for _, body := range []string{
		`{"ref":"new@k-series","tokens":{"access_token":"ACCESS","refresh_token":"REFRESH","expires_in":"ACCESS"}}`,
		`{"ref":"new@k-series","tokens":{"access_token":"ACCESS","refresh_token":"REFRESH","expires_at":"ACCESS"}}`,
		`{"ref":"new@k-series","tokens":{"access":"ACCESS","refresh":"REFRESH"}}`,
		`{"ref":"new@k-series","tokens":"ACCESS"}`,
		`{"ref":"new@k-series","tokens":{"access_token":"ACCESS","refresh_token":"REFRESH"}`,
		`{"ref":"` + lost + `","` + lost + `":1}`,
		`ACCESS`,
		`{"ref":"new@k-series","tokens":{"access_token":"ACCESS\n","refresh_token":"REFRESH"}}`,
		`{"ref":"adopted@k-series","tokens":{"access_token":"ACCESS","refresh_token":"REFRESH","expires_in":3600}}`,
	} {
		body = strings.NewReplacer("ACCESS", token, "REFRESH", refresh).Replace(body)
		c.call("POST", "/v1/connections", key, body, "Idempotency-Key", "made-once")
	}
	c.call("POST", "/v1/connections/adopted@k-series/refresh", key, "") // the provider refuses the token
	c.call("POST", "/v1/links", key, `{"ref":"biz_1@k-series","return_url":"https://`+lost+`/"}`)
	made, err := c.server.CreateKey(c.t.Context(), client.NewKey{Name: "canary", Scopes: []string{"events"}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.seen.add("API key", made.Key)
	c.call("GET", "/v1/keys", made.Key, "")
	c.call("GET", "/v1/events", made.Key, "")
}

// beQuoted refreshes at a provider that repeats what it was sent.
func (c *canary) beQuoted() {
	c.t.Helper()
	for n := range len(spites()) {
		access, refresh := access.NewSecret().Reveal(), access.NewSecret().Reveal()
		c.seen.add("access_token", access)
		c.seen.add("refresh_token", refresh)
		_, err := c.server.CreateConnection(c.t.Context(), client.NewConnection{
			Ref: ref(n), Tokens: &client.Tokens{AccessToken: access, RefreshToken: refresh, ExpiresIn: 3600},
		})
		if err != nil {
			c.t.Fatal(err)
		}
		_, _ = c.server.Refresh(c.t.Context(), ref(n)) // what it says is looked at, not what it is
	}
}

// spites are answers that quote: status, content type, body.
func spites() [][3]string {
	return [][3]string{
		{"400", "application/json", `{"error":"invalid_request","error_description":"bad token QUOTE"}`},
		{"400", "application/json", `{"error":"QUOTE"}`},
		{"401", "application/json", `{"error":"oops","error_uri":"https://id.example/?QUOTE","message":"QUOTE"}`},
		{"500", "text/plain", `internal error while handling QUOTE`},
		{"200", "text/html", `<p>QUOTE</p>`},
		{"200", "application/json", `{"access_token":["QUOTE"],"expires_in":"QUOTE"}`},
		{"307", "text/plain", ``},
		{"200", "application/json", `{"access_token":"QUOTE","token_type":"QUOTE","expires_in":3600,"scope":"all"}`},
	}
}

// spiteful serves a token endpoint that answers with the spites in turn, and
// returns its URL.
func spiteful(t *testing.T) string {
	var n atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		_, secret, _ := r.BasicAuth()
		quote, all := r.PostForm.Get("refresh_token")+" "+secret, spites()
		s := all[int(n.Add(1)-1)%len(all)]
		w.Header().Set("Content-Type", s[1])
		w.Header().Set("X-Debug", quote)
		w.Header().Set("Location", "/elsewhere?"+url.QueryEscape(quote))
		status, _ := strconv.Atoi(s[0])
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.ReplaceAll(s[2], "QUOTE", quote))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// readEverything looks at every list and every page for operators.
func (c *canary) readEverything() {
	c.t.Helper()
	for _, target := range []string{
		"/v1/connections?limit=1000", "/v1/links?limit=1000", "/v1/events?limit=1000", "/v1/keys", "/v1/apps", "/v1/apps/k-series",
		"/v1/meta", "/v1/whoami", "/v1/openapi.json", "/metrics", "/livez", "/readyz?verbose", "/",
		"/v1/webhooks", "/v1/runway", "/docs", "/docs/style.css", "/.well-known/oauth-authorization-server",
	} {
		c.call("GET", target, c.server.key, "")
	}
	hooks, err := c.server.Webhooks(c.t.Context())
	if err != nil || len(hooks) == 0 {
		c.t.Fatalf("%d webhooks: %v", len(hooks), err)
	}
	for _, h := range hooks {
		c.call("GET", "/v1/webhooks/"+h.ID, c.server.key, "")
		c.call("GET", "/v1/webhooks/"+h.ID+"/deliveries", c.server.key, "")
	}
	for _, business := range []string{"biz_1", "adopted", "bad_json", "truncate", "revoke", "invalid_client"} {
		for _, target := range []string{"", "/grants", "/locations", "/events?limit=1000"} {
			c.call("GET", "/v1/connections/"+business+"@k-series"+target, c.server.key, "")
		}
	}
}

// commandLine runs the commands that could tell too much.
func (c *canary) commandLine(ref string) {
	c.t.Helper()
	env := []string{"EVERGRANT_SERVER=" + c.server.api, "EVERGRANT_API_KEY=" + c.server.key}
	wrong := access.NewSecret().Reveal()
	c.seen.add("API key", wrong)
	for _, args := range [][]string{
		{"token", ref}, {"token", "none@k-series"}, {"why", ref}, {"why", "revoke@k-series"}, {"connection", "list", "--json"},
		{"connection", "show", "bad_json@k-series"}, {"connection", "events", "revoke@k-series"}, {"connection", "refresh", "truncate@k-series"},
		{"link", "list"}, {"event", "list"}, {"event", "list", "--json"}, {"key", "list"},
	} {
		c.run(env, args...)
		c.run([]string{env[0], "EVERGRANT_API_KEY=" + wrong}, args...)
		c.run(append(env[1:], "EVERGRANT_SERVER=http://127.0.0.1:1"), args...)
	}
	for _, args := range [][]string{{"config", "validate"}, {"config", "show"}, {"serve"}} {
		c.run(nil, append(args, "--config", c.server.config)...)
	}
}

// badConfigurations starts servers whose configuration is wrong where a secret
// is, which is where an error is tempted to quote.
func (c *canary) badConfigurations() {
	c.t.Helper()
	whole, err := os.ReadFile(c.server.config)
	if err != nil {
		c.t.Fatal(err)
	}
	literal := access.NewSecret().Reveal()
	c.seen.add("client secret", literal)
	for was, now := range map[string]string{
		"{file: secrets/client-secret}": literal,
		"{file: secrets/api.key}":       literal,
		"secrets/master.key":            "secrets/api.key",
		"secrets/api.key":               "secrets/client-secret",
		"level: debug":                  "level: " + literal,
	} {
		file := filepath.Join(filepath.Dir(c.server.config), "broken.yaml")
		if err := os.WriteFile(file, bytes.Replace(whole, []byte(was), []byte(now), 1), 0o600); err != nil {
			c.t.Fatal(err)
		}
		c.run(nil, "config", "validate", "--config", file)
		c.run(nil, "serve", "--config", file)
	}
}
