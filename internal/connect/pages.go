package connect

import (
	_ "embed"
	"html/template"
	"net/http"

	"github.com/evergrant/evergrant/internal/grant"
)

//go:embed web/page.html
var pageHTML string

// page is what the one template shows: what happened, what to do, whom to ask.
type page struct {
	Heading   string
	Mark      string   // done, problem or "": the sign above the heading
	Lead      []string // paragraphs
	Lists     []list
	NoteTitle string // of a box that must not be missed
	Note      string
	Button    button
	Foot      []string // small print under the button
	Code      string   // the link's short code
	// Filled in by the writer.
	Brand Brand
	Style string
	Help  bool
}

// list is a list under a title. Without items it is not shown.
type list struct {
	Title string
	Items []string
}

// button is the one thing to do. Without an address there is none.
type button struct {
	Label, URL string
	Post       bool
}

func parsePages() *template.Template {
	return template.Must(template.New("page").Parse(pageHTML)) // embedded, so a test finds what is wrong in it
}

// again is the button that starts another trip.
func (s *Service) again(v visit, label string) button {
	if v.token.IsZero() {
		return button{}
	}
	return button{Label: label, URL: s.linkURL(v.token.Reveal(), "start"), Post: true}
}

// back is the button that leads into the developer's product.
func (s *Service) back(v visit) button {
	to := s.returnURL(v.link.ReturnURL)
	if to == "" {
		return button{}
	}
	return button{Label: "Back to " + s.brand.Name, URL: to}
}

// problemPage is the page of a problem. The visit may be empty.
func (s *Service) problemPage(v visit, p grant.Problem) answer {
	a := answer{status: problemStatus(p), page: s.problemCopy(v, p)}
	a.page.Mark, a.page.Code = "problem", v.link.ShortCode
	if a.status == http.StatusServiceUnavailable {
		a.retryAfter = 10
	}
	if a.page.Button.Post && v.app != nil {
		if ep, ok := v.app.Known(); ok {
			a.formAction = origin(ep.Authorize)
		} else {
			// Nobody knows yet where the form would lead, so the browser would not be
			// allowed to follow. The landing page asks again.
			a.page.Button.URL, a.page.Button.Post = s.linkURL(v.token.Reveal(), ""), false
		}
	}
	return a
}
