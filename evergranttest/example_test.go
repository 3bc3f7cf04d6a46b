package evergranttest_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/evergranttest"
	"github.com/evergrant/evergrant/sandbox"
)

// A test of a program that calls a provider's API: a business is connected, a month
// passes, and a merchant leaves.
func Example() {
	t, end := testingT() // in a test, the one you have
	defer end()

	e := evergranttest.New(t)
	e.ConnectAs("biz_42@k-series", "anna@cafe-nord.example")
	api := evergrant.NewHTTPClient(e, "biz_42@k-series")

	e.Clock.Advance(30 * 24 * time.Hour)
	tok, err := e.Token(t.Context(), "biz_42@k-series", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := api.Get(tok.BaseURL + "/f/data/businesses")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	fmt.Println("after a month:", res.Status)

	e.Break(sandbox.Fault{Fault: "status_500", Times: 2})
	e.Clock.Advance(time.Hour)
	_, err = e.Token(t.Context(), "biz_42@k-series", nil)
	fmt.Println("after trouble:", err)

	e.Sandbox.RevokeUser("anna@cafe-nord.example")
	e.Clock.Advance(time.Hour)
	_, err = e.Token(t.Context(), "biz_42@k-series", nil)
	fmt.Println("after the merchant left:", errors.Is(err, evergrant.ErrReauthorize))
	// Output:
	// after a month: 200 OK
	// after trouble: <nil>
	// after the merchant left: true
}
