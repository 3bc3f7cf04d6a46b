package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// fillOverview adds to a full database what people ask about: names, flags, states,
// links and what happened.
func fillOverview(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	for _, query := range []string{
		`UPDATE connections SET name = 'Bar ' || md5(id), since = now() - random() * interval '60 days',
			state = CASE WHEN random() < 0.02 THEN 'needs_reauthorization' ELSE 'connected' END,
			flags = CASE WHEN random() < 0.02 THEN '["scope_missing"]'::json END`,
		`INSERT INTO links (id, connection_id, app, key, purpose, token_hash, short_code, business_name, return_url, locale,
				expect_business, landing, state, problem, created_at, expires_at)
			SELECT replace(id, 'conn_', 'link_'), id, app, key, 'connect', sha256(id::bytea), upper(substr(md5(id), 1, 4) || '-' || substr(md5(id), 5, 2)),
				name, '', (ARRAY['en', 'fr', 'nl', 'de'])[1 + floor(random() * 4)::int], '', true,
				(ARRAY['created', 'opened', 'at_provider', 'completed'])[1 + floor(random() * 4)::int], '',
				now() - random() * interval '600 days', now()
			FROM connections`,
		`INSERT INTO events SELECT 1000000 + row_number() OVER (), 'connection.degraded', now(), id, '', app, '', 'network'
			FROM connections, generate_series(1, 3)`,
		`UPDATE event_log SET last = (SELECT max(n) FROM events)`,
		`VACUUM FULL connections`, `VACUUM ANALYZE`,
	} {
		if _, err := conn.Exec(context.Background(), query); err != nil {
			t.Fatalf("%v: %s", err, query)
		}
	}
}

func TestTheOverviewIsAnsweredFromIndexes(t *testing.T) {
	url := server.Database(t)
	s := openTest(t, url, Options{})
	conn, err := pgx.ConnectConfig(context.Background(), s.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	fillDatabase(t, conn, 20_000, 100)
	fillOverview(t, conn)
	latest := func(f store.LatestFilter) string {
		query, _, err := latestQuery(f, store.Page{Limit: 10, Cursor: "2026-11-21T12:00:00Z conn_1"})
		if err != nil {
			t.Fatal(err)
		}
		return query
	}
	events := func(f store.EventFilter) string {
		query, _, err := eventsQuery(f, store.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return query
	}
	failed := linkWhere(store.LinkFilter{State: grant.LinkStateFailed, Now: time.Now()})
	failed.and("l.id < ?", "link_9")
	count, _ := countLinksQuery(time.Now(), time.Now())
	ofState, _ := connectionsQuery(store.ConnectionFilter{States: []grant.State{grant.Connected}}, store.Page{Limit: 10, Cursor: "conn_1"})
	for name, test := range map[string]struct {
		query string
		uses  []string // indexes, without their partition's number
		sorts int      // of no more than is returned or counted
	}{
		"latest":                      {latest(store.LatestFilter{State: grant.Connected}), []string{"connections_p_state_coalesce_id_idx"}, 0},
		"latest, app":                 {latest(store.LatestFilter{State: grant.Connected, App: "a"}), []string{"connections_p_app_state_coalesce_id_idx"}, 0},
		"flagged":                     {latest(store.LatestFilter{Flagged: true}), []string{"connections_p_coalesce_id_idx"}, 0},
		"flagged, app":                {latest(store.LatestFilter{Flagged: true, App: "a"}), []string{"connections_p_app_coalesce_id_idx"}, 0},
		"changes":                     {changesQuery, []string{"events_changes"}, 1},
		"some":                        {connectionsByIDQuery, []string{"connections_p_pkey"}, 0},
		"events of a type":            {events(store.EventFilter{Types: []string{"app.*"}, NewestFirst: true}), []string{"events_type"}, 1},
		"events of a type and an app": {events(store.EventFilter{Types: []string{"app.*"}, Apps: []string{"a"}, NewestFirst: true}), []string{"events_app_type"}, 1},
		"newest links":                {newestLinksQuery, []string{"links_connection"}, 0},
		"links of a state":            {`SELECT ` + linkColumns + ` FROM links l` + failed.sql.String() + ` ORDER BY l.id DESC LIMIT 11`, []string{"links_state"}, 0},
		"links counted":               {count, []string{"links_created"}, 1},
		"what text names": {findQuery, []string{"addresses_pkey", "connections_p_lower_id_idx", "connections_p_left_id_idx",
			"links_pkey", "links_code", "connections_p_pkey"}, 2},
		"connections of a state": {ofState, []string{"connections_p_pkey"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			plan := planOf(t, conn, test.query, "")
			for _, index := range test.uses {
				if !strings.Contains(plan, " using "+index+" on ") && !strings.Contains(plan, "Bitmap Index Scan on "+index) {
					t.Errorf("does not use %s:\n%s", index, plan)
				}
			}
			sorts := 0
			for line := range strings.SplitSeq(plan, "\n") {
				switch step := strings.TrimPrefix(strings.TrimSpace(line), "->  "); {
				case strings.HasPrefix(step, "Seq Scan"):
					t.Errorf("%s:\n%s", step, plan)
				case step == "Sort":
					sorts++
				}
			}
			if sorts != test.sorts {
				t.Errorf("it sorts %d times, want %d:\n%s", sorts, test.sorts, plan)
			}
		})
	}
}
