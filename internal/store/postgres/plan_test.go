package postgres

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// fillDatabase puts many live grants, due around now, straight into the tables.
func fillDatabase(t testing.TB, conn *pgx.Conn, grants, sealed int) {
	t.Helper()
	for _, query := range []string{
		`INSERT INTO connections (id, app, key, name, state, reason, since, created_at, updated_at)
			SELECT format('conn_%s', lpad(i::text, 26, '0')), 'k-series', 'biz_' || i, 'Quay Bar', 'connected', 'ok', now(), now(), now()
			FROM generate_series(1, $1::int) AS i`,
		`INSERT INTO addresses SELECT app, key, id FROM connections WHERE $1::int > 0`,
		`INSERT INTO grant_ids SELECT replace(id, 'conn_', 'grant_'), id FROM connections WHERE $1::int > 0`,
		`INSERT INTO grants (connection_id, id, app, key, identity, scope, consent_at, epoch, seq, issued_at, expires_at, due_at,
				state, reason, since, failures, refusals)
			SELECT c.id, i.id, c.app, c.key, '{"issuer": "https://auth.lsk.lightspeed.app", "subject": "1234567890"}',
				'financial-api orders-api offline_access', now(), 1, 0, now(), now() + interval '1 hour', now() - random() * interval '1 hour',
				'connected', 'ok', now(), 0, 0
			FROM connections c JOIN grant_ids i ON i.connection_id = c.id WHERE $1::int > 0`,
	} {
		if _, err := conn.Exec(context.Background(), query, grants); err != nil {
			t.Fatal(err)
		}
	}
	for _, query := range []string{
		fmt.Sprintf(`INSERT INTO credentials SELECT connection_id, id, 0, 1, 0, '',
			decode(repeat(md5(id), %d), 'hex') FROM grants`, (sealed+15)/16),
		`INSERT INTO locations SELECT connection_id, id, 'loc_' || i, 'Quay Bar', 'biz', 'Quay Bar', now()
			FROM grants, generate_series(1, 3) AS i`,
		`INSERT INTO readings SELECT connection_id, id, app, now() + random() * interval '1 day' FROM grants`,
		`INSERT INTO events SELECT i, 'grant.refreshed', now(), 'conn_' || lpad((i % 1000)::text, 26, '0'), '', 'k-series', '', 'ok'
			FROM generate_series(1, 20000) AS i`,
		`UPDATE event_log SET last = 20000`,
		`VACUUM ANALYZE`,
	} {
		if _, err := conn.Exec(context.Background(), query); err != nil {
			t.Fatal(err)
		}
	}
}

// partition is the number of a partition in the name of an index.
var partition = regexp.MustCompile(`_p[0-3]_`)

// planOf is how PostgreSQL answers a query whatever its parameters are, as it
// does for the store. An id, if any, is its first parameter or the transaction's
// setting, and says which partition is left.
func planOf(t *testing.T, conn *pgx.Conn, query, id string) string {
	t.Helper()
	ctx := context.Background()
	args := make([]string, 0, 20)
	for strings.Contains(query, fmt.Sprintf("$%d", len(args)+1)) {
		args = append(args, "NULL")
	}
	if _, err := conn.Exec(ctx, "PREPARE q AS "+query); err != nil {
		t.Fatalf("%v: %s", err, query)
	}
	call := "EXPLAIN (COSTS OFF) EXECUTE q"
	if id != "" && len(args) > 0 {
		args[0] = "'" + id + "'"
	}
	if _, err := conn.Exec(ctx, `SELECT set_config('evergrant.connection', $1, false)`, id); err != nil {
		t.Fatal(err)
	}
	if len(args) > 0 {
		call += "(" + strings.Join(args, ", ") + ")"
	}
	rows, err := conn.Query(ctx, call, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "DEALLOCATE q"); err != nil {
		t.Fatal(err)
	}
	return partition.ReplaceAllString(strings.Join(lines, "\n"), "_p_")
}

func TestHotQueriesAreAnsweredFromAnIndex(t *testing.T) {
	url := server.Database(t)
	s := openTest(t, url, Options{})
	conns := make(map[bool]*pgx.Conn) // by whether it is the one that claims
	for claims, config := range map[bool]*pgx.ConnConfig{false: s.config, true: claimConfig(s.config)} {
		conn, err := pgx.ConnectConfig(context.Background(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		conns[claims] = conn
	}
	fillDatabase(t, conns[false], 20_000, 100)
	connectionsPage, _ := connectionsQuery(store.ConnectionFilter{}, store.Page{Limit: 10, Cursor: "conn_"})
	events, _, err := eventsQuery(store.EventFilter{ConnectionID: "conn_1"}, store.Page{Limit: 10, Cursor: grant.EventID + "01K9ZKQ8Z00000000000000000"})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		query string
		uses  []string // indexes, without their partition's number
		sorts bool     // of which there are few
		id    string
	}{
		"next due":               {nextDueQuery, []string{"grants_p_app_due_at_idx"}, false, ""},
		"claim":                  {claimQuery, []string{"grants_p_app_due_at_idx", "grants_p_pkey", "credentials_p_pkey"}, true, ""},
		"claim of one":           {claimOneQuery, []string{"grant_ids_pkey", "grants_p_pkey", "credentials_p_pkey"}, true, ""},
		"strangers":              {strangersQuery, []string{"grants_p_app_due_at_idx"}, true, ""},
		"commit":                 {commitQuery, []string{"grant_ids_pkey", "grants_p_pkey", "credentials_pkey"}, true, ""},
		"credentials":            {credentialsQuery, []string{"grant_ids_pkey", "grants_p_pkey", "credentials_p_pkey"}, false, ""},
		"grant":                  {grantQuery, []string{"grant_ids_pkey", "grants_p_pkey"}, false, ""},
		"grants":                 {grantsQuery, []string{"grants_p_pkey"}, true, "conn_1"},
		"connection":             {connectionByIDQuery, []string{"connections_p_pkey"}, false, "conn_1"},
		"connection of address":  {connectionByAddressQuery, []string{"addresses_pkey", "connections_p_pkey"}, false, ""},
		"name by address":        {nameByAddress, []string{"addresses_pkey"}, false, ""},
		"connection of holdings": {namedQuery, []string{"connections_p_pkey", "Subplans Removed: 3"}, false, "conn_1"},
		"holdings":               {holdingsQuery, []string{"grants_p_pkey", "credentials_p_pkey", "locations_p_pkey", "Subplans Removed: 3"}, false, "conn_1"},
		"connections":            {connectionsPage, []string{"connections_p_pkey"}, false, ""},
		"live grants":            {liveGrantsQuery, []string{"grants_p_pkey"}, false, ""},
		"readings":               {readingsQuery, []string{"readings_p_app_due_at_idx", "grants_p_pkey"}, false, ""},
		"count":                  {countQuery, []string{"connections_p_app_state_reason_idx"}, true, ""},
		"events":                 {followQuery, []string{"events_pkey"}, false, ""},
		"last event":             {lastEventQuery, []string{"events_pkey"}, false, ""},
		"old events":             {trimQuery, []string{"events_pkey"}, false, ""},
		"a connection's events":  {events, []string{"events_connection"}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			claims := slices.Contains([]string{claimQuery, claimOneQuery, strangersQuery}, test.query)
			plan := planOf(t, conns[claims], test.query, test.id)
			for _, index := range test.uses {
				if !strings.Contains(plan, index) {
					t.Errorf("does not use %s:\n%s", index, plan)
				}
			}
			for line := range strings.SplitSeq(plan, "\n") {
				scans := strings.Contains(line, "Seq Scan") && !strings.Contains(line, "event_log") // which has one row
				if scans || !test.sorts && strings.Contains(line, "Sort Key") && !strings.Contains(plan, "Merge Append") {
					t.Errorf("%s:\n%s", strings.TrimSpace(line), plan)
				}
			}
		})
	}
}
