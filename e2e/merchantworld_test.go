package e2e_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/sandbox"
)

// merchants is a server whose businesses log in at a sandbox in this process.
type merchants struct {
	*server
	box *sandbox.Sandbox
	n   int // businesses that were made
}

// Names that the pages of merchants show.
const (
	brandName    = "Acme Loyalty"
	businessName = "Café Nord"
	providerName = "Lightspeed"
)

// newMerchants starts a server whose brand has this colour.
func newMerchants(t *testing.T, colour string) *merchants {
	t.Helper()
	m := &merchants{server: newServer(t), box: sandbox.New(sandbox.Config{})}
	box := httptest.NewServer(m.box)
	t.Cleanup(box.Close)
	m.env = append(m.env, "EVERGRANT_SANDBOX_URL="+box.URL)
	var apps strings.Builder
	for _, app := range []string{"k-series", "k-required", "k-refused"} {
		fmt.Fprintf(&apps, `  %[1]s:
    provider: lightspeed-k
    environment: sandbox
    client_id: devp-v2-%[1]s
    client_secret: {file: secrets/client-secret}
    scopes: [financial-api, orders-api, offline_access]
    required_scopes: [financial-api, orders-api]
    refresh: {min_interval: 1s}
`, app)
	}
	m.configure(apps.String(), fmt.Sprintf(`links: {return_url_allow: ["https://app.acme.example/*"]}
brand: {name: %s, colour: "%s", support: {email: help@acme.example}}`, brandName, colour))
	m.start()
	return m
}

// People of the sandbox.
const (
	anna   = "anna@cafe-nord.example"
	bruno  = "bruno@bistro-soleil.example"
	marc   = "marc@harbour-group.example" // sees one location of three
	olivia = "olivia@harbour-group.example"
	paola  = "paola@trattoria-paola.example"
)

// aRef is the address of a business that nobody has used.
func (m *merchants) aRef(app string) evergrant.Ref {
	m.n++
	return evergrant.Ref(fmt.Sprintf("biz_%d@%s", m.n, app))
}

// link makes a link for a business; l says what is special about it.
func (m *merchants) link(ref evergrant.Ref, l client.NewLink) client.Link {
	m.t.Helper()
	l.Ref, l.BusinessName = ref, businessName
	link, err := m.CreateLink(m.t.Context(), l)
	if err != nil {
		m.t.Fatal(err)
	}
	return link
}

// goes has somebody follow a link to its end, with what the visit says besides,
// and returns the address of the page there.
func (m *merchants) goes(v sandbox.Visit, link client.Link) string {
	m.t.Helper()
	final, page, err := v.Follow(m.t.Context(), link.URL)
	if err != nil {
		m.t.Fatalf("%s went to %s: %v\n%s", v.Email, final, err, page)
	}
	return final
}

// connected is a business that somebody has connected, and its link.
func (m *merchants) connected(email string) (evergrant.Ref, client.Link) {
	m.t.Helper()
	ref := m.aRef("k-series")
	link := m.link(ref, client.NewLink{ReturnURL: "https://app.acme.example/settings"})
	if final := m.goes(sandbox.Visit{Email: email}, link); final != link.URL+"/done" {
		m.t.Fatalf("%s ended at %s", email, final)
	}
	return ref, link
}

// fails has somebody follow a new link while the provider has a fault, and
// returns the address of the problem's page.
func (m *merchants) fails(app string, f sandbox.Fault) string {
	m.t.Helper()
	f.App, f.Times = "devp-v2-"+app, 1
	m.box.Fault(f)
	return m.goes(sandbox.Visit{Email: anna}, m.link(m.aRef(app), client.NewLink{}))
}

// failed is a link whose last try is on record with a problem that cannot be
// brought about from outside at will.
func (m *merchants) failed(problem string) string {
	m.t.Helper()
	link := m.link(m.aRef("k-series"), client.NewLink{})
	db, err := sql.Open("sqlite", "file:"+m.database()+"?_pragma=busy_timeout(30000)")
	if err != nil {
		m.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(m.t.Context(), "UPDATE links SET state = 'failed', problem = ? WHERE id = ?", problem, link.ID); err != nil {
		m.t.Fatal(err)
	}
	return link.URL + "/problem"
}

// atCallback goes to where the provider sends somebody back, without going there,
// and returns the browser with that address.
func (m *merchants) atCallback(email string, link client.Link) (*http.Client, *url.URL) {
	m.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		m.t.Fatal(err)
	}
	c := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.Path, "/oauth/callback/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	at, err := url.Parse(m.goes(sandbox.Visit{Client: c, Email: email}, link))
	if err != nil || !strings.HasPrefix(at.Path, "/oauth/callback/") {
		m.t.Fatalf("%s is at %s: %v", email, at, err)
	}
	return c, at
}

// arrives goes on from there and returns the address where that ends.
func (m *merchants) arrives(c *http.Client, at *url.URL) string {
	m.t.Helper()
	r, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, at.String(), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	on := *c
	on.CheckRedirect = nil
	res, err := on.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.Request.URL.String()
}

// lose has a business lose its access; lost waits until that is known.
func (m *merchants) lose(ref evergrant.Ref, email string) {
	m.t.Helper()
	m.box.RevokeUser(email)
	if _, err := m.Refresh(m.t.Context(), ref); err != nil {
		m.t.Logf("refresh %s: %v", ref, err)
	}
}

func (m *merchants) lost(ref evergrant.Ref) {
	m.t.Helper()
	eventually(m.t, time.Minute, string(ref)+" is known to have lost its access", func() bool {
		c, err := m.Connection(m.t.Context(), ref)
		return err == nil && c.State == "needs_reauthorization"
	})
}
