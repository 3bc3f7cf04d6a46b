package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// TestProxy calls a provider's API through a running server: only the base URL of
// the caller changes.
func TestProxy(t *testing.T) {
	t.Parallel()
	s, u := serving(t, "proxy: {methods: [GET, POST], paths: [/f/**]}")
	first := s.token(t)
	call := func(method, path, key, body string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.api+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(b)
	}
	const base = "/proxy/biz_1@app"
	res, body := call("POST", base+"/f/data?x=1", s.key, "canary-of-a-body")
	if res.StatusCode != 200 || body != "POST /api/f/data?x=1 canary-of-a-body" || res.Header.Get("Set-Cookie") != "" {
		t.Errorf("%d %s %v", res.StatusCode, body, res.Header)
	}
	if got := u.last(t).Header.Get("Authorization"); got != "Bearer "+first {
		t.Error("the API did not see the token")
	}
	// The API forgets the token; the request that meets this is answered all the same.
	u.mu.Lock()
	u.good = func(token string) bool { return token != first }
	u.mu.Unlock()
	if res, body := call("POST", base+"/f/data", s.key, "again"); res.StatusCode != 200 || !strings.HasSuffix(body, "again") || res.Header.Get("Evergrant-Retried") != "1" {
		t.Errorf("after a 401: %d %s", res.StatusCode, body)
	}
	if n := s.grant(ref(1)).Seq; n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
	for request, status := range map[string]int{
		"GET " + base + "/o/x":                      403, // not among the paths
		"DELETE " + base + "/f/x":                   403,
		"GET /proxy/nobody@app/f/x":                 404,
		"GET " + base + "/f/%2e%2e/o/x":             400,
		"GET " + base + "/f/..;/o/x":                400,
		"GET " + base + "//evil.example/x":          400,
		"GET " + base + "/f/x?evergrant_location=1": 409,
	} {
		method, path, _ := strings.Cut(request, " ")
		res, body := call(method, path, s.key, "")
		if res.StatusCode != status || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", request, res.StatusCode, body)
		}
	}
	if res, body := call("GET", base+"/f/x", "evg_wrong", ""); res.StatusCode != 401 {
		t.Errorf("with a wrong key: %d %s", res.StatusCode, body)
	}
	u.Close()
	if res, body := call("GET", base+"/f/x", s.key, ""); res.StatusCode != 502 || res.Header.Get("Retry-After") == "" {
		t.Errorf("without an API: %d %s", res.StatusCode, body)
	}
	for _, secret := range []string{first, s.token(t), "canary-of-a-body", "/f/data"} {
		if bytes.Contains(s.logged(), []byte(secret)) {
			t.Errorf("the log tells of a token, a body or a path")
		}
	}
}

// TestOAuthClients has clients nobody here wrote get a token by client credentials
// and call an API with it.
func TestOAuthClients(t *testing.T) {
	t.Parallel()
	s, u := serving(t, "")
	token := s.token(t)
	used := func(t *testing.T, who string) {
		t.Helper()
		if got := u.last(t).Header.Get("Authorization"); got != "Bearer "+token {
			t.Errorf("%s did not use the token", who)
		}
		u.mu.Lock()
		u.asked = nil
		u.mu.Unlock()
	}
	t.Run("x/oauth2", func(t *testing.T) {
		for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleAutoDetect, oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
			c := clientcredentials.Config{ClientID: string(ref(1)), ClientSecret: s.key, TokenURL: s.api + "/oauth/token", AuthStyle: style}
			res, err := c.Client(t.Context()).Get(u.URL + "/api/x")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			used(t, "x/oauth2")
			c.ClientID = "nobody@app"
			var refused *oauth2.RetrieveError
			if _, err := c.Token(t.Context()); !errors.As(err, &refused) || refused.ErrorCode != "invalid_client" {
				t.Errorf("an unknown client: %v", err)
			}
		}
	})
	t.Run("curl", func(t *testing.T) {
		for _, args := range [][]string{
			{"-u", string(ref(1)) + ":" + s.key, "-d", "grant_type=client_credentials"},
			{"-d", "grant_type=client_credentials", "--data-urlencode", "client_id=" + string(ref(1)), "-d", "client_secret=" + s.key},
		} {
			out, err := exec.Command("curl", append([]string{"-sS", s.api + "/oauth/token"}, args...)...).Output()
			var got struct {
				AccessToken string `json:"access_token"`
				TokenType   string `json:"token_type"`
			}
			if err != nil || json.Unmarshal(out, &got) != nil || got.AccessToken != token || got.TokenType != "Bearer" {
				t.Errorf("%v: %d bytes that are not the token", err, len(out))
			}
		}
	})
	for _, library := range []string{"openid-client", "openid-client-basic", "simple-oauth2"} {
		t.Run(library, func(t *testing.T) {
			if got := node(t.Context(), t, s, library, string(ref(1)), u.URL+"/api/x"); got.Status != 200 || got.Error != "" {
				t.Fatalf("%+v", got)
			}
			used(t, library)
			if got := node(t.Context(), t, s, library, "nobody@app", u.URL+"/api/x"); got.Error == "" {
				t.Errorf("an unknown client got an answer: %+v", got)
			}
		})
	}
}

// nodeAnswer is what e2e/oauth-client tells.
type nodeAnswer struct {
	Status int
	Body   string
	Error  string
}

func node(ctx context.Context, t *testing.T, s *server, library, client, api string) nodeAnswer {
	t.Helper()
	const folder = "oauth-client"
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "openid-client")); err != nil {
		t.Fatalf("the OAuth clients to test with are not installed; run: make deps (%v)", err)
	}
	cmd := exec.CommandContext(ctx, "node", "client.mjs", library, s.api, client, api)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "EVERGRANT_API_KEY="+s.key)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", library, err)
	}
	var a nodeAnswer
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%s: %v", library, fmt.Errorf("%w in %d bytes", err, len(out)))
	}
	return a
}
