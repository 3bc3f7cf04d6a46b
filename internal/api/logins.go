package api

import (
	"cmp"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/access"
)

// newLogin is the body that makes a one-time link into the dashboard.
type newLogin struct {
	Role string `json:"role" enum:"viewer,support,operator"`
	Name string `json:"name,omitempty" doc:"what the person is called there; the API key's name if it is not given"`
}

// loginWire is a one-time link as it is answered.
type loginWire struct {
	URL       string    `json:"url" doc:"lets one person in, once"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (s *server) createLogin(c *call, b newLogin) (loginWire, error) {
	var f fields
	role, err := access.ParseRole(b.Role)
	if err != nil {
		f.add("role", "%q is not one of viewer, support, operator", clip(b.Role))
	}
	f.name(b.Name)
	if err := f.err(); err != nil {
		return loginWire{}, err
	}
	// The dashboard shows every business.
	if c.key.Limited() {
		return loginWire{}, newProblem(http.StatusForbidden, codeForbidden, "a limited key cannot let people into the dashboard, which has no limits")
	}
	i, err := s.c.SignIn.Invite(c.r.Context(), cmp.Or(b.Name, c.key.Name), role)
	if err != nil {
		return loginWire{}, err
	}
	return loginWire{URL: i.URL.Reveal(), ExpiresAt: i.ExpiresAt}, nil
}
