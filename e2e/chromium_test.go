package e2e_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
)

// chromium starts a real browser with a window of the given width and returns a
// context to drive it. Pictures of what it shows are kept with -artifacts.
func chromium(t *testing.T, width int) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("there is no chromium; make test installs it")
	}
	alloc, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		// The suite may run as root, where Chromium's own sandbox does not start.
		chromedp.NoSandbox,
	)...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	// A window cannot be as narrow as a phone; the page can.
	if _, err := chromedp.Run(ctx, chromedp.EmulateViewport(int64(width), 800)); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// shown returns a browser's page as text, and keeps a picture of it.
func shown(t *testing.T, ctx context.Context, name string) string {
	t.Helper()
	text, err := chromedp.Run(ctx, chromedp.Text("body"))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), picture, 0o600); err != nil {
		t.Fatal(err)
	}
	return text
}

// press presses the button with this text and waits for the page it leads to.
func press(t *testing.T, ctx context.Context, text string) {
	t.Helper()
	button := `//button[contains(normalize-space(.), "` + text + `")] | //a[contains(normalize-space(.), "` + text + `")]`
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.Search(button))); err != nil {
		t.Fatalf("press %q: %v", text, err)
	}
}

// TestMerchantConnectsInARealBrowser goes the whole way as a person does, on a
// phone and on a desk: what a strict policy or a cookie rule would break, it
// breaks here.
func TestMerchantConnectsInARealBrowser(t *testing.T) {
	t.Parallel()
	var urls struct{ API, Public, Sandbox, Key string }
	interrupt := startDev(t, t.TempDir(), &urls)
	defer interrupt()
	c, err := client.New(client.Config{URL: urls.API, Key: urls.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()

	for name, width := range map[string]int{"phone": 360, "desk": 1280} {
		t.Run(name, func(t *testing.T) {
			ref := evergrant.Ref("browser_" + name + "@k-series")
			link, err := c.CreateLink(t.Context(), client.NewLink{Ref: ref, BusinessName: "Fjord Kitchen"})
			if err != nil {
				t.Fatal(err)
			}
			ctx := chromium(t, width)
			if _, err := chromedp.RunResponse(ctx, chromedp.Navigate(link.URL)); err != nil {
				t.Fatal(err)
			}
			if page := shown(t, ctx, "1-landing"); !strings.Contains(page, "Connect Fjord Kitchen") {
				t.Errorf("the landing page says %q", page)
			}
			press(t, ctx, "Continue")
			shown(t, ctx, "2-login")
			press(t, ctx, "finn@fjord-kitchen.example")
			shown(t, ctx, "3-consent")
			press(t, ctx, "Allow")
			if page := shown(t, ctx, "4-done"); !strings.Contains(page, "is connected") {
				t.Errorf("the done page says %q", page)
			}
			tok, err := c.Token(t.Context(), ref, nil)
			if err != nil {
				t.Fatal(err)
			}
			if status, _ := ask(t, http.MethodGet, tok.BaseURL+"/f/data/businesses", tok.AccessToken, ""); status != http.StatusOK {
				t.Errorf("the API answers %d to the token", status)
			}
			// Opened again, the link says so and changes nothing.
			if _, err := chromedp.RunResponse(ctx, chromedp.Navigate(link.URL)); err != nil {
				t.Fatal(err)
			}
			if page := shown(t, ctx, "5-again"); !strings.Contains(page, "Already connected") {
				t.Errorf("the link opened again says %q", page)
			}
		})
	}
}
