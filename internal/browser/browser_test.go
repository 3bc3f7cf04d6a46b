package browser_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/evergrant/evergrant/internal/browser"
)

func TestAPageMayDoWhatItNeedsAndNoMore(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		page browser.Page
		want string
	}{
		"it is only looked at":           {browser.Page{}, "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"},
		"where forms lead is not enough": {browser.Page{To: "https://idp.example"}, "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"},
		"its forms come to us":           {browser.Page{Forms: true}, "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
		"its forms lead on":              {browser.Page{Forms: true, To: "https://idp.example"}, "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self' https://idp.example; base-uri 'none'; frame-ancestors 'none'"},
		"it has a script":                {browser.Page{Forms: true, Script: true}, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
	} {
		h := http.Header{}
		browser.Guard(h, tt.page)
		if got := h.Get("Content-Security-Policy"); got != tt.want {
			t.Errorf("%s: its policy is %q", name, got)
		}
		if h.Get("Referrer-Policy") != "no-referrer" || h.Get("Strict-Transport-Security") != "" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: its headers are %v", name, h)
		}
	}
	h := http.Header{}
	browser.Guard(h, browser.Page{Secure: true, Referrer: true})
	if h.Get("Referrer-Policy") != "same-origin" || h.Get("Strict-Transport-Security") == "" {
		t.Errorf("over https, within our pages, its headers are %v", h)
	}
}

func TestAPageIsWrittenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	text := func(err error) func(io.Writer) error {
		return func(w io.Writer) error { return errors.Join(err, second(io.WriteString(w, "a page"))) }
	}
	for name, tt := range map[string]struct {
		method string
		err    error
		body   string
		length string
	}{
		"it is asked for":          {http.MethodGet, nil, "a page", "6"},
		"its head is":              {http.MethodHead, nil, "", "6"},
		"it cannot be rendered":    {http.MethodGet, errors.New("no such field"), "", ""},
		"nor its head be rendered": {http.MethodHead, errors.New("no such field"), "", ""},
	} {
		w := httptest.NewRecorder()
		err := browser.Write(w, httptest.NewRequest(tt.method, "/", nil), http.StatusGone, text(tt.err))
		if !errors.Is(err, tt.err) || w.Body.String() != tt.body || w.Header().Get("Content-Length") != tt.length {
			t.Errorf("%s: %v, %q of length %q", name, err, w.Body, w.Header().Get("Content-Length"))
		}
		if tt.err == nil && w.Code != http.StatusGone {
			t.Errorf("%s: its status is %d", name, w.Code)
		}
	}
}

func second(_ int, err error) error { return err }
