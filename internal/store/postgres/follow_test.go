package postgres

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// listener collects what a store is told.
type listener struct {
	mu      sync.Mutex
	events  []string // ids
	own     []string // those of its process
	renewed []grant.Event
	changed []string
}

func (l *listener) published(events []grant.Event, own bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.events = append(l.events, e.ID)
		if own {
			l.own = append(l.own, e.ID)
		}
		if e.Type == grant.GrantRefreshed {
			l.renewed = append(l.renewed, e)
		}
	}
}

func (l *listener) change(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed = append(l.changed, id)
}

// heard waits until the events are those of a log.
func (l *listener) heard(t *testing.T, want []string) {
	t.Helper()
	eventually(t, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if d := cmp.Diff(want, l.events); d != "" {
			return errors.New(d)
		}
		return nil
	})
}

// toldOf waits until a connection has changed.
func (l *listener) toldOf(t *testing.T, id string) {
	t.Helper()
	eventually(t, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !slices.Contains(l.changed, id) {
			return fmt.Errorf("told of %q, not of %q", l.changed, id)
		}
		l.changed = nil
		return nil
	})
}

// listening opens stores on one database that are told of what happens.
func listening(t *testing.T, n int) (string, []*Store, []*listener) {
	t.Helper()
	url := server.Database(t)
	stores, listeners := make([]*Store, n), make([]*listener, n)
	for i := range stores {
		l := &listener{}
		stores[i] = openTest(t, url, Options{Published: l.published, Changed: l.change})
		listeners[i] = l
		l.toldOf(t, "") // it listens
	}
	return url, stores, listeners
}

// log reads the whole log by pages.
func log(t *testing.T, s *Store) (ids []string) {
	t.Helper()
	for cursor := ""; ; {
		events, next, err := s.ListEvents(t.Context(), store.EventFilter{}, store.Page{Limit: 100, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		if cursor = next; next == "" {
			return ids
		}
	}
}

func TestEveryProcessLearnsWhatAnyOfThemDid(t *testing.T) {
	_, s, l := listening(t, 2)
	g := connected(t, s[0], "k", time.Now())
	if err := s[0].Commit(t.Context(), renewal(claims(t, s[0], "own_a", 1)[0], time.Now())); err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"an update without an event", func() error {
			_, err := s[0].UpdateConnection(t.Context(), g.ConnectionID, func(c *grant.Connection) error { c.Name = "New"; return nil })
			return err
		}},
		{"a renewal without an event", func() error {
			r := renewal(claims(t, s[0], "own_a", 1)[0], time.Now())
			r.Events = nil
			return s[0].Commit(t.Context(), r)
		}},
		{"a deletion", func() error { return s[0].DeleteConnection(t.Context(), g.ConnectionID) }},
	} {
		for _, x := range l {
			x.mu.Lock()
			x.changed = nil
			x.mu.Unlock()
		}
		if err := change.do(); err != nil {
			t.Fatalf("%s: %v", change.name, err)
		}
		for _, x := range l {
			x.toldOf(t, g.ConnectionID)
		}
	}
	for _, x := range l {
		x.heard(t, log(t, s[1]))
	}
}

func TestAProcessKnowsItsOwnEvents(t *testing.T) {
	_, s, l := listening(t, 2)
	var made [2][]string
	for i, x := range []int{0, 0, 1, 0, 1, 1} {
		connected(t, s[x], fmt.Sprint("k", i), time.Now())
		if err := s[x].Commit(t.Context(), renewal(claims(t, s[x], fmt.Sprint("own_", x), 1)[0], time.Now().Add(time.Hour))); err != nil {
			t.Fatal(err)
		}
		all := log(t, s[x])
		made[x] = append(made[x], all[len(slices.Concat(made[:]...)):]...)
	}
	all := log(t, s[0])
	for i, x := range l {
		x.heard(t, all)
		if d := cmp.Diff(made[i], x.own); d != "" {
			t.Errorf("process %d takes others for its own (-made +taken):\n%s", i, d)
		}
		for _, e := range x.renewed {
			if own := slices.Contains(made[i], e.ID); (e.Data != nil) != own {
				t.Errorf("process %d hears of a renewal with data %v; own: %v", i, e.Data, own)
			}
		}
		if len(x.renewed) != 6 {
			t.Errorf("process %d hears of %d renewals", i, len(x.renewed))
		}
	}
}

func TestAnEventOfAnOlderVersionIsNobodysOwn(t *testing.T) {
	url, s, l := listening(t, 1)
	if err := s[0].AppendEvents(t.Context(), grant.Event{Type: grant.EventAppAccepted}); err != nil {
		t.Fatal(err)
	}
	l[0].heard(t, log(t, s[0]))
	run(t, url, `WITH seat AS (UPDATE event_log SET last = last + 1 RETURNING last, pg_notify('evergrant', ''))
		INSERT INTO events (n, type, time, connection, grant_id, app, ref, reason)
		SELECT last, 'app.accepted', now(), '', '', '', '', '' FROM seat`)
	all := log(t, s[0])
	l[0].heard(t, all)
	if want := all[:1]; !slices.Equal(l[0].own, want) {
		t.Errorf("its own are %q, want %q", l[0].own, want)
	}
}

func TestAProcessThatWasCutOffHearsWhatItMissed(t *testing.T) {
	url, s, l := listening(t, 2)
	for range 3 {
		if err := s[0].AppendEvents(t.Context(), grant.Event{Type: grant.EventAppAccepted}); err != nil {
			t.Fatal(err)
		}
		run(t, url, terminateAll)
		eventually(t, func() error { return s[0].AppendEvents(t.Context(), grant.Event{Type: grant.EventAppAccepted}) })
		for _, x := range l {
			x.toldOf(t, "")
			x.heard(t, log(t, s[0]))
		}
	}
}

func TestAProcessThatGetsNoAnswerTriesAgainToFollow(t *testing.T) {
	for _, query := range []string{"LISTEN", "SELECT last FROM event_log"} {
		url := server.Database(t)
		p, through := newProxy(t, url)
		l := &listener{}
		s := openTest(t, through, Options{Published: l.published, Changed: l.change, Timeout: time.Second})
		l.toldOf(t, "")
		p.withholdAnswer(query)
		run(t, url, terminateAll)
		eventually(t, func() error { return s.AppendEvents(t.Context(), grant.Event{Type: grant.EventAppAccepted}) })
		l.heard(t, log(t, s))
		if n := p.answersLost(); n != 1 {
			t.Errorf("%d answers to %s were withheld, want 1", n, query)
		}
	}
}

// TestACursorSkipsNothingWhateverCommitsFirst has several processes append and
// renew at once, and readers that pass the last id they saw.
func TestACursorSkipsNothingWhateverCommitsFirst(t *testing.T) {
	const each, grants = 30, 4
	_, s, l := listening(t, 3)
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for i, x := range s {
		for j := range grants {
			g := connected(t, x, fmt.Sprint("k", i, j), time.Now())
			writers.Go(func() {
				for range each {
					c, err := x.ClaimOne(t.Context(), request(fmt.Sprint("own_", i)), g.ID, g.Version)
					if err == nil {
						err = x.Commit(t.Context(), renewal(c, time.Now()))
					}
					if err != nil {
						t.Error(err)
						return
					}
					g.Version = g.Version.Next()
				}
			})
		}
		writers.Go(func() {
			for range each {
				if err := x.AppendEvents(t.Context(), grant.Event{Type: grant.EventAppAccepted}, grant.Event{Type: grant.EventAppAccepted}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen := make([][]string, len(s))
	for i, x := range s {
		readers.Go(func() {
			for cursor, last := "", false; ; {
				events, _, err := x.ListEvents(t.Context(), store.EventFilter{}, store.Page{Limit: 50, Cursor: cursor})
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range events {
					cursor = e.ID
					seen[i] = append(seen[i], e.ID)
				}
				if len(events) == 0 && last {
					return
				}
				select {
				case <-done:
					last = true
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	want := log(t, s[0])
	if n := len(s) * (grants*each + 2*each); len(want) != n {
		t.Errorf("the log has %d events, want %d", len(want), n)
	}
	if !slices.IsSorted(want) {
		t.Error("the log is not in the order of its ids")
	}
	for i, got := range seen {
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("reader %d (-want +got):\n%s", i, d)
		}
	}
	for _, x := range l {
		x.heard(t, want)
	}
}
