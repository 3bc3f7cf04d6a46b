package sqlite

import (
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/store/storetest"
)

const overviewConnections = 100_000

// overviewStore is a store with many connections, each with a link made in the last
// 600 days, and in the last 60 days three events and the last of its refreshes.
func overviewStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.Context(), Options{Path: filepath.Join(b.TempDir(), "bench.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	const number = `WITH RECURSIVE i (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM i WHERE n < ?) `
	now := time.Now().UnixMicro()
	const day = 86_400_000_000
	for _, q := range []struct {
		query string
		args  []any
	}{
		{number + `INSERT INTO connections (n, id, app, key, name, flags, state, reason, since, next_try_at, created_at, updated_at)
			SELECT n, format('conn_%026d', n), 'k-series', 'biz_' || n, 'Bar ' || hex(randomblob(8)), iif(n % 50 = 0, '["scope_missing"]', NULL),
				iif(n % 50 = 1, 'needs_reauthorization', 'connected'), 'ok', ? - abs(random() % (60 * ?)), 0, 0, 0 FROM i`,
			[]any{overviewConnections, now, day}},
		{number + `INSERT INTO links (n, id, connection_n, app, purpose, token_hash, short_code, business_name, return_url, locale,
				expect_business, landing, state, problem, created_at, expires_at, completed_at)
			SELECT n, format('link_%026d', n), n, 'k-series', 'connect', randomblob(32), substr(hex(randomblob(2)), 1, 4) || '-' || hex(randomblob(1)), '', '',
				substr('enfrnldeesit', 1 + 2 * abs(random() % 6), 2), '', 1, iif(n % 10 = 0, 'failed', 'completed'), iif(n % 10 = 0, 'declined', ''),
				? - 600 * ? + n * 600 * ? / ?, ?, 0 FROM i`,
			[]any{overviewConnections, now, day, day, overviewConnections, now}},
		{number + `, e (i, n) AS (SELECT n, (? + n * ? << 15) FROM i)
			INSERT INTO events (n, type, time, connection, grant_id, app, ref, reason, previous_n)
			SELECT n, iif(tells, 'connection.degraded', 'grant.refreshed'), (n >> 15) * 1000, format('conn_%026d', 1 + i % ?), '', 'k-series', '', '', iif(tells, NULL, 0)
			FROM (SELECT *, (i + i / ?) % 20 < 3 AS tells FROM e)`,
			[]any{20 * overviewConnections, (now - 60*day) / 1000, 60 * day / 1000 / (20 * overviewConnections), overviewConnections, overviewConnections}},
	} {
		if err := s.w.do(b.Context(), func(t *tx) error { _, err := t.exec(q.query, q.args...); return err }); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// BenchmarkOverview is what pages of the dashboard ask, of 100,000 connections.
func BenchmarkOverview(b *testing.B) {
	s := overviewStore(b)
	var ids []string
	for _, i := range mathrand.Perm(overviewConnections)[:50] {
		ids = append(ids, fmt.Sprintf("conn_%026d", 1+i))
	}
	storetest.BenchOverview(b, s, ids)
}
