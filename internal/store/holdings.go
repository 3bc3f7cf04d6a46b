package store

import (
	"context"

	"github.com/evergrant/evergrant/internal/grant"
)

// Holdings is what tokens are handed out from.
type Holdings interface {
	// Holdings returns the connection a ref names, and those of its grants that are
	// live and have credentials, ordered by id; none is no error. Where the database
	// is a server it is asked once. ErrNotFound if there is no such connection.
	Holdings(ctx context.Context, ref grant.Ref) (grant.Connection, []Holding, error)
}

// Holding is a live grant with what it can do.
type Holding struct {
	Grant  grant.Grant
	Sealed []byte // the credentials of its current version
	// Locations are the ids of what it reaches, in order; not what it has lost.
	Locations []string
}
