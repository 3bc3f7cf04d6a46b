package grant

import "time"

// Purpose is what a link is for.
type Purpose string

// The purposes.
const (
	PurposeConnect   Purpose = "connect"
	PurposeReconnect Purpose = "reconnect"
	PurposeAddGrant  Purpose = "add_grant" // a further user's grant beside those that exist
)

// LinkState is how far a link has come.
type LinkState string

// The states of a link.
const (
	LinkStateCreated    LinkState = "created"
	LinkStateOpened     LinkState = "opened"
	LinkStateAtProvider LinkState = "at_provider"
	LinkStateCompleted  LinkState = "completed"
	LinkStateFailed     LinkState = "failed" // the last try failed; the link stays good
	LinkStateExpired    LinkState = "expired"
	LinkStateRevoked    LinkState = "revoked"
)

// Link lets a merchant connect or reconnect. It is used up by a finished
// authorization and by nothing else.
type Link struct {
	ID           string // link_…
	ConnectionID string
	App          string
	Purpose      Purpose
	TokenHash    []byte // SHA-256 of the token in the URL
	ShortCode    string // for people, such as 7QM2-KX
	BusinessName string
	ReturnURL    string
	Locale       string
	// ExpectBusiness is the provider's id of the business that must log in, or "".
	ExpectBusiness string
	Landing        bool
	Locations      []string // the locations an additional grant is asked for
	State          LinkState
	Problem        Problem // why the last try failed, or ""
	CreatedAt      time.Time
	ExpiresAt      time.Time
	CompletedAt    time.Time
}

// StateAt is the link's state at now: an unfinished link past its expiry is expired.
func (l Link) StateAt(now time.Time) LinkState {
	switch l.State {
	case LinkStateCompleted, LinkStateRevoked:
		return l.State
	}
	if !now.Before(l.ExpiresAt) {
		return LinkStateExpired
	}
	return l.State
}

// Problem is why an authorization did not finish. Each has a page of its own.
type Problem string

// The problems a merchant can meet.
const (
	ProblemDeclined            Problem = "declined"             // the merchant said no
	ProblemLinkExpired         Problem = "link_expired"         // too old
	ProblemLinkRevoked         Problem = "link_revoked"         // taken back or replaced
	ProblemLinkUnknown         Problem = "link_unknown"         // no such link
	ProblemOtherIdentity       Problem = "other_identity"       // another business than expected
	ProblemScopeMissing        Problem = "scope_missing"        // a required permission was not given
	ProblemLostSession         Problem = "lost_session"         // state or cookie missing, expired or another browser's
	ProblemProviderUnavailable Problem = "provider_unavailable" // the provider does not answer
	ProblemCodeRejected        Problem = "code_rejected"        // late or refused code
	ProblemOurFault            Problem = "our_fault"            // store down
	ProblemOurSetup            Problem = "our_setup"            // the app is refused or not set up right
)

// Authorization is one trip of a browser to the provider. Its state is used
// once; what came of it is kept, so that a repeated callback shows the first
// result.
type Authorization struct {
	ID          string // auth_…
	LinkID      string
	StateHash   []byte // SHA-256 of the state parameter
	BrowserHash []byte // SHA-256 of the cookie that binds it to a browser
	// Sealed holds the PKCE verifier.
	Sealed      []byte
	Issuer      string // the issuer it was made for, "" if the provider names none
	RedirectURI string
	CreatedAt   time.Time
	ExpiresAt   time.Time
	UsedAt      time.Time // when the callback came; zero until then
	// Finished is set with the outcome: Problem is "" after success.
	Finished bool
	Problem  Problem
}
