package e2e_test

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"
)

// chromium opens a real browser of somebody who was never here, with a page of
// the given width, and returns a context to drive it.
func chromium(t *testing.T, width int64) context.Context {
	t.Helper()
	return newPerson(t, width, deskHeight).ctx
}

// shown returns a browser's page as text, and keeps a picture of it if pictures
// are wanted.
func shown(t *testing.T, ctx context.Context, name string) string {
	t.Helper()
	text, err := chromedp.Run(ctx, chromedp.Text("body"))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	keepPicture(t, ctx, name)
	return text
}

// press presses the button with this text and waits for the page it leads to.
func press(t *testing.T, ctx context.Context, text string) {
	t.Helper()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(button(text))); err != nil {
		t.Fatalf("press %q: %v", text, err)
	}
}
