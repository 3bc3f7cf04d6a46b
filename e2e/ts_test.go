package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/sandbox"
)

// TestTypeScriptClient generates a TypeScript client from the OpenAPI document of
// a running server, compiles it as strictly as the compiler can, and uses it in
// Node on a business that is connected at the sandbox. What is generated is not
// kept: e2e/ts-client has the generator's configuration.
func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	box := httptest.NewUnstartedServer(nil)
	at := "http://" + box.Listener.Addr().String()
	box.Config.Handler = sandbox.New(sandbox.Config{URL: at})
	box.Start()
	t.Cleanup(box.Close)
	s.env = []string{"EVERGRANT_SANDBOX_URL=" + at}
	s.configure(`  k-series:
    provider: lightspeed-k
    environment: sandbox
    client_id: devp-v2-typescript
    client_secret: {file: secrets/client-secret}
    scopes: [financial-api, orders-api, offline_access]
    refresh: {min_interval: 1h}`, "")
	s.start()
	link, err := s.CreateLink(t.Context(), client.NewLink{Ref: "cafe_nord@k-series", BusinessName: "Café Nord"})
	if err != nil {
		t.Fatal(err)
	}
	visit := sandbox.Visit{Client: newBrowser(t, nil).client, Email: "anna@cafe-nord.example"}
	if final, _, err := visit.Follow(t.Context(), link.URL); err != nil || !strings.HasSuffix(final, "/done") {
		t.Fatalf("the merchant came to %s: %v", final, err)
	}
	// So that the client's report of a 401 comes too soon after this to cause another.
	if done, err := s.Refresh(t.Context(), "cafe_nord@k-series"); err != nil || len(done) != 1 || !done[0].Refreshed {
		t.Fatalf("a forced refresh: %+v %v", done, err)
	}

	dir := typeScript(t)
	status, document := ask(t, http.MethodGet, s.api+"/v1/openapi.json", "", "")
	if status != http.StatusOK {
		t.Fatalf("the document: %d", status)
	}
	if err := os.Mkdir(filepath.Join(dir, "generated"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "generated", "openapi.json"), document, 0o644); err != nil {
		t.Fatal(err)
	}
	runNode(t, dir, "", "node_modules/openapi-typescript/bin/cli.js")
	runNode(t, dir, "", "node_modules/typescript/bin/tsc")
	out := runNode(t, dir, s.key, "generated/js/smoke.js", s.api, "cafe_nord@k-series", "quay_bar@k-series")

	var got any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	type object = map[string]any
	want := object{
		"link":        object{"purpose": "connect", "state": "created", "url": true, "again": true},
		"changed":     "Café Nord",
		"tagged":      []any{"cafe_nord@k-series"},
		"connections": object{"cafe_nord@k-series": true, "quay_bar@k-series": false},
		"token":       object{"type": "Bearer", "lives": true, "of": "cafe_nord", "state": "connected"},
		"rejected":    object{"same": true, "warnings": []any{"rejected_recently"}},
		"locations":   []any{"Café Nord"},
		"events":      []any{"grant.issued cafe_nord@k-series", "connection.connected cafe_nord@k-series"},
		"problem":     object{"status": 409.0, "kind": "application/problem+json", "code": "never_connected", "actBy": "merchant", "where": "http"},
		"invalid":     []any{"ref", "ttl"},
	}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("what the client saw (-want +got):\n%s", diff)
	}
}

// typeScript returns a folder with what is in e2e/ts-client.
func typeScript(t *testing.T) string {
	t.Helper()
	const folder = "ts-client"
	modules, err := filepath.Abs(filepath.Join(folder, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "openapi-typescript")); err != nil {
		t.Fatalf("the generator is not installed; run: make deps (%v)", err)
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "redocly.yaml", "tsconfig.json", "smoke.ts"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runNode runs a program in a folder, with an API key in its environment, and returns
// what it prints.
func runNode(t *testing.T, dir, key string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "EVERGRANT_API_KEY=" + key}
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if exit, ok := err.(*exec.ExitError); ok {
			said = string(exit.Stderr)
		}
		t.Fatalf("node %s: %v\n%s%s", args[0], err, out, said)
	}
	return out
}
