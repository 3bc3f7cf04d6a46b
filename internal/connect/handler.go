package connect

import (
	"cmp"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/evergrant/evergrant/internal/browser"
	"github.com/evergrant/evergrant/internal/grant"
)

// answer is what a request comes to: a page, or a way on. One writer turns it
// into a response, so that no page can miss a header.
type answer struct {
	status   int
	page     page
	location string       // instead of a page: 303 to there
	cookie   *http.Cookie // set beside either
	// formAction is the provider's origin, where the page's form ends up. Browsers
	// apply form-action to the redirect too.
	formAction string
	retryAfter int    // seconds, 0 for none
	lang       string // picked by hand before; "" if the address has it or nobody has
	here       string // where the page is in other languages; "" at its own address
	allow      string
}

// goTo is an answer that sends the browser on.
func goTo(location string) answer { return answer{status: http.StatusSeeOther, location: location} }

// Handler returns the public listener's handler. Whatever it does not know is a
// page that says so.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.serve(s.nowhere))
	mux.HandleFunc("GET "+stylePath, s.serveStyle)
	mux.Handle("/connect/{token}", s.only(s.landing, http.MethodGet))
	mux.Handle("/connect/{token}/start", s.only(s.start, http.MethodPost))
	mux.Handle("/connect/{token}/done", s.only(s.done, http.MethodGet))
	mux.Handle("/connect/{token}/problem", s.only(s.problem, http.MethodGet))
	mux.Handle("/connect/{token}/help", s.only(s.askHelp, http.MethodPost, http.MethodGet))
	mux.Handle("/oauth/callback/{app}", s.only(s.callback, http.MethodGet))
	return mux
}

// only lets some methods through, and HEAD with GET. A GET of an address that
// takes a POST is a reload or the back button and leads back to the link.
func (s *Service) only(h func(*http.Request) answer, methods ...string) http.Handler {
	return s.serve(func(r *http.Request) answer {
		switch {
		case slices.Contains(methods, r.Method), r.Method == http.MethodHead && slices.Contains(methods, http.MethodGet):
			return h(r)
		case r.Method == http.MethodGet:
			if t, ok := parseToken(r.PathValue("token")); ok {
				return goTo(s.linkURL(t.Reveal(), ""))
			}
		}
		a := s.nowhere(r)
		a.status, a.allow = http.StatusMethodNotAllowed, strings.Join(methods, ", ")
		return a
	})
}

// nowhere answers for addresses that do not exist.
func (s *Service) nowhere(r *http.Request) answer {
	o := s.voice(visit{words: s.language(r, "")})
	return answer{status: http.StatusNotFound, page: o.page(o.Nowhere)}
}

// serve writes what a handler answers.
func (s *Service) serve(h func(*http.Request) answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := h(r)
		head := w.Header()
		if a.cookie != nil {
			http.SetCookie(w, a.cookie)
		}
		if a.retryAfter > 0 {
			head.Set("Retry-After", strconv.Itoa(a.retryAfter))
		}
		if a.allow != "" {
			head.Set("Allow", a.allow)
		}
		s.guard(head, a.formAction)
		lang := cmp.Or(s.chosen(r), a.lang)
		if a.location != "" {
			head.Set("Location", s.inLanguage(a.location, lang))
			w.WriteHeader(a.status)
			return
		}
		p := s.dress(a.page, a.here, lang)
		head.Set("Content-Language", p.Lang)
		head.Set("Vary", "Accept-Language")
		err := browser.Write(w, r, a.status, func(to io.Writer) error { return s.pages.Execute(to, p) })
		if err != nil {
			s.c.Logger.ErrorContext(r.Context(), "page could not be rendered", "err", err)
			http.Error(w, string(p.words.Failure), http.StatusInternalServerError)
		}
	})
}

// guard sets the headers every answer has.
func (s *Service) guard(h http.Header, formAction string) {
	browser.Guard(h, browser.Page{Forms: true, To: formAction, Secure: s.secure})
}

// robot reports whether nobody has asked to see the page yet: a HEAD request or
// a browser that reads ahead.
func robot(r *http.Request) bool {
	for _, h := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if v := strings.ToLower(r.Header.Get(h)); strings.Contains(v, "prefetch") || strings.Contains(v, "preview") || strings.Contains(v, "prerender") {
			return true
		}
	}
	return r.Method == http.MethodHead
}

// problemStatus is the HTTP status of a problem's page.
func problemStatus(p grant.Problem) int {
	switch p {
	case grant.ProblemDeclined, grant.ProblemScopeMissing:
		return http.StatusForbidden
	case grant.ProblemLinkUnknown:
		return http.StatusNotFound
	case grant.ProblemLinkExpired, grant.ProblemLinkRevoked:
		return http.StatusGone
	case grant.ProblemOtherIdentity:
		return http.StatusConflict
	case grant.ProblemProviderUnavailable, grant.ProblemOurFault, grant.ProblemOurSetup:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}
