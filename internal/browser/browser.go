// Package browser hands pages for people to their browsers: whole, and with headers
// that have a browser show them and do nothing else. Merchants' pages, the pages to
// log in and the dashboard are written by it.
package browser

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Page says what a page needs beyond being shown. The zero Page may have our
// stylesheet and our pictures, and nothing leaves it.
type Page struct {
	// Forms is whether its forms may be sent to us; To is a further origin where they
	// may end up, because form-action holds for redirects too (CSP3 section 6.4.1).
	Forms bool
	To    string
	// Script is whether it may run our script, which may ask us.
	Script bool
	// Referrer is whether our own pages may learn its address. One with a secret in it
	// must not travel at all.
	Referrer bool
	// Secure is whether people come by https, and should from now on.
	Secure bool
}

// Guard sets the headers of a page. It may be called before it is known whether
// there will be one: they do no harm to another answer.
func Guard(h http.Header, p Page) {
	h.Set("Content-Security-Policy", p.policy())
	h.Set("Referrer-Policy", "no-referrer")
	if p.Referrer {
		h.Set("Referrer-Policy", "same-origin")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if p.Secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// policy is the page's Content-Security-Policy.
func (p Page) policy() string {
	forms := "'none'"
	if p.Forms {
		forms = strings.TrimSpace("'self' " + p.To)
	}
	script, connect := "", ""
	if p.Script {
		script, connect = "script-src 'self'; ", "connect-src 'self'; "
	}
	return "default-src 'none'; " + script + "style-src 'self'; img-src 'self' data:; " + connect + "form-action " + forms +
		"; base-uri 'none'; frame-ancestors 'none'"
}

// Write renders a page and writes it. It is rendered whole before anything is sent:
// if that fails, the error is returned and nothing is written.
func Write(w http.ResponseWriter, r *http.Request, status int, render func(io.Writer) error) error {
	var body bytes.Buffer
	if err := render(&body); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes()) // the browser is gone; there is nobody to tell
	}
	return nil
}
