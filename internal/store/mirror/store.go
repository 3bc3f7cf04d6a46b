package mirror

import (
	"context"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Wrap implements [store.Mirror].
func (m *Mirror) Wrap(s store.Store) store.Store { return &mirrored{s, m} }

type mirrored struct {
	store.Store
	m *Mirror
}

// Commit implements [store.Attempts].
func (s *mirrored) Commit(ctx context.Context, r store.Renewal) error {
	if err := s.Store.Commit(ctx, r); err != nil {
		return err
	}
	s.m.Put(store.Newest{
		GrantID: r.GrantID, Version: r.Of.Next(), Sealed: r.Sealed, Scope: r.Scope,
		IssuedAt: r.IssuedAt, ExpiresAt: r.Times.ExpiresAt, DeadlineAt: r.Times.DeadlineAt,
	})
	return nil
}

// Install implements [store.Connections].
func (s *mirrored) Install(ctx context.Context, in store.Installation) error {
	if err := s.Store.Install(ctx, in); err != nil {
		return err
	}
	s.m.installed(in)
	return nil
}

// CreateConnections implements [store.Connections].
func (s *mirrored) CreateConnections(ctx context.Context, arrivals []store.Arrival) ([]bool, error) {
	added, err := s.Store.CreateConnections(ctx, arrivals)
	if err != nil {
		return nil, err
	}
	for i, a := range arrivals {
		if added[i] && a.Installation != nil {
			s.m.installed(*a.Installation)
		}
	}
	return added, nil
}

// installed puts an entry of what was installed.
func (m *Mirror) installed(in store.Installation) {
	g := in.Grant
	m.Put(store.Newest{
		GrantID: g.ID, Version: g.Version, Sealed: in.Sealed, Scope: g.Scope,
		IssuedAt: g.IssuedAt, ExpiresAt: g.ExpiresAt, DeadlineAt: g.DeadlineAt,
	})
}

// Disconnect implements [store.Connections].
func (s *mirrored) Disconnect(ctx context.Context, grantID string, from grant.Version, reason grant.Reason, events ...grant.Event) error {
	if err := s.Store.Disconnect(ctx, grantID, from, reason, events...); err != nil {
		return err
	}
	s.m.end(grantID, from)
	return nil
}

// DeleteConnection implements [store.Connections].
func (s *mirrored) DeleteConnection(ctx context.Context, id string, events ...grant.Event) error {
	grants, err := s.Store.Grants(ctx, id)
	if err != nil {
		return err
	}
	if err := s.Store.DeleteConnection(ctx, id, events...); err != nil {
		return err
	}
	for _, g := range grants {
		s.m.end(g.ID, g.Version)
	}
	return nil
}

// end puts an entry that says that a grant has ended, with the epoch that
// follows the last one's.
func (m *Mirror) end(grantID string, last grant.Version) {
	m.Put(store.Newest{GrantID: grantID, Version: grant.Version{Epoch: last.Epoch + 1}, Ended: true})
}
