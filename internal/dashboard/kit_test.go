package dashboard_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/html"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api/apitest"
	"github.com/evergrant/evergrant/internal/dashboard"
	"github.com/evergrant/evergrant/internal/telemetry"
	"github.com/evergrant/evergrant/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kit is a dashboard in front of a running API.
type kit struct {
	*apitest.Kit
	pages   *dashboard.Dashboard
	API     *client.Client
	metrics *telemetry.Metrics // whose trends are shown
	sandbox *sandbox.Sandbox
	role    access.Role // of whoever asks; "" for somebody who is not let in

	mu    sync.Mutex
	grown chan struct{}
}

// newKit starts a kit that lets operators in. Change may change its configuration.
func newKit(t testing.TB, change func(*dashboard.Config)) *kit {
	t.Helper()
	k := &kit{Kit: apitest.New(t, apitest.Options{}), role: access.Operator, grown: make(chan struct{})}
	var err error
	k.API, err = client.New(client.Config{URL: k.Server.URL, Key: apitest.AdminKey})
	k.must(err)
	t.Cleanup(k.API.CloseIdleConnections)
	k.metrics = telemetry.NewMetrics("test")
	k.metrics.Trends = telemetry.NewTrends(k.Now)
	k.sandbox = sandbox.New(sandbox.Config{})
	box := httptest.NewServer(k.sandbox)
	t.Cleanup(box.Close)
	c := dashboard.Config{
		API: k.API, Store: k.Store, Login: "/login", Logout: "/logout", Grown: k.news, Trends: k.metrics.Trends, Merchants: k.Config.Links,
		MasterKey: func(context.Context) (dashboard.MasterKey, error) {
			return dashboard.MasterKey{Sealing: "k1", Listed: []string{"k1"}}, nil
		},
		Sandbox: box.URL, Version: "1.2.3", Logger: slog.New(slog.DiscardHandler), Now: k.Now,
		Who: func(*http.Request) (access.Person, bool) {
			return access.Person{Name: "Anna", Role: k.role}, k.role != ""
		},
	}
	if change != nil {
		change(&c)
	}
	k.pages, err = dashboard.New(c)
	k.must(err)
	return k
}

func (k *kit) must(err error) {
	k.T.Helper()
	if err != nil {
		k.T.Fatal(err)
	}
}

// news is closed when the log grows, and grow makes it so.
func (k *kit) news() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.grown
}

func (k *kit) grow() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.grown)
	k.grown = make(chan struct{})
}

// get asks for a page.
func (k *kit) get(target string, header ...string) apitest.Answer {
	k.T.Helper()
	return apitest.Serve(k.pages, "", http.MethodGet, target, "", header...)
}

// post submits a form, as a page of the dashboard does. Fields are pairs.
func (k *kit) post(target string, fields ...string) apitest.Answer {
	k.T.Helper()
	return apitest.Serve(k.pages, "", http.MethodPost, target, form(fields...), "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: same-origin")
}

func form(fields ...string) string {
	v := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		v.Add(fields[i], fields[i+1])
	}
	return v.Encode()
}

// see asks for a page that must be there.
func (k *kit) see(target string) string {
	k.T.Helper()
	a := k.get(target)
	if a.Status != http.StatusOK {
		k.T.Fatalf("%s is %d: %s", target, a.Status, a.Body)
	}
	return a.Body
}

// says fails unless a text is all there.
func says(t testing.TB, body string, texts ...string) {
	t.Helper()
	read := textOf(body)
	for _, want := range texts {
		if !strings.Contains(read, want) {
			t.Errorf("there is no %q in %s", want, read)
		}
	}
}

// textOf is what a page says, with single spaces.
func textOf(body string) string {
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for n := range root.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// attr is the value of an attribute.
func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// elements are all of a kind on a page.
func elements(t testing.TB, body, tag string) []*html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var all []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == tag {
			all = append(all, n)
		}
	}
	return all
}

// link makes a link and returns it.
func (k *kit) link(ref string) client.Link {
	k.T.Helper()
	l, err := k.API.CreateLink(k.T.Context(), client.NewLink{Ref: evergrant.Ref(ref), Locale: "nl"})
	k.must(err)
	return l
}

// adoptUntil connects a business whose approval ends after a while.
func (k *kit) adoptUntil(ref string, left time.Duration) {
	k.T.Helper()
	at, rt := k.Oracle.Issue(ref)
	_, err := k.API.CreateConnection(k.T.Context(), client.NewConnection{Ref: evergrant.Ref(ref), Tokens: &client.Tokens{
		AccessToken: at, RefreshToken: rt, ExpiresAt: k.Now().Add(time.Hour), RefreshExpiresAt: k.Now().Add(left)}})
	k.must(err)
}
