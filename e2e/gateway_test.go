package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGateways puts real gateways in front of an API, with the configurations of
// docs/gateways.md: the API sees the business's token, and the browser never does.
func TestGateways(t *testing.T) {
	t.Parallel()
	s, u := serving(t, "")
	for name, start := range map[string]func(t *testing.T, key, ref string) string{
		"nginx": func(t *testing.T, key, ref string) string { return startNginx(t, s.api, u.URL, key, ref) },
		"caddy": func(t *testing.T, key, ref string) string { return startCaddy(t, s.api, u.URL, key, ref) },
	} {
		t.Run(name, func(t *testing.T) {
			token := s.token(t)
			gate := start(t, s.key, string(ref(1)))
			for _, request := range []struct{ method, body string }{{"GET", ""}, {"POST", `{"a":1}`}} {
				status, header, body := browse(t, request.method, gate+"/api/x/y?z=1", request.body)
				if want := request.method + " /api/x/y?z=1 " + request.body; status != 200 || body != want {
					t.Errorf("%d %s, want %s", status, body, want)
				}
				if got := u.last(t).Header["Authorization"]; len(got) != 1 || got[0] != "Bearer "+token {
					t.Errorf("the API saw %d authorizations, or another than the token", len(got))
				}
				for _, cookie := range u.last(t).Header["Cookie"] {
					t.Errorf("the API saw the browser's cookie %s", cookie)
				}
				unseen(t, header, body, token, s.key)
			}
			for what, gate := range map[string]string{
				"a connection that is not there": start(t, s.key, "nobody@app"),
				"a key that is none":             start(t, "evg_wrong", string(ref(1))),
			} {
				before := len(u.asked)
				status, header, body := browse(t, "GET", gate+"/api/x", "")
				if status != 401 && status != 403 {
					t.Errorf("%s: %d %s", what, status, body)
				}
				if len(u.asked) != before {
					t.Errorf("%s: the API was asked", what)
				}
				unseen(t, header, body, token, s.key)
			}
		})
	}
	if bytes.Contains(s.logged(), []byte(s.token(t))) {
		t.Error("the log has the token")
	}
}

// browse sends a request as a browser that knows nothing, with a key of its own
// making.
func browse(t *testing.T, method, target, body string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer browsers-own")
	r.Header.Set("Cookie", "session=browser")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

// unseen fails the test if a browser has seen a secret.
func unseen(t *testing.T, header http.Header, body string, secrets ...string) {
	t.Helper()
	all := fmt.Sprint(header) + body
	for _, s := range secrets {
		if strings.Contains(all, s) {
			t.Error("the browser sees a token or a key")
		}
	}
}

// recipe returns a fenced block of docs/gateways.md with its addresses replaced.
func recipe(t *testing.T, language string, replace ...string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/gateways.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```"+language+"\n")
	block, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatalf("docs/gateways.md has no block of %s", language)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(block, replace[i]) {
			t.Fatalf("the block of %s does not have %s", language, replace[i])
		}
	}
	return strings.NewReplacer(replace...).Replace(block)
}

func startNginx(t *testing.T, api, upstream, key, ref string) string {
	t.Helper()
	listen, dir := freePort(t), t.TempDir()
	block := recipe(t, "nginx", "listen 80;", "listen "+listen+";", "http://127.0.0.1:8421", api, "https://api.lsk.lightspeed.app", upstream,
		"evg_KEY", key, "cafe_nord@k-series", ref)
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "    %s_temp_path %s;\n", kind, filepath.Join(dir, kind))
	}
	path := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf("daemon off;\nmaster_process off;\nworker_processes 1;\npid %s;\nerror_log stderr info;\nevents {}\nhttp {\n    access_log off;\n%s%s}\n",
		filepath.Join(dir, "pid"), temp.String(), block)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, listen, "nginx", "-p", dir, "-c", path, "-e", "stderr")
	return "http://" + listen
}

func startCaddy(t *testing.T, api, upstream, key, ref string) string {
	t.Helper()
	listen, dir := freePort(t), t.TempDir()
	block := recipe(t, "caddyfile", "http://:80", "http://"+listen, "127.0.0.1:8421", strings.TrimPrefix(api, "http://"),
		"https://api.lsk.lightspeed.app", upstream, "evg_KEY", key, "cafe_nord@k-series", ref)
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte("{\n\tadmin off\n\tauto_https off\n}\n"+block), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, listen, "caddy", "run", "--config", path, "--adapter", "caddyfile")
	return "http://" + listen
}
