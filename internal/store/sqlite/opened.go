package sqlite

import "github.com/evergrant/evergrant/internal/grant"

// opened is what the writer knows of the grants whose attempts it opened, by
// attempt, so that it need not read them again to commit. It is a cache: what is
// remembered holds for as long as the attempt is open and nothing was settled,
// and an attempt that is not in it is looked up.
type opened map[string]held

// maxOpened bounds the cache; attempts that are never settled stay in it.
const maxOpened = 1 << 14

func (o opened) remember(attempt string, row claimRow) {
	if len(o) >= maxOpened {
		clear(o)
	}
	o[attempt] = row.held()
}

// take returns what is known of an attempt, and forgets it.
func (o opened) take(attempt string) (held, bool) {
	h, ok := o[attempt]
	delete(o, attempt)
	return h, ok
}

// held is what a change has to know of the grant.
func (r *claimRow) held() held {
	return held{n: r.n, connectionN: r.connectionN, version: r.Version, status: r.Status, scope: r.Scope,
		credential: r.credential, previous: r.previous, refreshed: r.refreshed,
		about: subject{connection: r.ConnectionID, ref: grant.Ref{Key: r.key, App: r.App}.String(), app: r.App, grant: r.ID}}
}
