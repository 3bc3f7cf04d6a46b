package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
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
	i := &inspector{t: t, folder: t.TempDir(), axe: axeCore(t), sources: map[string]bool{}}
	t.Cleanup(i.validate)
	return i
}

// axeCore is the program that judges a page from within.
func axeCore(t *testing.T) string {
	t.Helper()
	program, err := os.ReadFile("axe/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("%v; make deps installs it", err)
	}
	return string(program)
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

// inspect judges the page at hand: against every rule of axe-core, in light and
// in dark, with all that can be opened open; what it asks for; and whether it
// fits a narrow screen.
func (i *inspector) inspect(b *tab, name string, l limits) {
	b.t.Helper()
	i.keep(name, b.source())
	i.weigh(b, name, l)
	eval[int](b, `[...document.querySelectorAll("details")].map(d => d.open = true).length`)
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
	// WCAG 2.2, 1.4.10: 320 pixels wide, and nothing but tables scrolls sideways.
	b.resize(narrowWidth, phoneHeight)
	if over := eval[[]string](b, tooWide); len(over) > 0 {
		b.t.Errorf("%s is wider than %d pixels: %q", name, narrowWidth, over)
	}
	i.pictures(b, name)
}

const narrowWidth = 320

// tooWide finds what reaches beyond the right edge, but for what is inside of
// something that scrolls.
const tooWide = `document.documentElement.scrollWidth <= innerWidth ? [] :
	[...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > innerWidth && !e.closest(".scroll, .hidden, svg"))
	.map(e => e.outerHTML.slice(0, 200)).concat("scrolls to " + document.documentElement.scrollWidth)`

// TestTheInspectorSeesWhatIsWrong shows pages that are wrong to what finds the
// other pages right.
func TestTheInspectorSeesWhatIsWrong(t *testing.T) {
	t.Parallel()
	const page = `<!doctype html><html lang="en"><head><title>A page</title><meta name="viewport" content="width=device-width"><style>
:root { color-scheme: light dark; } @media (prefers-color-scheme: dark) { p { color: #333; background: #222; } }
</style></head><body><main><h1>A page</h1><p>Text</p>%s</main></body></html>`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		fmt.Fprintf(w, page, map[string]string{"/wide": `<div style="width: 400px">Wide</div>`, "/unlabelled": `<input name="q">`}[r.URL.Path])
	}))
	t.Cleanup(s.Close)
	i := &inspector{t: t, folder: t.TempDir(), axe: axeCore(t), sources: map[string]bool{}}
	b := i.equip(newPerson(t, narrowWidth, phoneHeight))
	b.open(s.URL)
	b.scheme(true)
	if found := violations(b); len(found) > 0 {
		t.Errorf("a page that is right in light: %q", found)
	}
	if over := eval[[]string](b, tooWide); len(over) > 0 {
		t.Errorf("a narrow page: %q", over)
	}
	b.scheme(false)
	if found := violations(b); len(found) != 1 || !strings.Contains(found[0], "color-contrast") {
		t.Errorf("dark text on a dark ground: %q", found)
	}
	b.open(s.URL + "/unlabelled")
	b.scheme(true)
	if found := violations(b); len(found) != 1 || !strings.Contains(found[0], "label") {
		t.Errorf("a field without a label: %q", found)
	}
	b.open(s.URL + "/wide")
	if over := eval[[]string](b, tooWide); len(over) != 2 {
		t.Errorf("a wide page: %q", over)
	}
	i.keep("right", fmt.Sprintf(page, ""))
	if out, err := i.judgeHTML(); err != nil || strings.Contains(out, "right.html") {
		t.Errorf("HTML that is right: %v\n%s", err, out)
	}
	i.keep("wrong", fmt.Sprintf(page, "<p><div>A block in a paragraph</div></p>"))
	if out, err := i.judgeHTML(); err != nil || !strings.Contains(out, "wrong.html") {
		t.Errorf("HTML that is wrong: %v\n%s", err, out)
	}
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
	if out, err := i.judgeHTML(); err != nil || len(out) > 0 {
		i.t.Errorf("HTML of %d pages: %v\n%s", len(i.sources), err, out)
	}
}

// judgeHTML returns what html-validate has against what was kept.
func (i *inspector) judgeHTML() (string, error) {
	out, err := exec.Command("node", "axe/validate.mjs", i.folder).CombinedOutput()
	return string(out), err
}
