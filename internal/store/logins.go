package store

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/evergrant/evergrant/internal/access"
)

// Logins keeps one-time links into the dashboard until they are used.
type Logins interface {
	// CreateLogin adds a link that works for life, by the store's clock, and returns
	// when it ends. ErrExists if its hash is taken. Links that have ended may go.
	CreateLogin(ctx context.Context, l Login, life time.Duration) (time.Time, error)
	// Login returns the link whose token has this hash. ErrNotFound if there is none,
	// if it was used and if its time is over.
	Login(ctx context.Context, hash [sha256.Size]byte) (Login, error)
	// UseLogin is Login and removes the link: of any number of concurrent calls
	// exactly one gets it. After ErrUnavailable, Login tells whether it is still there.
	UseLogin(ctx context.Context, hash [sha256.Size]byte) (Login, error)
}

// Login is who a one-time link lets in.
type Login struct {
	Hash [sha256.Size]byte // of the token in the link
	Name string
	Role access.Role
}
