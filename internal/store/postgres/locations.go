package postgres

import (
	"context"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const locationColumns = `grant_id, id, name, business_id, business_name, seen_at, lost_at, lost_by`

// locationDest is where locationColumns are scanned to.
func locationDest(l *grant.Location) []any {
	return []any{&l.GrantID, &l.ID, &l.Name, &l.BusinessID, &l.BusinessName, timeColumn{&l.SeenAt}, timeColumn{&l.LostAt}, &l.LostBy}
}

// Locations implements [store.Connections].
func (s *Store) Locations(ctx context.Context, connectionID string) ([]grant.Location, error) {
	var list []grant.Location
	err := s.each(ctx, `SELECT `+locationColumns+` FROM locations
		WHERE connection_id = $1 ORDER BY id, grant_id`, []any{connectionID},
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
	return s.change(ctx, func(t *tx) error {
		h, err := t.hold(grantID)
		if err != nil {
			return err
		}
		t.setLocations(h, locations)
		t.readAgain(h, grant.ReadAgain(grantID, t.now))
		return t.emit(h.about, events...)
	})
}

// setLocations replaces what a grant reaches, and keeps what it has lost. Of a
// location that is listed twice the last counts.
func (t *tx) setLocations(h held, locations []grant.Location) {
	connection, id := h.key()
	t.write(`UPDATE locations SET lost_at = $3 WHERE connection_id = $1 AND grant_id = $2 AND lost_at IS NULL`, connection, id, stamp(t.now))
	for _, l := range locations {
		t.write(`INSERT INTO locations (connection_id, grant_id, id, name, business_id, business_name, seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (connection_id, grant_id, id) DO UPDATE SET name = excluded.name, business_id = excluded.business_id,
				business_name = excluded.business_name, seen_at = excluded.seen_at, lost_at = NULL, lost_by = NULL`,
			connection, id, l.ID, l.Name, l.BusinessID, l.BusinessName, stamp(l.SeenAt))
	}
	t.write(`DELETE FROM locations WHERE connection_id = $1 AND grant_id = $2 AND lost_at IS NOT NULL AND id IN (
			SELECT id FROM locations WHERE connection_id = $1 AND grant_id = $2 AND lost_at IS NOT NULL
			ORDER BY lost_at DESC, id OFFSET $3)`, connection, id, store.MostLost)
}

// handOver keeps whose a grant was with what it reached, if it becomes another
// person's.
func (t *tx) handOver(h held, to grant.Identity) {
	if !h.Identity.OtherPerson(to) {
		return
	}
	connection, id := h.key()
	t.write(`UPDATE locations SET lost_by = $3 WHERE connection_id = $1 AND grant_id = $2 AND lost_by IS NULL`,
		connection, id, words(h.Identity))
}

// forgetReach forgets what a grant has lost, and that its reach is to be read.
func (t *tx) forgetReach(h held) {
	connection, id := h.key()
	t.write(`DELETE FROM locations WHERE connection_id = $1 AND grant_id = $2 AND lost_at IS NOT NULL`, connection, id)
	t.write(`DELETE FROM readings WHERE connection_id = $1 AND grant_id = $2`, connection, id)
}

// readAgain says when what a grant reaches is to be read next.
func (t *tx) readAgain(h held, at time.Time) {
	connection, id := h.key()
	t.write(`INSERT INTO readings (connection_id, grant_id, app, due_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (connection_id, grant_id) DO UPDATE SET due_at = excluded.due_at`, connection, id, h.connection.App, stamp(at))
}

// readingsQuery locks readings that are due and that nobody else is taking, and
// tells whether their grants live.
const readingsQuery = `SELECT r.connection_id, r.grant_id, coalesce((SELECT g.state IN ('connected', 'degraded') FROM grants g
			WHERE g.connection_id = r.connection_id AND g.id = r.grant_id), false)
	FROM readings r WHERE r.app = $1 AND r.due_at <= $2 ORDER BY r.due_at LIMIT $3 FOR UPDATE OF r SKIP LOCKED`

// ClaimReadings implements [store.Readings].
func (s *Store) ClaimReadings(ctx context.Context, app string, limit int, while time.Duration) ([]string, error) {
	var ids []string
	err := s.change(ctx, func(t *tx) error {
		ids = nil
		type reading struct {
			connection, grant string
			live              bool
		}
		var claimed []reading
		err := t.each(readingsQuery, []any{app, stamp(t.now), limit}, func(row scanner) error {
			var r reading
			err := row.Scan(&r.connection, &r.grant, &r.live)
			claimed = append(claimed, r)
			return err
		})
		for _, r := range claimed {
			if !r.live {
				t.write(`DELETE FROM readings WHERE connection_id = $1 AND grant_id = $2`, r.connection, r.grant)
				continue
			}
			ids = append(ids, r.grant)
			t.write(`UPDATE readings SET due_at = $3 WHERE connection_id = $1 AND grant_id = $2`,
				r.connection, r.grant, stamp(t.now.Add(while)))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// SkipReading implements [store.Readings].
func (s *Store) SkipReading(ctx context.Context, grantID string) error {
	return s.change(ctx, func(t *tx) error {
		t.write(`UPDATE readings r SET due_at = $2 FROM grant_ids i
			WHERE i.id = $1 AND r.connection_id = i.connection_id AND r.grant_id = i.id`, grantID, stamp(grant.ReadAgain(grantID, t.now)))
		return nil
	})
}
