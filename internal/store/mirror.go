package store

import (
	"context"
	"iter"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// Mirror keeps a second copy of every grant's newest credentials away from the
// store. Package mirror has one.
type Mirror interface {
	// Wrap returns a store that tells the mirror of everything that becomes
	// current in s.
	Wrap(s Store) Store
	// NewestFirst returns what earlier processes left, the newest first. The last
	// pair has an error if it cannot be read.
	NewestFirst(ctx context.Context) iter.Seq2[Newest, error]
	// Runs returns the ids that SetRuns kept last, none in a new mirror: the runs
	// of the store that it was told of.
	Runs(ctx context.Context) ([]string, error)
	// SetRuns keeps the ids, instead of those before; "" is none.
	SetRuns(ctx context.Context, ids ...string) error
	// Forget removes what earlier processes left.
	Forget(ctx context.Context) error
	// Check reports why the mirror could not be written, nil if it could.
	Check() error
}

// Newest is what a mirror knows of a grant.
type Newest struct {
	GrantID    string
	Version    grant.Version
	Sealed     []byte // for the slot of Version; nil if Ended
	IssuedAt   time.Time
	ExpiresAt  time.Time // of the access token
	DeadlineAt time.Time // of the refresh token; zero if not known
	Scope      string
	Ended      bool // disconnected, or deleted with its connection
}
