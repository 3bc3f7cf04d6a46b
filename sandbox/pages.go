package sandbox

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

//go:embed pages/*.html
var pageFiles embed.FS

// parsePages parses the embedded pages; a broken one fails every test.
func parsePages() *template.Template {
	return template.Must(template.ParseFS(pageFiles, "pages/*.html"))
}

// reply writes an answer that was decided under the lock, after it was let go.
type reply func(w http.ResponseWriter, r *http.Request)

// maxBody bounds every request body.
const maxBody = 1 << 20

// page serves a browser: f runs with the lock held and must not touch the
// connection, the reply it returns runs without.
func (s *Sandbox) page(sr *series, f func(*series, *http.Request) reply) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := r.ParseForm(); err != nil {
			s.problem(http.StatusBadRequest, "The form cannot be read.")(w, r)
			return
		}
		s.mu.Lock()
		answer := f(sr, r)
		s.mu.Unlock()
		answer(w, r)
	}
}

// view is what a page shows.
type view struct {
	Title  string
	Text   string
	Action string
	People []person
	// Redirect is the suggestion of the registration page.
	Redirect string
	Client   string
	Email    string
	Scopes   []scopeText
	Series   []seriesLine
	Now      string
}

func (s *Sandbox) render(status int, name string, v view) reply {
	return func(w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		if err := s.pages.ExecuteTemplate(&b, name, v); err != nil {
			s.log.Error("page cannot be rendered", "page", name, "err", err)
			http.Error(w, "page cannot be rendered", http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store, must-revalidate, max-age=0")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		w.WriteHeader(status)
		_, _ = w.Write(b.Bytes())
	}
}

// redirectTo sends the browser on. 302 like Keycloak and Spring.
func redirectTo(to string) reply {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
}

// problem is the page for errors that are not sent on the redirect.
func (s *Sandbox) problem(status int, text string) reply {
	return s.render(status, "problem.html", view{Title: "We are sorry...", Text: text})
}

func (s *Sandbox) loginPage(status int, l *login, problem string) reply {
	return s.render(status, "login.html", view{
		Title:  "Sign in to " + l.series.title,
		Text:   problem,
		Action: l.series.root + l.series.loginPath + "?" + url.Values{"session_code": {l.id}, "client_id": {l.client.id}}.Encode(),
		Client: l.client.id,
		People: s.w.people(l.series),
	})
}

// person is somebody who can log in to a series, and what they see there.
type person struct {
	Email, Name, Password string
	Places                []place
}

// people are those with the demo password, who get a button each.
func (w *world) people(sr *series) []person {
	var out []person
	for _, u := range w.users {
		if places, ok := sr.reach(u); ok && u.Password == demoPassword {
			out = append(out, person{u.Email, u.Name, u.Password, places})
		}
	}
	slices.SortFunc(out, func(a, b person) int { return strings.Compare(a.Email, b.Email) })
	const most = 30
	return out[:min(len(out), most)]
}

// registerPage asks for the redirect URI that a client is registered with, where
// requests do not name it.
func (s *Sandbox) registerPage(status int, sr *series, cl *client, query, problem string) reply {
	return s.render(status, "register.html", view{
		Title:    "Register " + cl.id,
		Text:     problem,
		Action:   sr.root + sr.registerPath + "?" + query,
		Client:   cl.id,
		Redirect: "http://127.0.0.1:8420/oauth/callback/" + sr.family,
	})
}

func (s *Sandbox) consentPage(l *login) reply {
	v := view{
		Title:  "Grant access",
		Action: l.series.root + l.series.consentPath + "?" + url.Values{"session_code": {l.id}}.Encode(),
		Client: l.client.id,
		Email:  l.email,
	}
	for _, sc := range l.scope {
		text := l.series.describe(sc)
		if text == "" {
			text = "use " + sc
		}
		v.Scopes = append(v.Scopes, scopeText{sc, text})
	}
	return s.render(http.StatusOK, "consent.html", v)
}

// seriesLine is a series on the landing page.
type seriesLine struct {
	Title, Name, Root, Authorize, Token string
	People                              []person
}

type scopeText struct{ Name, Text string }

func (s *Sandbox) landing(w http.ResponseWriter, r *http.Request) {
	v := view{Title: "Lightspeed, on this machine"}
	s.mu.Lock()
	for _, sr := range s.series {
		v.Series = append(v.Series, seriesLine{sr.title, sr.name, sr.root, sr.root + sr.authorizePath, sr.root + sr.tokenPath, s.w.people(sr)})
	}
	v.Now = s.now().UTC().Format("2 January 2006 15:04:05 UTC")
	s.mu.Unlock()
	s.render(http.StatusOK, "landing.html", v)(w, r)
}

func (s *Sandbox) nothingHere(w http.ResponseWriter, r *http.Request) {
	s.problem(http.StatusNotFound, "There is nothing here.")(w, r)
}
