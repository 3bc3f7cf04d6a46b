package sqlite

import (
	"context"

	"github.com/evergrant/evergrant/internal/store/whole"
)

// faultQueries find what no method shows: rows that belong to nothing, and
// nothing where a row must be. Each returns what its finding is about.
var faultQueries = []struct{ what, query string }{
	{"is damaged: PRAGMA integrity_check", `SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'`},
	{"points at a row that is not there", `SELECT "table" || ' row ' || coalesce(rowid, '?') || ' → ' || parent FROM pragma_foreign_key_check`},
	{"grant of no connection", `SELECT id FROM grants WHERE connection_n NOT IN (SELECT n FROM connections)`},
	{"grant of another app than its connection's", `SELECT g.id FROM grants g JOIN connections c ON c.n = g.connection_n WHERE c.app <> g.app`},
	{"grant without what was approved", `SELECT id FROM grants WHERE n NOT IN (SELECT grant_n FROM consents)`},
	{"grant whose current credentials are another version's", `SELECT id FROM grants g WHERE g.credential_n IS NOT NULL AND NOT EXISTS (
		SELECT 1 FROM credentials v WHERE v.n = g.credential_n AND v.grant_n = g.n AND v.epoch = g.epoch AND v.seq = g.seq)`},
	{"grant whose previous credentials are another version's", `SELECT id FROM grants g WHERE g.previous_n IS NOT NULL AND NOT EXISTS (
		SELECT 1 FROM credentials v WHERE v.n = g.previous_n AND v.grant_n = g.n AND v.epoch = g.epoch AND v.seq = g.seq - 1)`},
	{"credentials of no grant", `SELECT 'credentials row ' || v.n FROM credentials v LEFT JOIN grants g ON g.n = v.grant_n
		WHERE g.n IS NULL OR v.n IS NOT g.credential_n AND v.n IS NOT g.previous_n`},
	{"attempt that is open on two grants", `SELECT attempt FROM grants WHERE attempt IS NOT NULL GROUP BY attempt HAVING count(*) > 1`},
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
