package e2e_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
)

// TestMerchantConnectsInARealBrowser goes the whole way as a person does, on a
// phone and on a desk, in two languages: what a strict policy or a cookie rule
// would break, it breaks here.
func TestMerchantConnectsInARealBrowser(t *testing.T) {
	t.Parallel()
	var urls devURLs
	interrupt := startDev(t, t.TempDir(), &urls)
	t.Cleanup(interrupt)
	c := urls.client(t)
	for language, name := range map[string]string{"nl": "Fjord Kitchen", "fr": "Café Fjord"} {
		for device, size := range map[string][2]int64{"phone": {phoneWidth, phoneHeight}, "desk": {deskWidth, deskHeight}} {
			t.Run(language+" on a "+device, func(t *testing.T) {
				t.Parallel()
				ref := evergrant.Ref(fmt.Sprintf("browser_%s_%s@k-series", language, device))
				link, err := c.CreateLink(t.Context(), client.NewLink{Ref: ref, BusinessName: name, Locale: language})
				if err != nil {
					t.Fatal(err)
				}
				said := readWords(t, language)
				text := func(key string) string {
					t.Helper()
					return said.say(key, "{name}", name, "{Name}", name, "{brand}", brandName, "{login}", providerName, "{party}", "Fjord Kitchen")
				}
				b := newPerson(t, size[0], size[1])
				b.open(link.URL)
				b.says(text("landing.connect.heading"), text("landing.whoTitle"), text("landing.who"), text("landing.notYours"), link.ShortCode)
				b.picture("1-landing")
				b.press(text("buttons.toProvider"))
				b.picture("2-login")
				b.press("finn@fjord-kitchen.example")
				b.picture("3-consent")
				b.press("Allow")
				b.says(text("done.heading"), text("done.all"), text("done.locationsOf"), text("done.close"))
				b.picture("4-done")
				tok, err := c.Token(t.Context(), ref, nil)
				if err != nil {
					t.Fatal(err)
				}
				if status, _ := ask(t, http.MethodGet, tok.BaseURL+"/f/data/businesses", tok.AccessToken, ""); status != http.StatusOK {
					t.Errorf("the API answers %d to the token", status)
				}
				// Opened again, the link says so and changes nothing.
				b.open(link.URL)
				b.says(text("already.heading"))
				b.picture("5-again")
			})
		}
	}
}

// devURLs is what evergrant dev announces.
type devURLs struct{ API, Public, Sandbox, Key, Dashboard string }

// client returns a client of its API.
func (u devURLs) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: u.API, Key: u.Key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}
