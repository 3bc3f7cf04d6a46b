package sqlite

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// eventsOf reads a filter's events, three at a time.
func eventsOf(t *testing.T, s *Store, f store.EventFilter) []grant.Event {
	t.Helper()
	var all []grant.Event
	for p := (store.Page{Limit: 3}); ; {
		events, next, err := s.ListEvents(t.Context(), f, p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, events...)
		if next == "" {
			return all
		}
		p.Cursor = next
	}
}

func typesOf(t *testing.T, s *Store, f store.EventFilter) (types []grant.EventType) {
	t.Helper()
	for _, e := range eventsOf(t, s, f) {
		types = append(types, e.Type)
	}
	return types
}

// checkEventsOf compares a connection's events, which are found by an index and
// by its grants, with those in the whole log.
func checkEventsOf(t *testing.T, s *Store, connection string, want int) {
	t.Helper()
	var all []grant.Event
	for _, e := range eventsOf(t, s, store.EventFilter{}) {
		if e.Connection == connection {
			all = append(all, e)
		}
	}
	if len(all) != want {
		t.Errorf("%s has %d events, want %d", connection, len(all), want)
	}
	if d := cmp.Diff(all, eventsOf(t, s, store.EventFilter{ConnectionID: connection})); d != "" {
		t.Errorf("events of %s:\n%s", connection, d)
	}
	newest := eventsOf(t, s, store.EventFilter{ConnectionID: connection, NewestFirst: true})
	slices.Reverse(newest)
	if d := cmp.Diff(all, newest); d != "" {
		t.Errorf("events of %s, newest first:\n%s", connection, d)
	}
}

func TestTheEventsOfAConnectionAreFoundWhateverTheyTellOf(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := openTemp(t, func(o *Options) { o.Now = func() time.Time { return now } })
	a, b := oneGrant(t, s, "a"), oneGrant(t, s, "b")
	second := a
	second.ID = "grant_a2"
	if err := s.Install(t.Context(), store.Installation{Grant: second, Sealed: []byte("sealed")}); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		for _, g := range []grant.Grant{a, b, second} {
			renew(t, s, g.ID)
		}
		other := grant.Event{Type: grant.GrantRefreshed, Connection: a.ConnectionID, Reason: grant.Reason(fmt.Sprint(i))}
		if err := s.AppendEvents(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		now = now.Add(24 * time.Hour)
	}
	checkEventsOf(t, s, a.ConnectionID, 24)
	checkEventsOf(t, s, b.ConnectionID, 8)

	if err := s.w.do(t.Context(), func(*tx) error { s.w.trimmer.since = trimEvery; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil { // its turn comes when the trimming is over
		t.Fatal(err)
	}
	checkEventsOf(t, s, a.ConnectionID, 21)
	checkEventsOf(t, s, b.ConnectionID, 7)

	a.Version = grant.Version{Epoch: 2}
	a.DueAt = now
	if err := s.Install(t.Context(), store.Installation{Grant: a, Sealed: []byte("sealed")}); err != nil {
		t.Fatal(err)
	}
	renew(t, s, a.ID)
	checkEventsOf(t, s, a.ConnectionID, 22)

	for _, id := range []string{a.ConnectionID, b.ConnectionID} {
		if err := s.DeleteConnection(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	checkEventsOf(t, s, a.ConnectionID, 22)
	checkEventsOf(t, s, b.ConnectionID, 7)
}

func TestAnEventOfARefreshIsNotIndexed(t *testing.T) {
	s := openTemp(t)
	g := oneGrant(t, s, "a")
	for range 3 {
		renew(t, s, g.ID)
	}
	if n := count(t, s, `SELECT count(*) FROM events INDEXED BY events_connection WHERE connection <> '' AND previous_n IS NULL`); n != 0 {
		t.Errorf("%d are", n)
	}
}
