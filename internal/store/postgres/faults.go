package postgres

import (
	"context"

	"github.com/evergrant/evergrant/internal/store/whole"
)

// faultQueries find what no method shows: rows that belong to nothing, and
// nothing where a row must be. Each returns what its finding is about.
var faultQueries = []struct{ what, query string }{
	{"address of no connection", `SELECT a.key || '@' || a.app FROM addresses a
		WHERE NOT EXISTS (SELECT FROM connections c WHERE c.id = a.connection_id AND c.app = a.app AND c.key = a.key)`},
	{"connection without its address", `SELECT c.id FROM connections c
		WHERE NOT EXISTS (SELECT FROM addresses a WHERE a.connection_id = c.id AND c.app = a.app AND c.key = a.key)`},
	{"id of no grant", `SELECT i.id FROM grant_ids i WHERE NOT EXISTS (SELECT FROM grants g WHERE g.connection_id = i.connection_id AND g.id = i.id)`},
	{"grant without its id", `SELECT g.id FROM grants g WHERE NOT EXISTS (SELECT FROM grant_ids i WHERE i.connection_id = g.connection_id AND i.id = g.id)`},
	{"grant of no connection", `SELECT g.id FROM grants g WHERE NOT EXISTS (SELECT FROM connections c WHERE c.id = g.connection_id)`},
	{"grant of another app or business than its connection's", `SELECT g.id FROM grants g JOIN connections c ON c.id = g.connection_id
		WHERE c.app <> g.app OR c.key <> g.key`},
	{"credentials of no grant", `SELECT v.grant_id FROM credentials v
		WHERE NOT EXISTS (SELECT FROM grants g WHERE g.connection_id = v.connection_id AND g.id = v.grant_id)`},
	{"credentials that are neither current nor the ones before", `SELECT v.grant_id FROM credentials v
		JOIN grants g ON g.connection_id = v.connection_id AND g.id = v.grant_id
		WHERE v.epoch <> g.epoch OR v.seq NOT IN (g.seq, g.seq - 1) OR v.slot <> v.seq % 2`},
	{"orphan of no grant", `SELECT o.attempt FROM orphans o
		WHERE NOT EXISTS (SELECT FROM grants g WHERE g.connection_id = o.connection_id AND g.id = o.grant_id)`},
	{"location of no grant", `SELECT l.id || ' of ' || l.grant_id FROM locations l
		WHERE NOT EXISTS (SELECT FROM grants g WHERE g.connection_id = l.connection_id AND g.id = l.grant_id)`},
	{"reading of no grant", `SELECT r.grant_id FROM readings r
		WHERE NOT EXISTS (SELECT FROM grants g WHERE g.connection_id = r.connection_id AND g.id = r.grant_id)`},
	{"link of no connection", `SELECT l.id FROM links l WHERE NOT EXISTS (SELECT FROM connections c WHERE c.id = l.connection_id)`},
	{"link of another business than its connection's", `SELECT l.id FROM links l JOIN connections c ON c.id = l.connection_id WHERE c.key <> l.key`},
	{"attempt that is open on two grants", `SELECT attempt FROM grants WHERE attempt IS NOT NULL GROUP BY attempt HAVING count(*) > 1`},
	{"the log ends behind its newest event", `SELECT 'event_log' FROM event_log WHERE last < (SELECT max(n) FROM events)`},
	{"is empty, so no event can be written", `SELECT 'event_log' WHERE NOT EXISTS (SELECT FROM event_log)`},
}

// Faults implements [whole.Reader].
func (r *Reader) Faults(ctx context.Context, found func(whole.Fault) error) error {
	for _, q := range faultQueries {
		var enough error
		err := r.at(ctx, func(v view) error {
			return v.each(q.query, nil, func(row scanner) error {
				f := whole.Fault{What: q.what}
				if err := row.Scan(&f.Subject); err != nil {
					return err
				}
				enough = found(f)
				return enough
			})
		})
		if enough != nil {
			return enough
		}
		if err != nil {
			return err
		}
	}
	return nil
}
