// Package deptest keeps the picture in ARCHITECTURE.md true: who may import
// whom, with the reason beside each rule.
package deptest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/evergrant/evergrant"

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string // transitive
}

// list asks go list about every package of the module, without tests, as it is
// built with the given tags.
func list(t *testing.T, tags ...string) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-tags="+strings.Join(tags, ","), "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	all := make(map[string]pkg)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

// ours cuts the module's path off an import path; ok is false for others' packages.
func ours(path string) (rel string, ok bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

func under(rel, folder string) bool { return rel == folder || strings.HasPrefix(rel, folder+"/") }

// TestLayers holds every package to what it may import of ours. A package that
// is not listed here fails the test: decide where it stands.
func TestLayers(t *testing.T) {
	const (
		domain = "the domain is pure: it is tested without a clock, a disk or a network"
		wire   = "the wire knows the domain and nothing of who calls it"
		store  = "a store keeps what it is given; it never sees a token"
		engine = "the engine must work embedded, without an API, pages or a configuration file"
		edge   = "an edge translates; it reaches the engine through the manager only"

		example = "an example may import what its reader may"
		embed   = "a program of another module says everything by it, so no internal type may show; the core does the work"
	)
	rules := map[string]struct {
		may    []string
		reason string
	}{
		"internal/secret":   {nil, "a secret is below everything"},
		"internal/fault":    {nil, "a fault point is nothing in what ships, so it may need nothing"},
		"internal/grant":    {[]string{"internal/secret"}, domain},
		"internal/access":   {[]string{"internal/grant", "internal/secret"}, domain},
		"internal/coverage": {[]string{"internal/grant"}, domain},
		"internal/words":    {nil, "words for codes need to know no code"},
		"internal/oauth":    {[]string{"internal/grant", "internal/secret"}, wire},
		"internal/store":    {[]string{"internal/grant", "internal/access"}, store},
		"internal/event":    {[]string{"internal/grant"}, "the hub passes events on; it reads no store"},
		"internal/webhook": {[]string{"internal/grant", "internal/oauth", "internal/seal", "internal/secret", "internal/store"},
			"webhooks read the log and send; what is in an event is not theirs to know"},
		"internal/telemetry":  {nil, "metrics know names and numbers"},
		"internal/seal":       {[]string{"internal/secret", "internal/store"}, "sealing needs a place for the wrapped key and nothing else"},
		"internal/spool":      {[]string{"internal/fault", "internal/grant", "internal/oauth", "internal/seal"}, "the journal must open when the store does not"},
		"provider":            {[]string{"internal/grant", "internal/oauth", "internal/secret"}, "a recipe is data; it cannot reach the store"},
		"provider/lightspeed": {[]string{"provider", "internal/grant", "internal/oauth"}, "a recipe is data; it cannot reach the store"},
		"provider/documented": {[]string{"provider", "internal/grant", "internal/oauth"}, "a recipe is data; it cannot reach the store"},
		"provider/builtin":    {[]string{"provider", "provider/documented", "provider/lightspeed"}, "the catalogue lists recipes"},
		"internal/issue":      {[]string{"internal/coverage", "internal/grant", "internal/oauth", "internal/seal", "internal/store", "provider"}, engine},
		"internal/refresh": {[]string{"internal/fault", "internal/grant", "internal/oauth", "internal/seal", "internal/spool", "internal/store",
			"internal/telemetry", "provider"}, engine},
		"internal/manager": {[]string{".", "internal/coverage", "internal/event", "internal/grant", "internal/issue", "internal/oauth", "internal/refresh",
			"internal/seal", "internal/secret", "internal/spool", "internal/store", "internal/telemetry", "internal/words", "provider"}, engine},
		"internal/browser": {nil, "pages are written by who knows nothing of what is on them"},
		"internal/connect": {[]string{".", "internal/browser", "internal/coverage", "internal/fault", "internal/grant", "internal/issue", "internal/oauth", "internal/seal", "internal/secret",
			"internal/spool", "internal/store", "provider"}, "merchants' pages must be mountable in another program"},
		"internal/proxy": {[]string{"internal/manager", "internal/oauth", "internal/secret", "provider"},
			"the proxy carries what it is given; who may ask, and for which token, is the API's to know"},
		"internal/signin": {[]string{".", "internal/access", "internal/browser", "internal/oauth", "internal/seal", "internal/secret", "internal/store"},
			"who may come in is decided without knowing what they see there"},
		"internal/api": {[]string{".", "internal/words", "internal/manager", "internal/access", "internal/browser", "internal/connect", "internal/coverage", "internal/grant", "internal/proxy", "internal/secret",
			"internal/signin", "internal/store", "internal/telemetry", "internal/webhook", "provider"}, edge},
		"internal/config": {[]string{"internal/access", "internal/connect", "internal/grant", "internal/oauth", "internal/proxy", "internal/seal",
			"internal/secret", "internal/webhook", "provider", "provider/builtin"}, "a configuration is read, not run"},
		"internal/app": {[]string{"internal/config", "internal/core"}, "the server has listeners and a process; the rest is the core, which programs embed too"},
		"internal/why": {[]string{".", "client", "internal/words"}, "a story is told from what the API says"},
		"internal/dashboard": {[]string{".", "client", "internal/access", "internal/browser", "internal/connect", "internal/grant", "internal/store", "internal/telemetry", "internal/why", "internal/words"},
			"pages show what the API and bounded queries say; they reach no engine"},
		"internal/agent":        {[]string{".", "internal/config", "internal/grant"}, "the agent is a client: it knows tokens and no server"},
		"internal/store/mirror": {[]string{"internal/grant", "internal/store"}, store},
		"internal/store/sqlite": {[]string{"internal/access", "internal/fault", "internal/grant", "internal/store",
			"internal/store/eventid", "internal/store/whole"}, store},
		"internal/store/postgres": {[]string{"internal/access", "internal/fault", "internal/grant", "internal/secret", "internal/store",
			"internal/store/eventid", "internal/store/whole"}, store},
		"internal/store/whole":   {[]string{"internal/access", "internal/grant", "internal/store"}, "the stores are below it, and those who read them above"},
		"internal/store/move":    {[]string{"internal/fault", "internal/grant", "internal/store/eventid", "internal/store/whole"}, "one store is copied into another as it is, sealed"},
		"internal/store/audit":   {[]string{"internal/grant", "internal/seal", "internal/store/eventid", "internal/store/whole"}, "it opens what is sealed and looks no further"},
		"internal/store/eventid": {[]string{"internal/grant"}, "numbering the log needs no store"},
		"client":                 {[]string{"."}, "importing the client must not pull in a database driver or the engine"},
		".":                      {nil, "the root package is the words every importer needs"},
		"manager":                {[]string{".", "client", "internal/access", "internal/config", "internal/core", "internal/seal"}, embed},
		"evergranttest":          {[]string{".", "client", "manager", "sandbox"}, "what users' tests run is what users may import"},
		"examples/k-sales":       {[]string{".", "client", "provider/lightspeed"}, example},
		"examples/r-customers":   {[]string{".", "client", "provider/lightspeed"}, example},
		"examples/x-products":    {[]string{".", "client", "provider/lightspeed"}, example},
		"sandbox":                {nil, "the sandbox judges the engine, so it shares no code with it"},
	}
	// Test helpers and the programs that wire everything; see the other tests.
	free := []string{"internal/core", "internal/cli", "cmd/evergrant"}

	held := func(path string, p pkg) {
		rel, ok := ours(path)
		if !ok || slices.Contains(free, rel) {
			return
		}
		rule, ok := rules[rel]
		if !ok && isHelper(rel) {
			return
		}
		if !ok {
			t.Errorf("%s has no rule; decide what it may import and why", rel)
			return
		}
		for _, imp := range p.Imports {
			if dep, ok := ours(imp); ok && !slices.Contains(rule.may, dep) {
				t.Errorf("%s imports %s: %s", rel, dep, rule.reason)
			}
		}
	}
	for path, p := range list(t) {
		held(path, p)
	}
	for path, p := range list(t, "faults") {
		held(path, p)
	}
}

func TestFaultsDoNotShip(t *testing.T) {
	if p := list(t)[module+"/internal/fault"]; len(p.Imports) > 0 {
		t.Errorf("internal/fault imports %v in a build without the tag faults: there a fault point must be nothing", p.Imports)
	}
}

// isHelper reports packages that exist for tests.
func isHelper(rel string) bool {
	return slices.Contains([]string{"internal/oracle", "internal/memnet", "internal/pgtest", "internal/freeport", "internal/store/storetest", "internal/api/apitest", "internal/deptest", "internal/model", "internal/mutation", "internal/simulation", "evergranttest", "e2e"}, rel)
}

func TestProductionImportsNoTestHelper(t *testing.T) {
	for path, p := range list(t) {
		rel, ok := ours(path)
		if !ok || isHelper(rel) {
			continue
		}
		for _, imp := range p.Imports {
			if dep, ok := ours(imp); ok && isHelper(dep) {
				t.Errorf("%s imports %s, which is for tests: it would ship", rel, dep)
			}
			if imp == "testing" {
				t.Errorf("%s imports testing: it would ship", rel)
			}
		}
	}
}

// TestWhatImportersPay holds the public packages to the modules they may pull in.
func TestWhatImportersPay(t *testing.T) {
	all := list(t)
	for rel, allowed := range map[string][]string{
		".":      {"golang.org/x/oauth2"},
		"client": {"golang.org/x/oauth2"},
	} {
		path := module
		if rel != "." {
			path += "/" + rel
		}
		for _, dep := range all[path].Deps {
			first, _, _ := strings.Cut(dep, "/")
			if _, mine := ours(dep); mine || !strings.Contains(first, ".") || strings.HasPrefix(dep, "vendor/") {
				continue
			}
			if !slices.ContainsFunc(allowed, func(a string) bool { return under(dep, a) }) {
				t.Errorf("package %s pulls in %s: importers of it must pay for the standard library and x/oauth2 only", rel, dep)
			}
		}
	}
}

// TestCallersPullInNoDatabase holds what programs without an engine import to
// modules other than those that keep something.
func TestCallersPullInNoDatabase(t *testing.T) {
	all := list(t)
	for _, rel := range []string{"client", "sandbox", "provider/lightspeed", "examples/k-sales", "examples/r-customers", "examples/x-products"} {
		p, ok := all[module+"/"+rel]
		if !ok {
			t.Errorf("there is no package %s", rel)
		}
		for _, dep := range p.Deps {
			for _, kept := range []string{"modernc.org", "github.com/jackc", "github.com/pressly", module + "/internal/store", module + "/internal/core"} {
				if under(dep, kept) || dep == "database/sql" {
					t.Errorf("package %s pulls in %s: whoever calls a server, or reads an API, has no database", rel, dep)
				}
			}
		}
	}
}

func TestDatabaseDriversHaveOneHome(t *testing.T) {
	for path, p := range list(t) {
		rel, ok := ours(path)
		if !ok || under(rel, "internal/store") || isHelper(rel) {
			continue
		}
		for _, imp := range p.Imports {
			if under(imp, "modernc.org/sqlite") || under(imp, "github.com/jackc/pgx/v5") || imp == "database/sql" {
				t.Errorf("%s imports %s: SQL lives below internal/store", rel, imp)
			}
		}
	}
}

func TestTracesHaveOneHome(t *testing.T) {
	for path, p := range list(t) {
		rel, ok := ours(path)
		if !ok || rel == "internal/telemetry" {
			continue
		}
		for _, imp := range p.Imports {
			if under(imp, "go.opentelemetry.io") || under(imp, "google.golang.org/grpc") {
				t.Errorf("%s imports %s: what is traced is decided in internal/telemetry, where no secret comes", rel, imp)
			}
		}
	}
}

func TestOAuth2SendsNoRefresh(t *testing.T) {
	for path, p := range list(t) {
		rel, ok := ours(path)
		if !ok || rel == "." || rel == "client" {
			continue
		}
		if rel == "internal/signin" {
			continue // it redeems codes of people, by one way to authenticate, and keeps no token
		}
		if slices.Contains(p.Imports, "golang.org/x/oauth2") {
			t.Errorf("%s imports golang.org/x/oauth2: it probes client authentication by sending a single-use token twice", rel)
		}
	}
}
