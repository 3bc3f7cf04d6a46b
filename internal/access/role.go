package access

import (
	"fmt"
	"slices"
	"time"
)

// Role is what a person may do in the dashboard. Each role includes the one
// before it, and none sees a token.
type Role string

// The roles, least first.
const (
	Viewer   Role = "viewer"   // read
	Support  Role = "support"  // also send and revoke links, verify a connection
	Operator Role = "operator" // everything: refresh, disconnect, pause, keys, webhooks
)

// Roles returns every role, least first.
func Roles() []Role { return []Role{Viewer, Support, Operator} }

// ParseRole returns the role named s.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", fmt.Errorf("role %q is not one of viewer, support, operator", s)
}

// May reports whether r includes the role least. What is no role includes none
// and is included by none.
func (r Role) May(least Role) bool {
	need := slices.Index(Roles(), least)
	return need >= 0 && slices.Index(Roles(), r) >= need
}

// Person is somebody who is logged in to the dashboard.
type Person struct {
	Name  string // as they or their identity provider said it; never empty
	Role  Role
	Until time.Time // they are logged in before this
}
