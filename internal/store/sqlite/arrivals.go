package sqlite

import (
	"context"
	"errors"
	"fmt"

	driverlib "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// CreateConnections implements [store.Connections].
func (s *Store) CreateConnections(ctx context.Context, arrivals []store.Arrival) ([]bool, error) {
	if err := store.CheckArrivals(arrivals); err != nil {
		return nil, err
	}
	var added []bool
	err := s.w.do(ctx, func(t *tx) (err error) {
		if added, err = t.addable(arrivals); err != nil {
			return err
		}
		for i, a := range arrivals {
			if !added[i] {
				continue
			}
			if err := t.arrive(a); err != nil {
				return err
			}
		}
		return nil
	})
	var broken *driverlib.Error
	if errors.As(err, &broken) && broken.Code()&0xff == sqlite3.SQLITE_CONSTRAINT {
		return nil, fmt.Errorf("an id of a connection or a grant: %w: %w", store.ErrExists, err)
	}
	if err != nil {
		return nil, err
	}
	return added, nil
}

// addable tells which of the arrivals have an address of their own. It only
// reads.
func (t *tx) addable(arrivals []store.Arrival) ([]bool, error) {
	added := make([]bool, len(arrivals))
	addresses := make(map[grant.Ref]bool, len(arrivals))
	for i, a := range arrivals {
		c := a.Connection
		if addresses[c.Ref()] {
			continue
		}
		addresses[c.Ref()] = true
		taken, err := t.exists(`SELECT 1 FROM connections WHERE app = ? AND key = ?`, c.App, c.Key)
		if err != nil {
			return nil, err
		}
		added[i] = !taken
	}
	return added, nil
}

// arrive adds a connection and what it comes with.
func (t *tx) arrive(a store.Arrival) error {
	c, in := a.Connection, a.Installation
	if in != nil {
		c = a.Connected(t.now)
	}
	n, err := t.insertConnection(c)
	if err != nil || in == nil {
		return err
	}
	h := held{connectionN: n, about: aboutConnection(c)}
	h.about.grant = in.Grant.ID
	credential := t.w.nextCredential()
	if h.n, err = t.insertGrant(h, in.Grant, credential); err != nil {
		return err
	}
	if err := t.addCredentials(credential, h.n, in.Grant.Version, "", in.Sealed); err != nil {
		return err
	}
	if err := t.consent(h.n, in.Grant); err != nil {
		return err
	}
	if in.Locations != nil {
		if err := t.setLocations(h.n, in.Locations); err != nil {
			return err
		}
		if err := t.readAgain(h.n, h.about.app, grant.ReadAgain(in.Grant.ID, t.now)); err != nil {
			return err
		}
	}
	return t.emit(h.about, in.Events...)
}
