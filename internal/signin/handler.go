package signin

import (
	"crypto/subtle"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/browser"
)

// The paths.
const (
	loginPath    = "/login"
	linkPath     = "/login/link/"
	startPath    = "/login/oidc"
	callbackPath = "/login/callback"
	outPath      = "/login/out"
	logoutPath   = "/logout"
)

// maxForm bounds what is read of a form.
const maxForm = 8 << 10

// answer is what a request comes to: a page, or a way on. One writer turns it
// into a response, so that no page can miss a header.
type answer struct {
	status   int
	page     page
	location string // instead of a page: 303 to there
	cookies  []*http.Cookie
	// formAction is the identity provider's origin, where the page's form ends up.
	// Browsers apply form-action to the redirect too.
	formAction string
	retryAfter time.Duration
	allow      string
}

// goTo is an answer that sends the browser on.
func goTo(location string, cookies ...*http.Cookie) answer {
	return answer{status: http.StatusSeeOther, location: location, cookies: cookies}
}

// Handler returns what is served at /login, everything below it, and /logout. The
// pages take their look from /assets/dashboard.css, which anybody may read.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.serve(s.nowhere))
	mux.Handle(loginPath, s.on(methods{http.MethodGet: s.login}))
	mux.Handle(linkPath+"{token}", s.on(methods{http.MethodGet: s.showLink, http.MethodPost: s.useLink}))
	mux.Handle(startPath, s.on(methods{http.MethodGet: s.toLogin, http.MethodPost: s.depart}))
	mux.Handle(callbackPath, s.on(methods{http.MethodGet: s.callback}))
	mux.Handle(logoutPath, s.on(methods{http.MethodGet: s.askLogout, http.MethodPost: s.logout}))
	mux.Handle(outPath, s.on(methods{http.MethodGet: s.loggedOut}))
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(s.serve(s.foreign))
	if s.c.URL != "" {
		// A proxy may call us by another name than people do.
		_ = guard.AddTrustedOrigin(s.c.URL) // New has checked that it is one
	}
	return guard.Handler(mux)
}

// methods is what answers at a path, by method.
type methods map[string]func(*http.Request) answer

// on answers by method. A GET may be a HEAD.
func (s *Service) on(m methods) http.Handler {
	var allowed []string
	for name := range m {
		allowed = append(allowed, name)
	}
	slices.Sort(allowed)
	return s.serve(func(r *http.Request) answer {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if h := m[method]; h != nil {
			return h(r)
		}
		a := s.nowhere(r)
		a.status, a.allow = http.StatusMethodNotAllowed, strings.Join(allowed, ", ")
		return a
	})
}

// serve writes what a handler answers.
func (s *Service) serve(h func(*http.Request) answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		a := h(r)
		head := w.Header()
		browser.Guard(head, browser.Page{Forms: true, To: a.formAction, Secure: s.cookies.secure})
		for _, c := range a.cookies {
			http.SetCookie(w, c)
		}
		if a.retryAfter > 0 {
			head.Set("Retry-After", strconv.Itoa(int((a.retryAfter+time.Second-1)/time.Second)))
		}
		if a.allow != "" {
			head.Set("Allow", a.allow)
		}
		if a.location != "" {
			head.Set("Location", a.location)
			w.WriteHeader(a.status)
			return
		}
		err := browser.Write(w, r, a.status, func(to io.Writer) error { return s.pages.Execute(to, a.page) })
		if err != nil {
			s.c.Logger.ErrorContext(r.Context(), "login: page could not be rendered", "err", err)
			http.Error(w, "Something is wrong here.", http.StatusInternalServerError)
		}
	})
}

// login is the page that says how one comes in.
func (s *Service) login(r *http.Request) answer {
	next := local(r.URL.Query().Get("next"))
	if _, in := s.Person(r); in {
		return goTo(next)
	}
	if s.idp == nil {
		return answer{status: http.StatusOK, page: page{
			Heading: "Log in to Evergrant",
			Lead:    []string{"This dashboard opens with a link that works once and for five minutes."},
			Note:    "Whoever runs this server makes one with", Command: command,
		}}
	}
	d, err := s.idp.discover(r.Context())
	if err != nil {
		return s.unreachable(r, err)
	}
	return answer{status: http.StatusOK, formAction: origin(d.provider.Endpoint().AuthURL), page: page{
		Heading: "Log in to Evergrant",
		Lead:    []string{"You log in at " + s.idp.host() + " and come back here."},
		Form:    form{Action: startPath, Label: "Continue", Next: next},
		Note:    "No account there? Whoever runs this server can make a link with", Command: command,
	}}
}

// toLogin answers to a reload of an address that takes a form.
func (s *Service) toLogin(*http.Request) answer { return goTo(loginPath) }

// admit begins a session.
func (s *Service) admit(r *http.Request, name string, role access.Role, life time.Duration, by, next string) answer {
	c, err := s.cookies.admit(name, role, s.c.Now(), life)
	if err != nil {
		return s.failed(r, "a session cannot be sealed", err)
	}
	s.c.Logger.InfoContext(r.Context(), "dashboard: a person logged in", "name", name, "role", string(role), "by", by, "from", from(r))
	return goTo(next, c, s.cookies.drop(tripCookie))
}

// askLogout is for who types the address.
func (s *Service) askLogout(r *http.Request) answer {
	now, in := s.Person(r)
	if !in {
		return goTo(loginPath)
	}
	return answer{status: http.StatusOK, page: page{
		Heading: "Log out?",
		Lead:    []string{"You are logged in as " + now.Name + " (" + string(now.Role) + ")."},
		Form:    form{Action: logoutPath, Label: "Log out"},
	}}
}

func (s *Service) logout(r *http.Request) answer {
	if now, in := s.Person(r); in {
		s.c.Logger.InfoContext(r.Context(), "dashboard: a person logged out", "name", now.Name, "from", from(r))
	}
	return goTo(outPath, s.cookies.drop(sessionCookie), s.cookies.drop(tripCookie))
}

func (s *Service) loggedOut(r *http.Request) answer {
	if _, in := s.Person(r); in {
		return goTo("/")
	}
	p := page{Heading: "You are logged out", Link: link{To: loginPath, Label: "Log in again"}}
	if s.idp != nil {
		p.Note = "You may still be logged in at " + s.idp.host() + "."
	}
	return answer{status: http.StatusOK, page: p}
}

// same compares two secrets in a time that tells nothing of them.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// from is where a request comes from, for the log.
func from(r *http.Request) string { return access.Place(r.RemoteAddr).String() }

// origin is the scheme and host of an address, as a content policy names them.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
