package evergrant_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/evergrant/evergrant"
)

// asked records what a source is asked for.
type asked struct {
	source
	options []evergrant.TokenOptions
}

func (a *asked) Token(ctx context.Context, ref evergrant.Ref, opts *evergrant.TokenOptions) (*evergrant.Token, error) {
	a.options = append(a.options, *opts)
	return a.source.Token(ctx, ref, opts)
}

func TestATransportAsksForWhatItsOptionsSay(t *testing.T) {
	api := newAPI(t, "t1")
	src := &asked{source: source{baseURL: api.URL}}
	want := evergrant.TokenOptions{Location: "310004455667789"}
	hc := &http.Client{Transport: &evergrant.Transport{Source: src, Ref: "harbour@k-series", Options: want, Base: &http.Transport{}}}
	defer hc.CloseIdleConnections()
	res, err := hc.Get(api.URL + "/sales")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	// The second time after the rejection, which knows of no location.
	if res.StatusCode != http.StatusOK || len(src.options) != 2 || src.options[0] != want || src.options[1] != want || src.rejects != 1 {
		t.Errorf("%s, asked for %+v, %d rejections", res.Status, src.options, src.rejects)
	}
}
