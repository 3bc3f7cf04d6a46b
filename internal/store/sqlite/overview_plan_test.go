package sqlite

import (
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

func TestTheOverviewIsAnsweredFromIndexes(t *testing.T) {
	s := openTemp(t)
	latest := func(f store.LatestFilter) string {
		query, _ := latestQuery(f)
		return query
	}
	ofState := linkWhere(store.LinkFilter{State: grant.LinkStateFailed})
	ofState.and("l.id < ?", "")
	events := func(f store.EventFilter) string {
		query, _, err := eventsQuery(f, store.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return query
	}
	find := []any{sql.Named("limit", 1)}
	for _, name := range []string{"text", "app", "key", "code", "from", "to"} {
		find = append(find, sql.Named(name, ""))
	}
	for name, test := range map[string]struct {
		query string
		args  []any
		uses  []string
		sorts []string // what is sorted, of which there is no more than is returned or counted
	}{
		"latest":       {latest(store.LatestFilter{State: grant.Connected}), nil, []string{"SEARCH c USING INDEX connections_latest (state=? AND since>? AND (since,id)<(?,?))"}, nil},
		"latest, app":  {latest(store.LatestFilter{State: grant.Connected, App: "a"}), nil, []string{"SEARCH c USING INDEX connections_latest_of_app (app=? AND state=? AND since>? AND (since,id)<(?,?))"}, nil},
		"flagged":      {latest(store.LatestFilter{Flagged: true}), nil, []string{"SEARCH c USING INDEX connections_flagged (since>? AND (since,id)<(?,?))"}, nil},
		"flagged, app": {latest(store.LatestFilter{Flagged: true, App: "a"}), nil, []string{"SEARCH c USING INDEX connections_flagged_of_app (app=? AND since>? AND (since,id)<(?,?))"}, nil},
		"changes":      {changesQuery, nil, []string{"SEARCH x USING INDEX events_connection (connection=? AND rowid>?)", "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)"}, []string{"DISTINCT", "ORDER BY"}},
		"some":         {connectionsByIDQuery, nil, []string{"SEARCH c USING INDEX sqlite_autoindex_connections_1 (id=?)"}, nil},
		"events of a type": {events(store.EventFilter{Types: []string{"app.*"}, NewestFirst: true}), nil, []string{"SEARCH events USING COVERING INDEX events_type",
			"SEARCH events USING COVERING INDEX events_type (type>?)", "SEARCH events USING COVERING INDEX events_type (type=?)", "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)"}, []string{"ORDER BY"}},
		"events of a type and an app": {events(store.EventFilter{Types: []string{"app.*"}, Apps: []string{"a"}, NewestFirst: true}), nil, []string{
			"SEARCH events USING COVERING INDEX events_app_type (app=? AND type=?)", "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)"}, []string{"ORDER BY"}},
		"newest links": {newestLinksQuery, nil, []string{"SEARCH x USING COVERING INDEX links_connection (connection_n=?)", "SEARCH l USING INDEX sqlite_autoindex_links_1 (id=?)"}, nil},
		"links of a state": {`SELECT ` + linkColumns + linkTables + string(ofState.sql) + ` ORDER BY l.id DESC LIMIT ?`, nil,
			[]string{"SEARCH l USING INDEX links_state (state=? AND id<?)"}, nil},
		"links counted":   {countLinksQuery, []any{sql.Named("since", 0), sql.Named("now", 0)}, []string{"SEARCH x USING COVERING INDEX links_kind ((app,purpose,locale,state,problem,created_at)>(?,?,?,?,?,?))", "SEARCH x USING COVERING INDEX links_kind (app=? AND purpose=? AND locale=? AND state=? AND problem=? AND created_at>?)"}, nil},
		"what text names": {findQuery, find, []string{"SEARCH connections USING COVERING INDEX sqlite_autoindex_connections_1 (id=?)", "SEARCH connections USING COVERING INDEX sqlite_autoindex_connections_2 (app=? AND key=?)", "SEARCH connections USING INDEX connections_key (<expr>=?)", "SEARCH links USING INDEX sqlite_autoindex_links_1 (id=?)", "SEARCH links USING INDEX links_code (<expr>=?)", "SEARCH connections USING COVERING INDEX connections_key (<expr>>? AND <expr><?)", "SEARCH connections USING COVERING INDEX connections_name (<expr>>? AND <expr><?)"}, []string{"GROUP BY", "ORDER BY"}},
	} {
		plan := planOf(t, s, test.query, test.args...)
		lines := strings.Split(strings.TrimSpace(plan), "\n")
		for _, use := range test.uses {
			if !slices.Contains(lines, use) {
				t.Errorf("%s: there is no %q in\n%s", name, use, plan)
			}
		}
		var sorts []string
		for _, line := range lines {
			if what, sorted := strings.CutPrefix(line, "USE TEMP B-TREE FOR "); sorted {
				sorts = append(sorts, what)
			}
			table, scan := strings.CutPrefix(line, "SCAN ")
			table, _, _ = strings.Cut(table, " ")
			if scan && slices.Contains([]string{"c", "connections", "l", "x", "links", "e", "events"}, table) {
				t.Errorf("%s: %s in\n%s", name, line, plan)
			}
		}
		if !slices.Equal(sorts, test.sorts) {
			t.Errorf("%s sorts for %q, want %q:\n%s", name, sorts, test.sorts, plan)
		}
	}
}
