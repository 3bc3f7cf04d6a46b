package evergrant_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/evergranttest"
	"github.com/evergrant/evergrant/manager"
)

// block is a piece of code of a page.
type block struct{ language, code string }

// blocks returns the code of a page's section, of the whole page if heading is "".
func blocks(t *testing.T, page, heading string) []block {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if heading != "" {
		_, after, ok := strings.Cut(text, "\n## "+heading+"\n")
		if !ok {
			t.Fatalf("%s has no section %q", page, heading)
		}
		text, _, _ = strings.Cut(after, "\n## ")
	}
	var all []block
	for _, m := range regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(text, -1) {
		all = append(all, block{m[1], m[2]})
	}
	return all
}

// goTool runs the go command here, where this module's packages are found.
func goTool(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), env...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s%s", args[0], err, out, said.String())
	}
	return string(out)
}

// write writes a file of a test's own and returns its path.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTheFiveWaysOfTheReadmeWork runs them as they are written, but for the
// address of the provider's API, which is the sandbox's.
func TestTheFiveWaysOfTheReadmeWork(t *testing.T) {
	t.Parallel()
	ways := blocks(t, "README.md", "Use it in five ways")
	if len(ways) != 5 {
		t.Fatalf("there are %d ways", len(ways))
	}
	e := evergranttest.New(t)
	e.ConnectAs("cafe_nord@k-series", "anna@cafe-nord.example")
	tok, err := e.Token(t.Context(), "cafe_nord@k-series", nil)
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"EVERGRANT_SERVER=" + e.URL, "EVERGRANT_API_KEY=" + e.Key}
	// What the answer of each shell command has in it, in their order.
	answers := []string{tok.Fingerprint, `"access_token":"` + tok.AccessToken, "Café Nord"}
	var programs []string
	for i, way := range ways {
		if n := strings.Count(way.code, "\n"); n > 3 {
			t.Errorf("way %d has %d lines", i+1, n)
		}
		if way.language == "go" {
			programs = append(programs, strings.ReplaceAll(way.code, "https://api.lsk.lightspeed.app", tok.BaseURL))
			continue
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", way.code)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.Output()
		if len(answers) == 0 || err != nil || !strings.Contains(string(out), answers[0]) {
			t.Errorf("way %d, %v: %s", i+1, err, out)
			continue
		}
		answers = answers[1:]
	}
	if len(programs) != 2 || len(answers) > 0 {
		t.Fatalf("there are %d ways in Go, and %d answers are missing", len(programs), len(answers))
	}
	dir, err := filepath.Abs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"master.key": string(manager.NewMasterKey()),
		"evergrant.yaml": fmt.Sprintf(`version: 1
server: {public_url: %s}
encryption: {keys: [{id: k1, file: ./master.key}]}
apps: {k-series: {provider: lightspeed-k, environment: sandbox, client_id: devp-v2-demo-readme,
  client_secret: {file: ./master.key}, scopes: [financial-api, offline_access]}}
`, "http://127.0.0.1:1"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sandbox, _, _ := strings.Cut(tok.BaseURL, "/k")
	env = append(env, "EVERGRANT_SANDBOX_URL="+sandbox, "README_DIR="+dir)
	out := goTool(t, env, "run", write(t, "main.go", fmt.Sprintf(program, programs[0], programs[1])))
	if want := "client: 200 OK\nembedded: 200 OK\n"; out != want {
		t.Errorf("the programs say %q, want %q", out, want)
	}
}

// program runs the two ways in Go: the lines of the README are the first ones of
// a function each.
const program = `package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/manager"
	"github.com/evergrant/evergrant/sandbox"
)

func main() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if err := errors.Join(asClient(), os.Chdir(os.Getenv("README_DIR")), embedded(ctx)); err != nil {
		log.Fatal(err)
	}
}

func asClient() error {
%s
	if err != nil {
		return err
	}
	defer res.Body.Close()
	fmt.Println("client:", res.Status)
	return nil
}

func embedded(ctx context.Context) error {
	var pages http.Handler
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pages.ServeHTTP(w, r) }))
	defer web.Close()
	if err := os.Setenv("EVERGRANT_SERVER_PUBLIC_URL", web.URL); err != nil {
		return err
	}
%s
	if err != nil {
		return err
	}
	defer m.Close()
	pages = m.ConnectHandler()
	link, err := m.Client().CreateLink(ctx, client.NewLink{Ref: "cafe_nord@k-series"})
	if err != nil {
		return err
	}
	if _, _, err := (sandbox.Visit{}).Follow(ctx, link.URL); err != nil {
		return err
	}
	tok, err := m.Token(ctx, "cafe_nord@k-series", nil)
	if err != nil {
		return err
	}
	res, err := api.Get(tok.BaseURL + "/f/data/businesses")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	fmt.Println("embedded:", res.Status)
	return nil
}
`

// TestTheEmbeddingPage compiles each block of the page, and runs its tests.
func TestTheEmbeddingPage(t *testing.T) {
	t.Parallel()
	all := blocks(t, "docs/embedding.md", "")
	if len(all) < 4 {
		t.Fatalf("there are %d blocks", len(all))
	}
	for _, b := range all {
		name, args := "page.go", []string{"vet"}
		if strings.Contains(b.code, "func Test") {
			name, args = "page_test.go", []string{"test"}
		}
		goTool(t, nil, append(args, write(t, name, b.code))...)
	}
}
