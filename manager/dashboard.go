package manager

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/evergrant/evergrant/internal/access"
)

// Role is what somebody may do in the dashboard. Each role may what the one before
// it may. No role sees a token.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // read
	Support  Role = "support"  // and send and take back links, check a connection
	Operator Role = "operator" // and everything else: renew, disconnect, pause, keys, webhooks
)

// Person is somebody who may see the dashboard.
type Person struct {
	Name string // shown on every page, and logged with what is done by hand
	Role Role
}

// DashboardHandler serves the dashboard to those whom your program lets in: who
// tells who is behind a request, false for somebody who may not come in and is
// answered with 403. Mount it where your own people are logged in, at prefix, such
// as /evergrant, or "" for the root:
//
//	pages, err := m.DashboardHandler("/evergrant", who)
//	if err != nil { … }
//	mux.Handle("/evergrant/", pages)
//
// It refuses requests of other sites that change something; see
// [http.CrossOriginProtection].
func (m *Manager) DashboardHandler(prefix string, who func(*http.Request) (Person, bool)) (http.Handler, error) {
	if prefix != "" && (!strings.HasPrefix(prefix, "/") || strings.HasSuffix(prefix, "/")) {
		return nil, fmt.Errorf("manager: the dashboard's prefix %q must be like /evergrant", prefix)
	}
	if who == nil {
		return nil, errors.New("manager: the dashboard needs to be told who may see it")
	}
	return m.core.Dashboard(prefix, func(r *http.Request) (access.Person, bool) {
		p, ok := who(r)
		role, err := access.ParseRole(string(p.Role))
		return access.Person{Name: p.Name, Role: role}, ok && err == nil
	})
}
