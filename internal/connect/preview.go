package connect

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/browser"
	"github.com/evergrant/evergrant/internal/coverage"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/provider"
)

// Preview is a page that merchants see and that can be looked at without a link.
type Preview struct{ Name, Title string }

// Previews lists them, in the order in which merchants meet them. Without an app
// there are none.
func (s *Service) Previews() []Preview {
	if len(s.c.Apps) == 0 {
		return nil
	}
	all := []Preview{
		{"connect", "Connect"}, {"reconnect", "Connect again"}, {"renew", "Renew"}, {"add", "Another login"},
		{"done", "Done"}, {"missing", "Done, with locations missing"}, {"already", "Already connected"}, {"help", "A new link was asked for"},
	}
	for _, p := range problems() {
		all = append(all, Preview{string(p), "Problem: " + previewTitle(p)})
	}
	return append(all, Preview{"nowhere", "No such page"})
}

// problems are those that merchants meet, each with a page.
func problems() []grant.Problem {
	return []grant.Problem{
		grant.ProblemDeclined, grant.ProblemOtherIdentity, grant.ProblemScopeMissing, grant.ProblemLostSession, grant.ProblemCodeRejected,
		grant.ProblemProviderUnavailable, grant.ProblemLinkExpired, grant.ProblemLinkRevoked, grant.ProblemLinkUnknown,
		grant.ProblemOurFault, grant.ProblemOurSetup,
	}
}

// previewTitle is what a problem is called in the list.
func previewTitle(p grant.Problem) string {
	switch p {
	case grant.ProblemDeclined:
		return "the merchant said no"
	case grant.ProblemOtherIdentity:
		return "another business"
	case grant.ProblemScopeMissing:
		return "a permission is missing"
	case grant.ProblemLostSession:
		return "another browser, or too late"
	case grant.ProblemCodeRejected:
		return "too slow"
	case grant.ProblemProviderUnavailable:
		return "the provider does not answer"
	case grant.ProblemLinkExpired:
		return "the link is too old"
	case grant.ProblemLinkRevoked:
		return "the link was taken back"
	case grant.ProblemLinkUnknown:
		return "no such link"
	case grant.ProblemOurFault:
		return "our store is down"
	}
	return "our app is not set up right"
}

// ServePreview writes one of [Service.Previews] with made-up names, in the language
// that the query's lang names, with its stylesheet at style. No button of it works.
// The caller decides who may look.
func (s *Service) ServePreview(w http.ResponseWriter, r *http.Request, name, style string) {
	p, ok := s.previewed(r, name)
	if !ok {
		http.NotFound(w, r)
		return
	}
	p = s.dress(p, "", "")
	p.Style = style + strings.TrimPrefix(s.style.href, stylePath)
	head := w.Header()
	browser.Guard(head, browser.Page{Secure: s.secure}) // whose forms lead nowhere: nothing may come of looking
	head.Set("Content-Language", p.Lang)
	err := browser.Write(w, r, http.StatusOK, func(to io.Writer) error { return s.pages.Execute(to, p) })
	if err != nil {
		s.c.Logger.ErrorContext(r.Context(), "page could not be rendered", "err", err)
		http.Error(w, string(p.words.Failure), http.StatusInternalServerError)
	}
}

// ServePreviewStyle writes the stylesheet of previews. It may be cached for good:
// its address in a preview changes with it.
func (s *Service) ServePreviewStyle(w http.ResponseWriter, r *http.Request) { s.serveStyle(w, r) }

// previewed makes a page about a business that does not exist.
func (s *Service) previewed(r *http.Request, name string) (page, bool) {
	names := slices.Sorted(maps.Keys(s.c.Apps))
	if len(names) == 0 {
		return page{}, false
	}
	now := s.c.Now()
	v := visit{
		token: secret.New("preview"), words: s.language(r, ""), app: s.c.Apps[names[0]],
		link: grant.Link{BusinessName: "Café Nord", ShortCode: "7QM2-KX", Purpose: grant.PurposeConnect, CreatedAt: now.AddDate(0, 0, -3),
			ExpiresAt: now.AddDate(0, 0, 4), CompletedAt: now.AddDate(0, 0, -1)},
		conn: grant.Connection{Status: grant.Status{State: grant.Pending, Since: now.AddDate(0, 0, -18)}},
	}
	a, ok := s.previewAnswer(name, v)
	if b := &a.page.Button; b.URL != "" || name == "done" || name == "missing" || name == "already" {
		o := s.voice(v)
		if b.URL == "" {
			b.Label = o.say(o.Buttons.Back)
		}
		b.URL = "#"
	}
	return a.page, ok
}

// previewAnswer makes a page as it would be for a visit.
func (s *Service) previewAnswer(name string, v visit) (answer, bool) {
	quay := coverage.Location{ID: "1", Name: "Quay Bar", Grants: []string{"grant_1"}}
	pier := coverage.Location{ID: "2", Name: "Pier Café", Required: true}
	granted := []grant.Grant{{ID: "grant_1", Identity: grant.Identity{Name: v.link.BusinessName}, ConsentAt: s.c.Now()}}
	ep, ok := v.app.Known()
	if !ok {
		ep = provider.Endpoints{Authorize: "https://login.example/authorize"}
	}
	live := v
	live.link.Purpose, live.conn.Status.State = grant.PurposeReconnect, grant.Connected
	switch name {
	case "connect":
		return s.landingPage(v, ep, nil), true
	case "reconnect":
		v.link.Purpose, v.conn.Status.State = grant.PurposeReconnect, grant.NeedsReauthorization
		return s.landingPage(v, ep, nil), true
	case "renew":
		return s.landingPage(live, ep, nil), true
	case "add":
		live.link.Purpose = grant.PurposeAddGrant
		return s.landingPage(live, ep, []coverage.Location{pier}), true
	case "done":
		return s.donePage(live, granted, coverage.Coverage{Locations: []coverage.Location{quay}}), true
	case "missing":
		return s.donePage(live, granted, coverage.Coverage{Locations: []coverage.Location{quay, pier}, Uncovered: []string{pier.ID}}), true
	case "already":
		return s.alreadyPage(live), true
	case "help":
		return s.helpPage(v), true
	case "nowhere":
		o := s.voice(visit{words: v.words})
		return answer{page: o.page(o.Nowhere)}, true
	case string(grant.ProblemLinkUnknown):
		return s.problemPage(visit{words: v.words}, grant.ProblemLinkUnknown), true
	}
	if p := grant.Problem(name); slices.Contains(problems(), p) {
		return s.problemPage(v, p), true
	}
	return answer{}, false
}
