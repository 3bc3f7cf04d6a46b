package signin

import (
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/store"
)

// Config is what a [Service] works with. Fields without a comment are required.
type Config struct {
	Store store.Logins
	Ring  *seal.Ring
	// URL is where people reach the dashboard: a scheme, a host and perhaps a port.
	// Over https cookies are kept to it by every means browsers have. "": nobody can
	// log in.
	URL    string
	OIDC   *OIDC // nil: only links let people in
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Service lets people in and tells who they are. It is safe for concurrent use.
type Service struct {
	c       Config
	cookies cookies
	idp     *identityProvider // nil: none
	fails   *access.Failures
	pages   *template.Template
}

// New returns a Service. It asks nobody anything until somebody logs in.
func New(c Config) (*Service, error) {
	switch {
	case c.Store == nil:
		return nil, errors.New("signin: Config.Store is required")
	case c.Ring == nil:
		return nil, errors.New("signin: Config.Ring is required")
	case c.Logger == nil:
		return nil, errors.New("signin: Config.Logger is required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	secure := false
	if c.URL != "" {
		u, err := url.Parse(c.URL)
		if err != nil || oauth.CheckEndpoint(c.URL) != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery {
			return nil, errors.New("signin: Config.URL must be a scheme and a host, https, or http on this machine")
		}
		secure = u.Scheme == "https"
	}
	s := &Service{
		c: c, cookies: cookies{ring: c.Ring, secure: secure, policy: c.OIDC.policy()},
		fails: access.NewFailures(c.Now), pages: parsePages(),
	}
	if c.OIDC != nil {
		if err := c.OIDC.check(); err != nil {
			return nil, err
		}
		s.idp = newIdentityProvider(*c.OIDC, c.URL+callbackPath, c.Now)
	}
	return s, nil
}

// Close ends idle connections to the identity provider.
func (s *Service) Close() {
	if s.idp != nil {
		s.idp.client.CloseIdleConnections()
	}
}

// Person returns who sends a request, false if nobody is logged in. It looks at
// the session cookie and nothing else: an API key is nobody here.
func (s *Service) Person(r *http.Request) (access.Person, bool) {
	return s.cookies.person(r, s.c.Now())
}
