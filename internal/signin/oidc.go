package signin

import (
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secret"
)

// How long what the identity provider gives lasts.
const (
	tripLife        = 10 * time.Minute // to log in there
	OIDCSessionLife = 12 * time.Hour   // the session here
)

// depart sends a person to the identity provider. What the way back needs is
// sealed into a cookie, so that it ends in this browser or not at all.
func (s *Service) depart(r *http.Request) answer {
	if s.idp == nil {
		return s.nowhere(r)
	}
	next := local(r.PostFormValue("next"))
	if _, in := s.Person(r); in {
		return goTo(next)
	}
	d, err := s.idp.discover(r.Context())
	if err != nil {
		return s.unreachable(r, err)
	}
	t := trip{
		State: oauth.NewState().Reveal(), Nonce: oauth.NewState().Reveal(), Verifier: oauth.NewVerifier().Reveal(),
		Next: next, Until: s.c.Now().Add(tripLife).Unix(),
	}
	location, err := s.idp.authorizeURL(d, t)
	if err != nil {
		return s.unreachable(r, err)
	}
	c, err := s.cookies.make(tripCookie, t, tripLife)
	if err != nil {
		return s.failed(r, "a login cannot be sealed", err)
	}
	a := goTo(location, c)
	a.formAction = origin(location)
	return a
}

// callback is where the identity provider sends the browser back to (RFC 6749
// section 4.1.2).
func (s *Service) callback(r *http.Request) answer {
	if s.idp == nil {
		return s.nowhere(r)
	}
	params, err := oauth.ParseCallback(r.URL.Query())
	if err != nil || r.Method != http.MethodGet {
		return s.lost(r)
	}
	t, ok := s.cookies.trip(r, params.State, s.c.Now())
	if !ok {
		if _, in := s.Person(r); in {
			return goTo("/") // the back button, after having logged in
		}
		return s.lost(r)
	}
	d, err := s.idp.discover(r.Context())
	if err != nil {
		return s.unreachable(r, err)
	}
	if err := oauth.CheckIssuer(r.URL.Query(), s.idp.Issuer, d.iss); err != nil {
		s.c.Logger.WarnContext(r.Context(), "login: a callback was refused", "err", err, "from", from(r))
		return s.lost(r)
	}
	if params.Error != "" {
		return s.declined(r, params)
	}
	return s.arrived(r, d, t, params.Code)
}

// arrived lets a person in, if the roles have a place for them.
func (s *Service) arrived(r *http.Request, d *discovered, t trip, code secret.String) answer {
	e, err := s.idp.identify(r.Context(), d, t, code)
	if err != nil {
		s.c.Logger.WarnContext(r.Context(), "login: the identity provider's answer was refused", "issuer", s.idp.Issuer, "err", err, "from", from(r))
		a := s.refuse(r, http.StatusBadGateway, page{
			Heading: "You could not be logged in",
			Lead:    []string{"What " + s.idp.host() + " answered cannot be used. The server's log says why."},
			Link:    link{To: loginPath, Label: "Try again"},
		})
		a.cookies = append(a.cookies, s.cookies.drop(tripCookie))
		return a
	}
	if role, ok := s.idp.role(e); ok {
		return s.admit(r, e.name, role, OIDCSessionLife, "oidc", t.Next)
	}
	s.c.Logger.WarnContext(r.Context(), "dashboard: a person without a role was not let in", "name", e.name, "from", from(r))
	a := s.refuse(r, http.StatusForbidden, page{
		Heading: "You have no role here",
		Lead: []string{
			s.idp.host() + " says who you are, but nothing it says gives you a role in this dashboard. This is what counts:",
		},
		Facts: e.facts(),
		Note:  "Whoever runs this server can give you a role: dashboard.oidc.roles in its configuration. To be somebody else, log out at " + s.idp.host() + " first.",
	})
	a.cookies = append(a.cookies, s.cookies.drop(tripCookie))
	return a
}

// declined answers to an error that came instead of a code.
func (s *Service) declined(r *http.Request, p oauth.CallbackParams) answer {
	s.c.Logger.WarnContext(r.Context(), "login: the identity provider sent a person back with an error",
		"issuer", s.idp.Issuer, "code", p.Error, "description", p.ErrorDescription)
	a := s.refuse(r, http.StatusForbidden, page{
		Heading: "You were not logged in",
		Lead:    []string{s.idp.host() + " sent you back without letting you in (" + p.Error + ")."},
		Link:    link{To: loginPath, Label: "Try again"},
	})
	a.cookies = append(a.cookies, s.cookies.drop(tripCookie))
	return a
}

// lost answers to a callback that this browser did not set out for.
func (s *Service) lost(r *http.Request) answer {
	return s.refuse(r, http.StatusBadRequest, page{
		Heading: "Please start again",
		Lead:    []string{"This login did not begin in this browser, or it took longer than ten minutes."},
		Link:    link{To: loginPath, Label: "Log in"},
	})
}

// unreachable answers while the identity provider cannot be asked.
func (s *Service) unreachable(r *http.Request, err error) answer {
	s.c.Logger.WarnContext(r.Context(), "login: the identity provider cannot be asked", "issuer", s.idp.Issuer, "err", because(err))
	return answer{status: http.StatusServiceUnavailable, retryAfter: 10 * time.Second, page: page{
		Heading: "The login is not there now",
		Lead:    []string{s.idp.host() + " cannot be reached from here, or is not set up. Please try again in a moment."},
		Link:    link{To: loginPath, Label: "Try again"},
		Note:    "Whoever runs this server can let you in meanwhile with", Command: command,
	}}
}
