package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// theChromium is the one of the package. It starts when the first test asks for
// it; closeChromium ends it.
var theChromium = sync.OnceValues(startChromium)

// closeChromium is set by the start.
var closeChromium = func() {}

func startChromium() (context.Context, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, errors.New("there is no chromium; make test installs it")
	}
	dir, err := os.MkdirTemp("", "evergrant-chromium-")
	if err != nil {
		return nil, err
	}
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(dir),
		// The suite may run as root, where Chromium's own sandbox does not start.
		chromedp.NoSandbox,
	)...)
	ctx, stop := chromedp.NewContext(alloc)
	closeChromium = func() {
		stop()
		cancel()
		_ = os.RemoveAll(dir)
	}
	if err := chromedp.Do(ctx); err != nil {
		return nil, err
	}
	return ctx, nil
}

// Widths of a phone and of a desk, and the heights that go with them.
const (
	phoneWidth, phoneHeight = 360, 740
	deskWidth, deskHeight   = 1280, 800
)

// tab is a page in a real browser. Tabs of one person share cookies, those of
// others do not. A tab is for one goroutine.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu   sync.Mutex
	sent []*network.EventRequestWillBeSent // since the last forget
	via  []string                          // addresses that led on to another, ever
}

// newPerson opens a browser of somebody who was never here: no cookies, no cache.
func newPerson(t *testing.T, width, height int64) *tab {
	t.Helper()
	ctx, err := theChromium()
	if err != nil {
		t.Fatal(err)
	}
	return newTab(t, ctx, width, height, chromedp.WithNewBrowserContext())
}

// another opens a further tab of the same person.
func (b *tab) another(width, height int64) *tab {
	b.t.Helper()
	return newTab(b.t, b.ctx, width, height)
}

func newTab(t *testing.T, parent context.Context, width, height int64, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	t.Cleanup(cancel)
	b := &tab{t: t}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	// A bound for a machine under load, and the end of a wait that never ends.
	b.ctx, cancel = context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	if err := chromedp.Listen(b.ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	// Pages of other tabs are looked at too: each believes that it has the focus.
	call(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	b.resize(width, height)
	return b
}

// call sends a command of the devtools protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	r, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return r
}

func (b *tab) hear(ev any) {
	e, ok := ev.(*network.EventRequestWillBeSent)
	if !ok || !strings.HasPrefix(e.Request.URL, "http") {
		return // data: is in the page
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.RedirectResponse != nil { // the same request, sent on
		b.via = append(b.via, e.RedirectResponse.URL)
		b.sent = slices.DeleteFunc(b.sent, func(s *network.EventRequestWillBeSent) bool { return s.RequestID == e.RequestID })
	}
	b.sent = append(b.sent, e)
}

// requests returns what the page at hand made the browser ask for, itself first.
// Of an address that redirects only the last counts.
func (b *tab) requests() []*network.EventRequestWillBeSent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sent)
}

// passed returns the last address with this in it that led on to another.
func (b *tab) passed(part string) string {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, address := range slices.Backward(b.via) {
		if strings.Contains(address, part) {
			return address
		}
	}
	b.t.Fatalf("the browser did not come by %s: %q", part, b.via)
	return ""
}

// resize changes the page's size. A window cannot be as narrow as a phone; the
// page can.
func (b *tab) resize(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
}

// scheme shows pages as to somebody who prefers light or dark ones.
func (b *tab) scheme(light bool) {
	b.t.Helper()
	prefers := "dark"
	if light {
		prefers = "light"
	}
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: prefers}},
	})
}

// withoutScript turns the scripts of pages off.
func (b *tab) withoutScript() {
	b.t.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}

// allowClipboard lets the pages of an origin write and read the clipboard.
func (b *tab) allowClipboard(origin string) {
	b.t.Helper()
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(b.ctx, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{
			Permission: &cdpbrowser.PermissionDescriptor{Name: name}, Setting: cdpbrowser.PermissionSettingGranted, Origin: origin,
			BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
		})
		if err != nil {
			b.t.Fatalf("grant %s: %v", name, err)
		}
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// eval evaluates an expression in a page. A content policy does not concern it.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%.200s: %v", expression, err)
	}
	return v
}

// open goes to an address and returns the status of the page where that ends.
func (b *tab) open(address string) int {
	b.t.Helper()
	b.forget()
	return b.leads("open "+address, chromedp.Navigate(address))
}

// forget begins the count of requests anew.
func (b *tab) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = nil
}

// leads does what leads to another page, waits for that, and returns its status.
func (b *tab) leads(what string, steps ...chromedp.Action[chromedp.Void]) int {
	b.t.Helper()
	res, err := chromedp.RunResponse(b.ctx, steps...)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	if res == nil { // from the browser's own history
		return http.StatusOK
	}
	return int(res.Status)
}

// button finds a button or a link by its text.
func button(text string) chromedp.Search {
	return chromedp.Search(`//button[contains(normalize-space(.), "` + text + `")] | //a[contains(normalize-space(.), "` + text + `")]`)
}

// press presses the button with this text and waits for the page it leads to.
func (b *tab) press(text string) int {
	b.t.Helper()
	return b.leads("press "+text, chromedp.Click(button(text)))
}

// until waits for a condition of the page, that it shows a text perhaps.
func (b *tab) until(what, condition string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](condition, chromedp.WithPollingTimeout(time.Minute))); err != nil {
		b.t.Fatalf("%s: %v; the page is %s", what, err, b.text())
	}
}

// text is what the page says.
func (b *tab) text() string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Text("body"))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// says fails the test if the page does not say all of it.
func (b *tab) says(wants ...string) {
	b.t.Helper()
	text := b.text()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			b.t.Errorf("%s does not say %q:\n%s", b.address(), want, text)
		}
	}
}

func (b *tab) heading() string {
	return eval[string](b, `document.querySelector("h1")?.innerText ?? ""`)
}

func (b *tab) address() string { return eval[string](b, "location.href") }

// source is the page as it was served.
func (b *tab) source() string {
	b.t.Helper()
	sent := b.requests()
	for i := range sent {
		if e := sent[len(sent)-1-i]; e.Type == network.ResourceTypeDocument {
			return string(call(b, network.GetResponseBody, network.GetResponseBodyParams{RequestID: e.RequestID}).Body)
		}
	}
	b.t.Fatal("nothing was opened")
	return ""
}

// keepsPictures reports whether pictures of pages are wanted: EVERGRANT_PICTURES
// is the folder for them.
func keepsPictures() bool { return os.Getenv("EVERGRANT_PICTURES") != "" }

// picture keeps a picture of the whole page as it is now, if pictures are wanted.
func (b *tab) picture(name string) {
	b.t.Helper()
	keepPicture(b.t, b.ctx, name)
}

func keepPicture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	if !keepsPictures() {
		return
	}
	folder := filepath.Join(os.Getenv("EVERGRANT_PICTURES"), filepath.FromSlash(t.Name()))
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.MkdirAll(folder, 0o750)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600)
	}
	if err != nil {
		t.Fatalf("a picture of %s: %v", name, err)
	}
}
