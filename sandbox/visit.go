package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// Visit is a person with a browser: it follows a link to the login and the
// consent page and back, by reading the HTML and submitting its forms over real
// HTTP. It is used by demonstrations and tests.
type Visit struct {
	// Client sends the requests; nil means one with its own cookie jar. Its
	// CheckRedirect may stop at the callback, whose URL is then the final one.
	Client *http.Client
	// Email and Password log in. "" means the first demo user, and the demo
	// password.
	Email, Password string
	// Decline presses Deny instead of Allow.
	Decline bool
}

// maxPages bounds a visit, redirects not counted.
const maxPages = 8

// Follow starts at a connect link (a landing page whose first form goes to the
// provider) or at an authorize URL, and returns the URL and the body of the page
// where it ends. Where the visit gets stuck, because a page has no form to go on
// with or the login is refused, final and page say where that was.
func (v Visit) Follow(ctx context.Context, link string) (final string, page string, err error) {
	client := v.Client
	if client == nil {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return "", "", fmt.Errorf("visit: cookie jar: %w", err)
		}
		client = &http.Client{Jar: jar}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return "", "", fmt.Errorf("visit: %w", err)
	}
	var done visited
	for range maxPages {
		final, page, err = fetch(client, request)
		if err != nil || done.consent {
			return final, page, err
		}
		f, err := done.next(page, v)
		if err != nil {
			return final, page, err
		}
		if request, err = f.request(ctx, final); err != nil {
			return final, page, err
		}
	}
	return final, page, errors.New("visit: no end after eight pages")
}

// visited is how far a visit has come.
type visited struct{ landing, login, consent bool }

// next fills in the form that leads on.
func (d *visited) next(page string, v Visit) (*form, error) {
	forms := parseForms(page)
	for _, f := range forms {
		if f.has("password", "password") && f.fieldOf("username") != nil {
			if d.login {
				return nil, errors.New("visit: the login was refused")
			}
			d.landing, d.login = true, true
			return f.fillLogin(forms, v)
		}
	}
	for _, f := range forms {
		if d.login && f.fieldOf("accept") != nil && f.fieldOf("cancel") != nil {
			d.consent = true
			if v.Decline {
				return f.press("cancel"), nil
			}
			return f.press("accept"), nil
		}
	}
	for _, f := range forms {
		if !d.landing && f.method == http.MethodPost {
			d.landing = true
			return f.press(""), nil
		}
	}
	return nil, errors.New("visit: the page has no form that leads on")
}

// fillLogin types e-mail and password, or presses a demo user's button.
func (f *form) fillLogin(all []*form, v Visit) (*form, error) {
	if v.Email == "" {
		for _, other := range all {
			if b := other.fieldOf("username"); b != nil && b.kind == "submit" {
				return other.press("username"), nil
			}
		}
		return nil, errors.New("visit: nobody to log in as: name an e-mail address")
	}
	password := v.Password
	if password == "" {
		password = demoPassword
	}
	filled := f.press("login")
	filled.values.Set("username", v.Email)
	filled.values.Set("password", password)
	return filled, nil
}

// fetch sends one request and reads the page. A redirect that the client does
// not follow ends at its target.
func fetch(client *http.Client, request *http.Request) (final, page string, err error) {
	resp, err := client.Do(request)
	if err != nil {
		final = request.URL.String()
		var failed *url.Error
		if errors.As(err, &failed) {
			final = failed.URL
		}
		return final, "", fmt.Errorf("visit: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return resp.Request.URL.String(), "", fmt.Errorf("visit: reading the page: %w", err)
	}
	final = resp.Request.URL.String()
	if to, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
		final = to.String()
	}
	return final, string(body), nil
}

// form is a form of a page.
type form struct {
	action, method string
	fields         []field
	values         url.Values // what is submitted
}

type field struct{ name, kind, value string }

func (f *form) fieldOf(name string) *field {
	for i := range f.fields {
		if f.fields[i].name == name {
			return &f.fields[i]
		}
	}
	return nil
}

func (f *form) has(name, kind string) bool {
	found := f.fieldOf(name)
	return found != nil && found.kind == kind
}

// press submits the form with the button of that name.
func (f *form) press(button string) *form {
	f.values = url.Values{}
	for _, fd := range f.fields {
		if fd.name != "" && (fd.kind != "submit" || fd.name == button) {
			f.values.Add(fd.name, fd.value)
		}
	}
	return f
}

// request makes the request of a submitted form on the page at base.
func (f *form) request(ctx context.Context, base string) (*http.Request, error) {
	from, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("visit: %w", err)
	}
	to, err := from.Parse(f.action)
	if err != nil {
		return nil, fmt.Errorf("visit: form action: %w", err)
	}
	if to.Scheme != "http" && to.Scheme != "https" {
		return nil, fmt.Errorf("visit: form action: %q is not http", clip(to.Scheme))
	}
	origin := from.Scheme + "://" + from.Host
	if f.method != http.MethodPost {
		to.RawQuery = f.values.Encode()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
		if err != nil {
			return nil, fmt.Errorf("visit: %w", err)
		}
		return r, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(f.values.Encode()))
	if err != nil {
		return nil, fmt.Errorf("visit: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// As browsers do; a server may refuse a form that comes from elsewhere.
	r.Header.Set("Origin", origin)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if to.Host != from.Host {
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}
	return r, nil
}

// parseForms reads the forms of a page.
func parseForms(page string) []*form {
	var forms []*form
	var open *form
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return forms
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == "form" {
				open = nil
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			if t.Data == "form" {
				open = &form{action: attribute(t, "action"), method: strings.ToUpper(attribute(t, "method"))}
				forms = append(forms, open)
			}
			if open != nil && (t.Data == "input" || t.Data == "button") {
				kind := attribute(t, "type")
				if t.Data == "button" && kind == "" {
					kind = "submit"
				}
				open.fields = append(open.fields, field{attribute(t, "name"), kind, attribute(t, "value")})
			}
		}
	}
}

func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
