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
	words     *words   // nil: English
	// Filled in by the writer.
	Brand                        Brand
	Style, Lang                  string
	Questions, YourCode, InOther string // labels
	Help                         []reach
	Languages                    []option
}

// dress fills in what all pages have. The button keeps the language that was
// picked by hand, lang.
func (s *Service) dress(p page, here, lang string) page {
	if p.words == nil {
		p.words = s.words[english]
	}
	p.Brand, p.Style, p.Lang = s.brand, s.style.href, p.words.tag
	t := p.words.Labels
	p.Questions, p.YourCode, p.InOther = string(t.Questions), string(t.Code), string(t.Languages)
	p.Help = s.reachable(p.words)
	p.Languages = s.options(here, p.words)
	p.Button.URL = s.inLanguage(p.Button.URL, lang)
	return p
}

// list is a list under a title. Without items it is not shown.
type list struct {
	Title string
	Items []item
}

// item is an entry of a list. Lang is its language if it is not the page's.
type item struct{ Text, Lang string }

func items(texts []string) []item {
	var all []item
	for _, t := range texts {
		all = append(all, item{Text: t})
	}
	return all
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
func (s *Service) back(o voice, v visit) button {
	to := s.returnURL(v.link.ReturnURL)
	if to == "" {
		return button{}
	}
	return button{Label: o.say(o.Buttons.Back), URL: to}
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
