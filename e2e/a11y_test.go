package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
)

// axeRules are the rules every page must keep: all of WCAG 2.2 A and AA, and what
// axe-core calls best practice.
var axeRules = []string{"wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"}

// inspector judges pages in a browser, and keeps their HTML to be judged at the
// end. It is safe for concurrent use.
type inspector struct {
	t       *testing.T
	folder  string
	axe     string // the program
	mu      sync.Mutex
	sources map[string]bool // names
}

// newInspector returns an inspector. What it kept is judged when the test and
// those below it have ended.
func newInspector(t *testing.T) *inspector {
	t.Helper()
	axe, err := os.ReadFile("axe/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("%v; make deps installs it", err)
	}
	i := &inspector{t: t, folder: t.TempDir(), axe: string(axe), sources: map[string]bool{}}
	t.Cleanup(i.validate)
	return i
}

// equip gives a tab what judges pages. It is there before the page is, so that
// the content policy does not matter, and in a world of its own, so that the page
// does not see it.
func (i *inspector) equip(b *tab) *tab {
	call(b, cdppage.Enable, cdppage.EnableParams{})
	call(b, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: i.axe})
	return b
}

// limits are what a page may ask of a connection.
type limits struct {
	requests int // itself first, streams not counted
	bytes    int // of all of them, before compression; 0 is no limit
}

// inspect judges the page at hand, in light and in dark, against every rule of
// axe-core, and its size.
func (i *inspector) inspect(b *tab, name string, l limits) {
	b.t.Helper()
	i.keep(name, b.source())
	for _, light := range []bool{true, false} {
		scheme := "dark"
		if light {
			scheme = "light"
		}
		b.scheme(light)
		for _, v := range violations(b) {
			b.t.Errorf("%s, %s: %s", name, scheme, v)
		}
	}
	i.pictures(b, name)
	i.weigh(b, name, l)
}

// violations returns what axe-core has against the page at hand.
func violations(b *tab) []string {
	b.t.Helper()
	rules, err := json.Marshal(axeRules)
	if err != nil {
		b.t.Fatal(err)
	}
	return eval[[]string](b, fmt.Sprintf(`axe.run(document, {runOnly: {type: "tag", values: %s}, resultTypes: ["violations"]}).then(r =>
		r.violations.flatMap(v => v.nodes.map(n => v.id + " (" + v.impact + "): " + v.help + "; " + n.html + " " + n.failureSummary)))`, rules))
}

// pictures keeps the page as it is on a phone and on a desk, light and dark.
func (i *inspector) pictures(b *tab, name string) {
	b.t.Helper()
	if !keepsPictures() {
		return
	}
	for _, size := range [][2]int64{{phoneWidth, phoneHeight}, {deskWidth, deskHeight}} {
		b.resize(size[0], size[1])
		for scheme, light := range map[string]bool{"light": true, "dark": false} {
			b.scheme(light)
			b.picture(fmt.Sprintf("%s-%d-%s", name, size[0], scheme))
		}
	}
}

// weigh counts what the page made the browser ask for. All of it must come from
// the page's own host.
func (i *inspector) weigh(b *tab, name string, l limits) {
	b.t.Helper()
	var asked []string
	total := 0
	host := eval[string](b, "location.origin")
	for _, r := range b.requests() {
		if !strings.HasPrefix(r.Request.URL, host+"/") {
			b.t.Errorf("%s asks another host: %s", name, r.Request.URL)
		}
		if r.Type == network.ResourceTypeEventSource {
			continue
		}
		asked = append(asked, r.Request.URL)
		total += len(call(b, network.GetResponseBody, network.GetResponseBodyParams{RequestID: r.RequestID}).Body)
	}
	if len(asked) > l.requests {
		b.t.Errorf("%s makes %d requests, want at most %d: %q", name, len(asked), l.requests, asked)
	}
	if l.bytes > 0 && total > l.bytes {
		b.t.Errorf("%s has %d bytes, want at most %d", name, total, l.bytes)
	}
}

// keep keeps a page's HTML.
func (i *inspector) keep(name, source string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.sources[name] {
		i.t.Errorf("two pages are called %s", name)
	}
	i.sources[name] = true
	if err := os.WriteFile(filepath.Join(i.folder, name+".html"), []byte(source), 0o600); err != nil {
		i.t.Error(err)
	}
}

// validate judges the HTML of everything that was kept.
func (i *inspector) validate() {
	if len(i.sources) == 0 {
		return // the test has failed before
	}
	out, err := exec.Command("node", "axe/validate.mjs", i.folder).CombinedOutput()
	if err != nil || len(out) > 0 {
		i.t.Errorf("HTML of %d pages: %v\n%s", len(i.sources), err, out)
	}
}
