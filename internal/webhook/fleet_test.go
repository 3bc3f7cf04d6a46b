package webhook

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/event"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/pgtest"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/postgres"
)

// TestTwoProcessesOnOneDatabaseDeliverEachEventOnce has two stores, hubs and
// services share a PostgreSQL database, as two servers do, and append to the log
// at the same time. One of them stops on the way.
func TestTwoProcessesOnOneDatabaseDeliverEachEventOnce(t *testing.T) {
	server, err := pgtest.Start(pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Remove()
	url := server.EmptyDatabase(t)
	r := newReceiver(t)
	receiver := httptest.NewServer(r)
	defer receiver.Close()
	client := outbound(t)
	var kits [2]*kit
	for i := range kits {
		k := &kit{t: t, hub: event.NewHub(slog.New(slog.DiscardHandler))}
		s, err := postgres.Open(t.Context(), postgres.Options{URL: secret.New(url), AllowLoss: true, Published: func(events []grant.Event, _ bool) { k.hub.Publish(events) }})
		k.ok(err)
		defer s.Close()
		k.store = s
		kits[i] = k
	}
	ring, err := seal.Ephemeral()
	kits[0].ok(err)
	kits[0].ring, kits[1].ring = ring, ring
	kits[0].hooked()
	e := fileEndpoint(receiver.URL, "connection.*")
	_, stopA := kits[0].start(kits[0].store, client, e)
	_, stopB := kits[1].start(kits[1].store, client, e)

	const batches, events = 20, 5
	appended := make(chan error, 2)
	for _, k := range kits {
		go func() {
			for range batches {
				var add []grant.Event
				for i := range events {
					add = append(add, grant.Event{Type: grant.ConnectionConnected, App: "k-series", Connection: fmt.Sprint("conn_", i)},
						grant.Event{Type: grant.GrantRefreshed, App: "k-series"})
				}
				if err := k.store.AppendEvents(t.Context(), add...); err != nil {
					appended <- err
					return
				}
			}
			appended <- nil
		}()
	}
	r.wait(batches * events / 2)
	stopA()
	for range kits {
		kits[0].ok(<-appended)
	}
	r.wait(2*batches*events - batches*events/2)
	stopB()
	log, _, err := kits[0].store.ListEvents(t.Context(), store.EventFilter{Types: []string{"connection.*"}}, store.Page{Limit: 1000})
	kits[0].ok(err)
	var want []string
	for _, e := range log {
		want = append(want, e.ID)
	}
	if got := r.got(); !cmp.Equal(want, got) {
		t.Errorf("%d events were delivered as %d, in order: %v\n%s", len(want), len(got), slices.IsSorted(got), cmp.Diff(want, got))
	}
}
