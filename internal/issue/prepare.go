package issue

import (
	"context"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Prepare is Issue for adopted tokens of a connection that is not stored yet, up
// to where it would store them: the connection, flagged if a required scope is
// missing, arrives with what is installed for it. It asks neither the store nor
// the provider. Once the arrival is stored, Arrived must be told.
func (i *Issuer) Prepare(ctx context.Context, r Request) (store.Arrival, error) {
	r.Purpose, r.LinkID, r.AuthorizationID = "", "", ""
	r, err := r.checked()
	if err != nil {
		return store.Arrival{}, err
	}
	id, _, err := i.identify(ctx, r)
	if err != nil {
		return store.Arrival{}, err
	}
	if err := check(r, id, nil); err != nil {
		return store.Arrival{}, err
	}
	in, err := i.build(r, id, nil, nil)
	if err != nil {
		return store.Arrival{}, err
	}
	c := r.Connection
	if missing := r.App.MissingScopes(in.Grant.Scope); len(missing) > 0 {
		c.Flags = grant.SetFlag(c.Flags, grant.ScopeMissing, true)
		in.Events = append(in.Events, scopeChanged(r, missing, in.Grant.Scope))
	}
	return store.Arrival{Connection: c, Installation: &in}, nil
}

// Arrived tells of a grant that was prepared and is durable now.
func (i *Issuer) Arrived(g grant.Grant) { i.c.Issued(g) }
