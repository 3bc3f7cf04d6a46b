package e2e_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/evergrant/evergrant/client"
)

// TestSupportBringsABusinessBack is a support person's day: somebody's sync has
// stopped; a message is copied and sent; the merchant follows the link in it; and
// the page that is still open says that the business is back.
func TestSupportBringsABusinessBack(t *testing.T) {
	t.Parallel()
	var urls devURLs
	interrupt := startDev(t, t.TempDir(), &urls)
	t.Cleanup(interrupt)

	// The link that evergrant dev prints is what evergrant dashboard prints.
	support := newPerson(t, deskWidth, deskHeight)
	support.open(urls.Dashboard)
	support.press("Log in")
	support.allowClipboard(urls.API)
	support.says("Merchants must act", "Trattoria Paola", "It needs its merchant to log in again.")
	eval[string](support, `window.sameDocument = "yes"`)
	const asked = `form[data-message][action*="trattoria_paola"]`
	support.do(chromedp.SetValue(asked+" select", "it"), chromedp.Click(asked+" button"))
	support.until("the message is copied", `document.querySelector('`+asked+` .said').textContent.startsWith("Copied.")`)
	support.picture("1-copied")
	message := eval[string](support, "navigator.clipboard.readText()")

	said := readWords(t, "it")
	facts := []string{"{name}", "Trattoria Paola", "{Name}", "Trattoria Paola", "{brand}", brandName, "{login}", providerName, "{Login}", providerName}
	if hello := said.say("message.hello", facts...); !strings.HasPrefix(message, hello) {
		t.Errorf("the message does not begin with %q:\n%s", hello, message)
	}
	merchant := newPerson(t, phoneWidth, phoneHeight)
	merchant.followsMessage(message, said, facts, "paola@trattoria-paola.example")

	// The page asked again by itself: nobody loaded it, and nobody pressed anything.
	support.until("the page says that the business is back", `[...document.querySelectorAll("section")].some(s =>
		s.querySelector("h2")?.textContent === "Back or new today" && s.textContent.includes("Trattoria Paola"))`)
	if got := eval[string](support, `window.sameDocument ?? "no"`); got != "yes" {
		t.Error("the page was loaded anew")
	}
	support.picture("2-back")
	if text := support.text(); strings.Contains(text, "It needs its merchant to log in again.") {
		t.Errorf("the page still asks for help:\n%s", text)
	}
	// Who works with the keyboard is still where they were, on what is still there.
	if at := eval[string](support, "document.activeElement.tagName"); at != "BODY" && at != "MAIN" {
		t.Errorf("the focus is on a %s that is gone", at)
	}
}

// TestSupportWorksWithoutScript brings a business back on plain pages.
func TestSupportWorksWithoutScript(t *testing.T) {
	t.Parallel()
	var urls devURLs
	interrupt := startDev(t, t.TempDir(), &urls)
	t.Cleanup(interrupt)
	l, err := urls.client(t).CreateDashboardLogin(t.Context(), client.NewDashboardLogin{Role: "support", Name: "Dana"})
	if err != nil {
		t.Fatal(err)
	}
	support := newPerson(t, phoneWidth, phoneHeight)
	support.withoutScript()
	support.open(l.URL)
	support.press("Log in")
	const asked = `form[data-message][action*="trattoria_paola"]`
	support.leads("ask for a message", chromedp.Click(asked+" button"))
	if got := support.heading(); got != "A message for Trattoria Paola" {
		t.Fatalf("the button leads to %q", got)
	}
	support.picture("1-message")
	message := eval[string](support, `document.getElementById("text").value`)
	said := readWords(t, "en")
	facts := []string{"{name}", "Trattoria Paola", "{Name}", "Trattoria Paola", "{brand}", brandName, "{login}", providerName, "{Login}", providerName}
	merchant := newPerson(t, phoneWidth, phoneHeight)
	merchant.withoutScript()
	merchant.followsMessage(message, said, facts, "paola@trattoria-paola.example")

	support.press("Back to Trattoria Paola")
	support.says("connected")
	support.press("Needs help")
	support.says("Back or new today", "Trattoria Paola")
	if text := support.text(); strings.Contains(text, "It needs its merchant to log in again.") {
		t.Errorf("the page still asks for help:\n%s", text)
	}
}

var linkInText = regexp.MustCompile(`http://\S+/connect/\S+`)

// followsMessage opens the link in a message and connects the business that was
// lost.
func (b *tab) followsMessage(message string, said words, facts []string, email string) {
	b.t.Helper()
	link := linkInText.FindString(message)
	if link == "" {
		b.t.Fatalf("there is no link in the message:\n%s", message)
	}
	b.open(link)
	if got, want := b.heading(), said.say("landing.reconnect.heading", facts...); got != want {
		b.t.Errorf("the page is headed %q, want %q", got, want)
	}
	b.press(said.say("buttons.toProvider", facts...))
	b.press(email)
	b.press("Allow")
	if got, want := b.heading(), said.say("done.heading", facts...); got != want {
		b.t.Fatalf("the page at the end is headed %q, want %q", got, want)
	}
	b.picture("done")
}
