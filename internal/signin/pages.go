package signin

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/evergrant/evergrant/internal/access"
)

//go:embed web/page.html
var pageHTML string

// page is what the one template shows: what happened, what to do, whom to ask.
type page struct {
	Heading string
	Lead    []string // paragraphs
	Facts   []string // what was looked at
	Form    form     // the one thing to do
	Link    link     // or the way on
	Note    string
	Command string // at the end of the note
}

// form is a button that sends a form. Without an action there is none.
type form struct{ Action, Label, Next string }

// link is a button that only leads on. Without an address there is none.
type link struct{ To, Label string }

// command makes a one-time link.
const command = "evergrant dashboard"

func parsePages() *template.Template {
	return template.Must(template.New("page").Parse(pageHTML)) // embedded, so a test finds what is wrong in it
}

// may says what a role allows, as the end of a sentence about "you".
func may(r access.Role) string {
	switch r {
	case access.Operator:
		return "may do everything."
	case access.Support:
		return "may look at everything, send links and take them back, and check connections."
	}
	return "may look at everything and change nothing."
}

// maxName bounds what a person is called, in runes.
const maxName = 100

// clean makes a name one that can be shown in one line.
func clean(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, name)
	name = strings.TrimSpace(name)
	if runes := []rune(name); len(runes) > maxName {
		name = strings.TrimSpace(string(runes[:maxName]))
	}
	return name
}

// refuse answers to an attempt to get in that failed. Who fails too often is told
// to wait instead.
func (s *Service) refuse(r *http.Request, status int, p page) answer {
	if wait := s.fails.Another(access.Place(r.RemoteAddr)); wait > 0 {
		return answer{status: http.StatusTooManyRequests, retryAfter: wait, page: page{
			Heading: "Please wait a moment",
			Lead:    []string{"Too many attempts to log in from your address have failed."},
		}}
	}
	return answer{status: status, page: p}
}

// failed answers where something of ours is broken.
func (s *Service) failed(r *http.Request, what string, err error) answer {
	s.c.Logger.ErrorContext(r.Context(), "login: "+what, "err", err)
	return answer{status: http.StatusServiceUnavailable, retryAfter: 10 * time.Second, page: page{
		Heading: "Something is wrong here",
		Lead:    []string{"You could not be logged in. Please try again in a moment; the server's log has the cause."},
		Link:    link{To: loginPath, Label: "Try again"},
	}}
}

func (s *Service) nowhere(*http.Request) answer {
	return answer{status: http.StatusNotFound, page: page{
		Heading: "There is nothing here", Link: link{To: "/", Label: "Go to the dashboard"},
	}}
}

// foreign answers to a form of another site.
func (s *Service) foreign(r *http.Request) answer {
	s.c.Logger.WarnContext(r.Context(), "login: a form of another site was refused", "from", from(r))
	return answer{status: http.StatusForbidden, page: page{
		Heading: "This did not come from here",
		Lead:    []string{"Another site sent your browser here with a form. Nothing was done."},
		Link:    link{To: loginPath, Label: "Log in"},
	}}
}
