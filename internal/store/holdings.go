package store

import (
	"context"

	"github.com/evergrant/evergrant/internal/grant"
)

// Holdings is what tokens are handed out from.
type Holdings interface {
	// Holdings returns the live grants of a connection that have credentials, ordered
	// by id and read together in one query; none is no error.
	Holdings(ctx context.Context, connectionID string) ([]Holding, error)
}

// Holding is a live grant with what it can do.
type Holding struct {
	Grant  grant.Grant
	Sealed []byte // the credentials of its current version
	// Locations are the ids of what it reaches, in order; not what it has lost.
	Locations []string
}
