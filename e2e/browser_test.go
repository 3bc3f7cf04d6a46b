package e2e_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// browser is a person who follows links and sends forms. It keeps every page and
// what it was sent, for tests that look for what must not be there.
type browser struct {
	t      *testing.T
	client *http.Client
	// types is what the person types into a form's fields, by name.
	types map[string]string
	pages []page
}

// page is an answer as it came, redirects included.
type page struct {
	url    *url.URL
	status int
	header http.Header
	body   string
}

func newBrowser(t *testing.T, types map[string]string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, types: types}
	b.client = &http.Client{Jar: jar, Transport: b}
	return b
}

// RoundTrip implements [http.RoundTripper]: it keeps what comes.
func (b *browser) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	b.pages = append(b.pages, page{r.URL, res.StatusCode, res.Header, string(body)})
	res.Body = io.NopCloser(strings.NewReader(string(body)))
	return res, nil
}

// open goes to an address and returns the page where that ends.
func (b *browser) open(address string) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

func (b *browser) do(r *http.Request) page {
	b.t.Helper()
	res, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	_ = res.Body.Close()
	last := b.pages[len(b.pages)-1]
	last.url = res.Request.URL
	return last
}

// follow opens a link and sends the first form of every page until one of them
// is at a path that ends in until.
func (b *browser) follow(link, until string) page {
	b.t.Helper()
	at := b.open(link)
	for range 8 {
		if strings.HasSuffix(at.url.Path, until) {
			return at
		}
		at = b.submit(at)
	}
	b.t.Fatalf("eight forms do not lead to %s; the last page is %s: %s", until, at.url.Path, at.body)
	return at
}

// submit fills in the first form of a page and sends it.
func (b *browser) submit(at page) page {
	b.t.Helper()
	action, values, ok := b.firstForm(at.body)
	if !ok {
		b.t.Fatalf("the page at %s (%d) has no form that leads on: %s", at.url.Path, at.status, at.body)
	}
	to, err := at.url.Parse(action)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", at.url.Scheme+"://"+at.url.Host)
	return b.do(r)
}

// firstForm reads the first form of a page that is sent by POST.
func (b *browser) firstForm(text string) (action string, values url.Values, ok bool) {
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		b.t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Data != "form" || !strings.EqualFold(attribute(n, "method"), "post") {
			continue
		}
		values = url.Values{}
		for f := range n.Descendants() {
			name := attribute(f, "name")
			if name == "" || f.Data != "input" && f.Data != "button" {
				continue
			}
			value := attribute(f, "value")
			if typed, ok := b.types[name]; ok {
				value = typed
			}
			values.Set(name, value)
		}
		return attribute(n, "action"), values, true
	}
	return "", nil, false
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
