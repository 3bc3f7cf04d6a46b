package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/sandbox"
)

// merchantPage is a page of the public listener in one of its states.
type merchantPage struct {
	name    string
	status  int
	heading string // the name of its text
	// make brings the state about and returns the page's address.
	make func(*merchants) string
}

// merchantPages are all of them.
func merchantPages() []merchantPage {
	return []merchantPage{
		{"landing", 200, "landing.connect.heading", func(m *merchants) string {
			return m.link(m.aRef("k-series"), client.NewLink{}).URL
		}},
		{"landing-renew", 200, "landing.renew.heading", func(m *merchants) string {
			ref, _ := m.connected(anna)
			return m.link(ref, client.NewLink{}).URL
		}},
		{"landing-further-login", 200, "landing.addGrant.heading", func(m *merchants) string {
			return m.furtherLogin().URL
		}},
		{"done", 200, "done.heading", func(m *merchants) string {
			_, link := m.connected(olivia)
			return link.URL + "/done"
		}},
		{"done-location-missing", 200, "done.heading", func(m *merchants) string {
			return m.goes(sandbox.Visit{Email: marc}, m.furtherLogin())
		}},
		{"done-permission-missing", 200, "done.heading", func(m *merchants) string {
			return m.fails("k-required", sandbox.Fault{Fault: "scope_shrink"})
		}},
		{"already", 200, "already.heading", func(m *merchants) string {
			_, link := m.connected(anna)
			return link.URL
		}},
		{"used", 200, "used.heading", func(m *merchants) string {
			ref, link := m.connected(anna)
			if _, err := m.Disconnect(m.t.Context(), ref); err != nil {
				m.t.Fatal(err)
			}
			return link.URL
		}},
		{"declined", 403, "problems.declined.heading", func(m *merchants) string {
			return m.goes(sandbox.Visit{Email: anna, Decline: true}, m.link(m.aRef("k-series"), client.NewLink{}))
		}},
		{"link-expired", 410, "problems.expired.heading", func(m *merchants) string { return m.expired().URL }},
		{"help-asked", 200, "helpAsked.heading", func(m *merchants) string {
			link := m.expired()
			if status, _ := ask(m.t, http.MethodPost, link.URL+"/help", "", ""); status != http.StatusOK {
				m.t.Errorf("asking for a new link is answered %d", status)
			}
			return link.URL + "/help"
		}},
		{"link-revoked", 410, "problems.revoked.heading", func(m *merchants) string {
			link := m.link(m.aRef("k-series"), client.NewLink{})
			if _, err := m.RevokeLink(m.t.Context(), link.ID); err != nil {
				m.t.Fatal(err)
			}
			return link.URL
		}},
		{"link-unknown", 404, "problems.unknown.heading", func(m *merchants) string {
			link := m.link(m.aRef("k-series"), client.NewLink{}).URL
			return link[:len(link)-6] + "AAAAAA"
		}},
		{"other-identity", 409, "problems.otherBusiness.heading", func(m *merchants) string {
			ref, _ := m.connected(anna)
			return m.goes(sandbox.Visit{Email: bruno}, m.link(ref, client.NewLink{}))
		}},
		{"scope-missing", 403, "problems.scopeMissing.heading", func(m *merchants) string { return m.failed("scope_missing") }},
		{"lost-session", 400, "problems.lostSession.heading", func(m *merchants) string {
			browser, at := m.atCallback(anna, m.link(m.aRef("k-series"), client.NewLink{}))
			q := at.Query()
			q.Set("iss", "https://elsewhere.example")
			at.RawQuery = q.Encode()
			return m.arrives(browser, at)
		}},
		{"lost-session-no-link", 400, "problems.lostSession.heading", func(m *merchants) string {
			return m.public + "/oauth/callback/k-series?code=x"
		}},
		{"provider-unavailable", 503, "problems.unavailable.heading", func(m *merchants) string {
			return m.fails("k-series", sandbox.Fault{Fault: "status_500"})
		}},
		{"code-rejected", 400, "problems.tooSlow.heading", func(m *merchants) string {
			return m.fails("k-series", sandbox.Fault{Fault: "invalid_grant_once"})
		}},
		{"our-fault", 503, "problems.ourFault.heading", func(m *merchants) string { return m.failed("our_fault") }},
		{"our-setup", 503, "problems.ourSetup.heading", func(m *merchants) string {
			return m.fails("k-refused", sandbox.Fault{Fault: "invalid_client"})
		}},
		{"nowhere", 404, "nowhere.heading", func(m *merchants) string { return m.public + "/nothing" }},
	}
}

// furtherLogin is a link for somebody who sees the location that is missing.
func (m *merchants) furtherLogin() client.Link {
	m.t.Helper()
	ref, _ := m.connected(marc)
	const lighthouse = "310004455667790"
	if _, err := m.UpdateConnection(m.t.Context(), ref, client.Change{RequiredLocations: &[]string{"310004455667789", lighthouse}}); err != nil {
		m.t.Fatal(err)
	}
	return m.link(ref, client.NewLink{Locations: []string{lighthouse}})
}

// expired is a link that is too old.
func (m *merchants) expired() client.Link {
	m.t.Helper()
	link := m.link(m.aRef("k-series"), client.NewLink{TTL: time.Second})
	eventually(m.t, time.Minute, "the link expires", func() bool {
		l, err := m.Link(m.t.Context(), link.ID)
		return err == nil && l.State == "expired"
	})
	return link
}

// merchantLimits are those of every page of the public listener: the page and its
// stylesheet.
var merchantLimits = limits{requests: 2, bytes: 20_000}

// TestMerchantPagesAreForEverybody looks at every page merchants can meet, under
// a pale brand and a dark one, light and dark, in two languages, and the first one
// in all six.
func TestMerchantPagesAreForEverybody(t *testing.T) {
	t.Parallel()
	all := languages(t)
	said := map[string]words{}
	for _, language := range all {
		said[language] = readWords(t, language)
	}
	inspector := newInspector(t)
	for brand, colour := range map[string]string{"pale": "#ffe08a", "deep": "#10243f"} {
		t.Run(brand, func(t *testing.T) {
			t.Parallel()
			m := newMerchants(t, colour)
			gone, _ := m.connected(paola)
			m.lose(gone, paola) // refusals must be ten seconds apart, so this takes a while
			b := inspector.equip(newPerson(t, phoneWidth, phoneHeight))
			look := func(p merchantPage, address, language string) {
				t.Helper()
				sep := "?"
				if strings.Contains(address, "?") {
					sep = "&"
				}
				if status := b.open(address + sep + "lang=" + language); status != p.status {
					t.Errorf("%s answers %d, want %d", p.name, status, p.status)
				}
				want := said[language].say(p.heading, "{name}", businessName, "{Name}", businessName, "{brand}", brandName,
					"{login}", providerName, "{Login}", providerName, "{login.dative}", providerName, "{name.dative}", businessName)
				if got := b.heading(); got != want {
					t.Errorf("%s is headed %q, want %q", p.name, got, want)
				}
				if got := eval[string](b, "document.documentElement.lang"); got != language {
					t.Errorf("%s is in %q, want %q", p.name, got, language)
				}
				inspector.inspect(b, fmt.Sprintf("%s-%s-%s", p.name, brand, language), merchantLimits)
			}
			for n, p := range merchantPages() {
				address := p.make(m)
				look(p, address, "en")
				// Every language has its turn, in the order of the pages.
				spoken := []string{all[n%len(all)]}
				if p.name == "landing" {
					spoken = all
				}
				for _, language := range spoken {
					if language != "en" {
						look(p, address, language)
					}
				}
			}
			m.lost(gone)
			reconnect := merchantPage{"landing-reconnect", 200, "landing.reconnect.heading", func(m *merchants) string {
				return m.link(gone, client.NewLink{}).URL
			}}
			address := reconnect.make(m)
			look(reconnect, address, "en")
			look(reconnect, address, "de")
		})
	}
}
