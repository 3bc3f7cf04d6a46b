package grant

import (
	"slices"
	"strings"
	"time"
)

// Connection is one business at one app. Its status is derived from its grants.
type Connection struct {
	ID       string // conn_…
	App, Key string // together its address, unique
	Name     string // the business's name, for people
	Tags     map[string]string
	// RequiredLocations are the locations the developer's product needs; nil
	// means every location ever seen.
	RequiredLocations []string
	Status            Status
	Flags             []Reason // scope_missing, locations_missing
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// Ref returns the connection's address.
func (c Connection) Ref() Ref { return Ref{Key: c.Key, App: c.App} }

// SetFlag returns flags with the flag set or cleared.
func SetFlag(flags []Reason, flag Reason, set bool) []Reason {
	has := slices.Contains(flags, flag)
	switch {
	case set && !has:
		return append(slices.Clone(flags), flag)
	case !set && has:
		return slices.DeleteFunc(slices.Clone(flags), func(r Reason) bool { return r == flag })
	}
	return flags
}

// Version orders the credentials of a grant. Epoch rises at every consent,
// disconnect and import; Seq rises at every committed refresh and starts again
// with a new epoch.
type Version struct{ Epoch, Seq int64 }

// Next is the version a refresh of v commits.
func (v Version) Next() Version { return Version{v.Epoch, v.Seq + 1} }

// Before reports whether v is older than o.
func (v Version) Before(o Version) bool {
	return v.Epoch < o.Epoch || v.Epoch == o.Epoch && v.Seq < o.Seq
}

// Identity says whose approval a grant is. Empty fields are not known.
type Identity struct {
	Issuer     string   `json:"issuer,omitempty"`
	Subject    string   `json:"subject,omitempty"`    // who approved
	Account    string   `json:"account,omitempty"`    // what the provider calls the tenant, where a token has exactly one
	Businesses []string `json:"businesses,omitempty"` // K-Series: the business ids the user reaches
	Name       string   `json:"name,omitempty"`       // for people
}

// SameParty reports whether two identities may stand for the same business at
// the provider. Where both name an account, they must agree; where both name
// businesses, at least one must be common; where neither can be compared, a
// subject known on both sides must agree.
func (i Identity) SameParty(o Identity) bool {
	if i.Issuer != "" && o.Issuer != "" && i.Issuer != o.Issuer {
		return false
	}
	if i.Account != "" && o.Account != "" {
		return i.Account == o.Account
	}
	if len(i.Businesses) > 0 && len(o.Businesses) > 0 {
		for _, a := range i.Businesses {
			for _, b := range o.Businesses {
				if a == b {
					return true
				}
			}
		}
		return false
	}
	if i.Subject != "" && o.Subject != "" {
		return i.Subject == o.Subject
	}
	return true
}

// SamePerson reports whether the same user approved both.
func (i Identity) SamePerson(o Identity) bool {
	return i.Subject != "" && i.Subject == o.Subject && i.Issuer == o.Issuer
}

// Login names whose approval it is, as far as that is known: a user, else an
// account, else businesses; "" if nothing is. Live grants of one app that have the
// same are one account connected more than once, and of those many providers
// keep only so many.
func (i Identity) Login() string {
	switch {
	case i.Subject != "":
		return strings.Join([]string{i.Issuer, "subject", i.Subject}, "\x00")
	case i.Account != "":
		return strings.Join([]string{i.Issuer, "account", i.Account}, "\x00")
	case len(i.Businesses) > 0:
		return strings.Join(append([]string{i.Issuer, "businesses"}, slices.Sorted(slices.Values(i.Businesses))...), "\x00")
	}
	return ""
}

// Grant is one user's authorization inside a connection. The tokens themselves
// are a [Credential], stored sealed beside it and addressed by Version.
type Grant struct {
	ID           string // grant_…
	ConnectionID string
	App          string
	Identity     Identity
	Scope        string // granted, space separated
	Version      Version

	IssuedAt   time.Time // when the current credentials were asked for
	ExpiresAt  time.Time // of the access token, skew taken off
	DeadlineAt time.Time // of the refresh token; zero if not known
	ConsentAt  time.Time // when this epoch began
	DueAt      time.Time // when the engine looks at this grant next; zero means never

	Status    Status
	Failures  int       // consecutive failed attempts
	Refusals  int       // refusals of the current version by the provider
	RefusedAt time.Time // the first of them

	// Attempt is the open attempt, nil if there is none. There is at most one.
	Attempt *Attempt
}

// Life is how long the current access token was taken to live when it was
// issued, skew included.
func (g Grant) Life() time.Duration {
	if g.IssuedAt.IsZero() {
		return 0
	}
	return g.ExpiresAt.Sub(g.IssuedAt) + Skew
}

// AttemptKind says why a refresh is sent.
type AttemptKind string

// The kinds of attempt. A resend follows an attempt of the same version whose
// outcome is unknown.
const (
	FirstSend AttemptKind = "refresh"
	Resend    AttemptKind = "resend"
)

// Attempt is the durable intent to spend one version's refresh token. It is
// opened before the request leaves and closed by its outcome, never by time.
type Attempt struct {
	ID       string // att_…
	Owner    string // incarnation of the process that opened it
	Kind     AttemptKind
	Of       Version   // the version whose refresh token it spends
	OpenedAt time.Time // by the store's clock
	// Unknown is set when its owner has given up waiting for the answer.
	Unknown bool
}

// OtherPerson reports whether two identities are known to be different users'.
func (i Identity) OtherPerson(o Identity) bool {
	return i.Subject != "" && o.Subject != "" && !i.SamePerson(o)
}

// Location is a place one grant reaches, or has reached.
type Location struct {
	GrantID      string
	ID           string
	Name         string
	BusinessID   string
	BusinessName string
	SeenAt       time.Time // when the provider last listed it
	// LostAt is when the provider no longer listed it; zero while the grant reaches it.
	LostAt time.Time
	// LostBy is who reached it, if the grant became another person's since; nil
	// means whose the grant is.
	LostBy *Identity
}

// Lost reports whether the grant no longer reaches the location.
func (l Location) Lost() bool { return !l.LostAt.IsZero() }
