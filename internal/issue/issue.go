// Package issue turns a token response into a stored grant: it finds out whose
// approval it is and what it reaches, refuses what must not be stored, and
// installs the rest in one transaction. Consent, adoption and the recovery of a
// spooled code exchange all end here.
package issue

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

// What must not be stored. Nothing has changed when Issue returns one of these.
var (
	// ErrOtherIdentity: another business than the connection's, or than the one
	// the link expects.
	ErrOtherIdentity = errors.New("another business approved than the one this connection belongs to")
	// ErrFinished: the link or the authorization is finished already.
	ErrFinished = errors.New("finished already")
)

// Config is what an Issuer works with; every field is required.
type Config struct {
	Store  store.Store
	Ring   *seal.Ring
	Sender *oauth.Sender
	Now    func() time.Time
	Logger *slog.Logger
	// Issued is told of every installed grant, after it is durable and before
	// anybody can ask for its token.
	Issued func(grant.Grant)
}

// Issuer issues grants. It is safe for concurrent use.
type Issuer struct{ c Config }

// New returns an Issuer.
func New(c Config) *Issuer { return &Issuer{c} }

// Request is one token response and what it is for.
type Request struct {
	App        *provider.App
	Connection grant.Connection
	Token      oauth.Token
	AskedAt    time.Time // just before the token request was sent
	ExpiresAt  time.Time // instead of AskedAt + Token.ExpiresIn, if not zero
	Deadline   time.Time // of the refresh token, if it is known and the token does not say
	// Variables are the values of the recipe's variables.
	Variables map[string]string
	Purpose   grant.Purpose // "" for adoption
	Adopted   string        // fingerprint of what was adopted, for the log
	// ExpectBusiness is the provider's id of the business that must have approved, or "".
	ExpectBusiness  string
	LinkID          string // completed with the grant
	AuthorizationID string // finished with the grant
	// Took and Began are for the log: how long the provider took to answer and
	// when the merchant set out.
	Took  time.Duration
	Began time.Time
}

// Result is what became of it.
type Result struct {
	Grant     grant.Grant
	Locations []grant.Location // nil if they are not known
	// Unlisted: the provider has no call for this scope that lists locations, so
	// they can only be given by hand.
	Unlisted bool
	New      bool // the connection had no live grant before
}

// Issue stores the response as a grant. It returns ErrOtherIdentity, ErrFinished
// or [provider.ErrVariable] without having stored anything, and otherwise an
// error of the store. A missing required scope flags the connection and fails nothing. A failing discovery does not fail Issue: the grant is
// stored without locations, because tokens are worth more than names.
func (i *Issuer) Issue(ctx context.Context, r Request) (Result, error) {
	return i.issue(ctx, r)
}
