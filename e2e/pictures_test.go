//go:build pictures

package e2e_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/sandbox"
)

// mostOfAPicture is how many bytes a picture in the documents may have.
const mostOfAPicture = 150_000

// TestPicturesOfTheDocuments takes the pictures in docs/images from the demo:
// make screenshots. What they show has happened, in a week or so of the demo's
// time.
func TestPicturesOfTheDocuments(t *testing.T) {
	var urls devURLs
	interrupt := startDev(t, t.TempDir(), &urls)
	t.Cleanup(interrupt)
	c := urls.client(t)
	aWeekOfTheDemo(t, urls, c)

	support := newPerson(t, deskWidth, deskHeight)
	support.invited(c, "support", "Dana")
	support.scheme(true)
	support.keepIn("dashboard")
	support.scheme(false)
	support.keepIn("dashboard-dark")
	support.scheme(true)
	support.open(urls.API + "/connections/" + url.PathEscape("bistro_soleil@k-series"))
	support.keepIn("connection")

	link, err := c.CreateLink(t.Context(), client.NewLink{Ref: "pier_cafe@k-series", BusinessName: "Harbour Group", ReturnURL: "http://localhost:3000/settings"})
	if err != nil {
		t.Fatal(err)
	}
	merchant := newPerson(t, phoneWidth, phoneHeight)
	merchant.do(chromedp.EmulateViewport(phoneWidth, phoneHeight, chromedp.EmulateScale(2)))
	merchant.scheme(true)
	merchant.open(link.URL)
	merchant.keepIn("merchant")
	merchant.press("Continue")
	merchant.press(olivia)
	merchant.press("Allow")
	merchant.says("is connected")
	merchant.keepIn("merchant-done")
}

// keepIn keeps a picture of the page in the documents.
func (b *tab) keepIn(name string) {
	b.t.Helper()
	shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	picture := shrink(b.t, shot)
	if len(picture) > mostOfAPicture {
		b.t.Errorf("the picture %s has %d bytes, want at most %d", name, len(picture), mostOfAPicture)
	}
	dir := filepath.Join("..", "docs", "images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// shrink writes a PNG with the 256 colours that it has most of; the few others,
// at the edges of letters, take the nearest one.
func shrink(t *testing.T, shot []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	bounds := full.Bounds()
	often := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(full.At(x, y)).(color.RGBA) }
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			often[at(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(often), func(a, b color.RGBA) int { return often[b] - often[a] })
	var palette color.Palette
	for _, c := range colours[:min(256, len(colours))] {
		palette = append(palette, c)
	}
	nearest := map[color.RGBA]uint8{}
	for _, c := range colours {
		nearest[c] = uint8(palette.Index(c))
	}
	small := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			small.SetColorIndex(x, y, nearest[at(x, y)])
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// aWeekOfTheDemo lets time pass and things go wrong.
func aWeekOfTheDemo(t *testing.T, urls devURLs, c *client.Client) {
	t.Helper()
	tell := func(path, body string) {
		t.Helper()
		if status, answer := ask(t, http.MethodPost, urls.Sandbox+"/_sandbox/"+path, "", body); status/100 != 2 {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
	}
	pass := func(d string) { t.Helper(); tell("clock", fmt.Sprintf(`{"advance":%q}`, d)) }
	is := func(ref evergrant.Ref, state string) {
		t.Helper()
		eventually(t, time.Minute, fmt.Sprintf("%s is %s", ref, state), func() bool {
			got, err := c.Connection(t.Context(), ref)
			return err == nil && got.State == state
		})
	}
	// Whoever is connected gets a token, so all of them are renewed.
	renewed := func() {
		t.Helper()
		page, err := c.Connections(t.Context(), client.ConnectionFilter{States: []string{"connected"}, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range page.Data {
			if _, err := c.Token(t.Context(), evergrant.Ref(one.Ref), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 6 {
		pass("1d")
		renewed()
	}
	tell("users/bruno@bistro-soleil.example/revoke", "")
	pass("1h")
	is("bistro_soleil@k-series", "needs_reauthorization")
	pass("2d")
	renewed()
	link, err := c.CreateLink(t.Context(), client.NewLink{Ref: "fjord_kitchen@k-series", BusinessName: "Fjord Kitchen"})
	if err != nil {
		t.Fatal(err)
	}
	if final, page, err := (sandbox.Visit{Email: "finn@fjord-kitchen.example"}).Follow(t.Context(), link.URL); err != nil || !strings.HasSuffix(final, "/done") {
		t.Fatalf("%s: %v\n%s", final, err, page)
	}
	if link, err = c.CreateLink(t.Context(), client.NewLink{Ref: "trattoria_paola@k-series", BusinessName: "Trattoria Paola"}); err != nil {
		t.Fatal(err)
	}
	ask(t, http.MethodGet, link.URL, "", "")
	tell("faults", `{"app":"x-series","fault":"status_503"}`)
	if _, err := c.Refresh(t.Context(), "fjord_wear@x-series"); err != nil {
		t.Fatal(err)
	}
	is("fjord_wear@x-series", "degraded")
	pass("3h")
}
