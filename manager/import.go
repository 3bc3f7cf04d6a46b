package manager

import (
	"context"
	"maps"
	"slices"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Import is Create for one of many: an existing connection is brought to what is
// asked for, name, tags and required locations as far as they are given. Tokens
// that it was given before are not adopted again, whatever became of them since,
// so that an import that was cut off can be made again.
func (m *Manager) Import(ctx context.Context, n NewConnection) (created bool, err error) {
	const op = "import"
	c, created, err := m.make(ctx, op, n)
	if err != nil {
		return false, err
	}
	if !created && describes(n, c) {
		if err := m.redescribe(ctx, c, n); err != nil {
			return false, err
		}
	}
	if n.Tokens == nil {
		return created, nil
	}
	if !created {
		known, err := m.adopted(ctx, c, n.Tokens)
		if err != nil || known {
			return false, m.internal(op, n.Ref.String(), err)
		}
	}
	return created, m.internal(op, n.Ref.String(), m.adopt(ctx, c, n.Tokens))
}

// describes reports whether what is asked for differs from the connection.
func describes(n NewConnection, c grant.Connection) bool {
	return n.Name != "" && n.Name != c.Name || n.Tags != nil && !maps.Equal(n.Tags, c.Tags) ||
		n.RequiredLocations != nil && !slices.Equal(n.RequiredLocations, c.RequiredLocations)
}

func (m *Manager) redescribe(ctx context.Context, c grant.Connection, n NewConnection) error {
	ch := Change{Tags: n.Tags}
	if n.Name != "" {
		ch.Name = &n.Name
	}
	if n.RequiredLocations != nil {
		ch.RequiredLocations = &n.RequiredLocations
	}
	_, err := m.Update(ctx, grant.Ref{ID: c.ID}, ch)
	return err
}

// adopted reports whether the connection was given these tokens before.
func (m *Manager) adopted(ctx context.Context, c grant.Connection, t *Adoption) (bool, error) {
	f := store.EventFilter{Types: []string{string(grant.GrantIssued)}, ConnectionID: c.ID, NewestFirst: true}
	events, _, err := m.c.Store.ListEvents(ctx, f, store.Page{Limit: 100})
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(events, func(e grant.Event) bool { return e.Data["adopted"] == t.fingerprint() }), nil
}

// fingerprint tells sets of tokens from each other: by what renews them, if they
// have that.
func (t *Adoption) fingerprint() string {
	if !t.RefreshToken.IsZero() {
		return t.RefreshToken.Fingerprint()
	}
	return t.AccessToken.Fingerprint()
}
