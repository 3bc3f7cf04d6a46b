package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const locationColumns = `g.id, l.id, l.name, l.business_id, l.business_name, l.seen_at, l.lost_at, l.lost_by`

// locationDest is where locationColumns are scanned to.
func locationDest(l *grant.Location) []any {
	return []any{&l.GrantID, &l.ID, &l.Name, &l.BusinessID, &l.BusinessName, timeColumn{&l.SeenAt}, timeColumn{&l.LostAt}, jsonColumn{&l.LostBy}}
}

// Locations implements [store.Connections].
func (s *Store) Locations(ctx context.Context, connectionID string) ([]grant.Location, error) {
	var list []grant.Location
	err := s.each(ctx, `SELECT `+locationColumns+`
		FROM connections c JOIN grants g ON g.connection_n = c.n JOIN locations l ON l.grant_n = g.n
		WHERE c.id = ? ORDER BY l.id, g.id`, []any{connectionID},
		func(row scanner) error {
			var l grant.Location
			err := row.Scan(locationDest(&l)...)
			list = append(list, l)
			return err
		})
	return list, err
}

// SetLocations implements [store.Connections].
func (s *Store) SetLocations(ctx context.Context, grantID string, locations []grant.Location, events ...grant.Event) error {
	return s.w.do(ctx, func(t *tx) error {
		h, err := t.hold(grantID)
		if err != nil {
			return err
		}
		if err := t.setLocations(h.n, locations); err != nil {
			return err
		}
		if err := t.readAgain(h.n, h.about.app, grant.ReadAgain(grantID, t.now)); err != nil {
			return err
		}
		return t.emit(h.about, events...)
	})
}

// setLocations replaces what a grant reaches, and keeps what it has lost.
func (t *tx) setLocations(n int64, locations []grant.Location) error {
	if _, err := t.exec(`UPDATE locations SET lost_at = ? WHERE grant_n = ? AND lost_at = 0`, micros(t.now), n); err != nil {
		return err
	}
	for _, l := range locations {
		_, err := t.exec(`INSERT OR REPLACE INTO locations (grant_n, id, name, business_id, business_name, seen_at)
			VALUES (?, ?, ?, ?, ?, ?)`, n, l.ID, l.Name, l.BusinessID, l.BusinessName, micros(l.SeenAt))
		if err != nil {
			return err
		}
	}
	_, err := t.exec(`DELETE FROM locations WHERE grant_n = ? AND lost_at <> 0 AND id IN (
			SELECT id FROM locations WHERE grant_n = ? AND lost_at <> 0 ORDER BY lost_at DESC, id LIMIT -1 OFFSET ?)`, n, n, store.MostLost)
	return err
}

// handOver keeps whose a grant was with what it reached, if it becomes another
// person's.
func (t *tx) handOver(n int64, to grant.Identity) error {
	var was grant.Identity
	if err := t.get(`SELECT identity FROM consents WHERE grant_n = ?`, []any{n}, jsonColumn{&was}); err != nil {
		return err
	}
	if !was.OtherPerson(to) {
		return nil
	}
	_, err := t.exec(`UPDATE locations SET lost_by = ? WHERE grant_n = ? AND lost_by IS NULL`, jsonColumn{was}, n)
	return err
}

// forgetReach forgets what a grant has lost, and that its reach is to be read.
func (t *tx) forgetReach(h held) error {
	if _, err := t.exec(`DELETE FROM locations WHERE grant_n = ? AND lost_at <> 0`, h.n); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM readings WHERE grant_n = ?`, h.n)
	return err
}

// readAgain says when what a grant reaches is to be read next.
func (t *tx) readAgain(n int64, app string, at time.Time) error {
	_, err := t.exec(`INSERT INTO readings (grant_n, app, due_at) VALUES (?, ?, ?)
		ON CONFLICT (grant_n) DO UPDATE SET due_at = excluded.due_at`, n, app, micros(at))
	return err
}

const (
	nextReadingQuery = `SELECT due_at FROM readings WHERE app = ? AND due_at <= ? LIMIT 1`
	readingsQuery    = `SELECT r.grant_n, g.id, g.state FROM readings r JOIN grants g ON g.n = r.grant_n
		WHERE r.app = ? AND r.due_at <= ? ORDER BY r.due_at LIMIT ?`
)

// ClaimReadings implements [store.Readings].
func (s *Store) ClaimReadings(ctx context.Context, app string, limit int, while time.Duration) ([]string, error) {
	var due int64
	err := s.get(ctx, nextReadingQuery, []any{app, micros(s.now())}, &due)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil // without a write
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	err = s.w.do(ctx, func(t *tx) error {
		ids = nil
		type reading struct {
			n     int64
			id    string
			state grant.State
		}
		var claimed []reading
		err := t.each(readingsQuery, []any{app, micros(t.now), limit}, func(row scanner) error {
			var r reading
			err := row.Scan(&r.n, &r.id, &r.state)
			claimed = append(claimed, r)
			return err
		})
		if err != nil {
			return err
		}
		for _, r := range claimed {
			if !r.state.Live() {
				if _, err := t.exec(`DELETE FROM readings WHERE grant_n = ?`, r.n); err != nil {
					return err
				}
				continue
			}
			ids = append(ids, r.id)
			if err := t.readAgain(r.n, app, t.now.Add(while)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// SkipReading implements [store.Readings].
func (s *Store) SkipReading(ctx context.Context, grantID string) error {
	return s.w.do(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE readings SET due_at = ? WHERE grant_n = (SELECT n FROM grants WHERE id = ?)`,
			micros(grant.ReadAgain(grantID, t.now)), grantID)
		return err
	})
}
