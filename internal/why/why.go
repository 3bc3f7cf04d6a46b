// Package why tells how a connection is, how it came to be so, and who has to do
// what: from the log that a server keeps, in words that a support person
// understands. The command line and the dashboard tell the same story.
package why

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
)

// Account is everything a connection's story is told from.
type Account struct {
	conn client.Connection
	app  client.App // as it is now, if the key may see it
	// events are the connection's, and the incidents of its app, oldest first.
	events []client.Event
	// cut is set if the log holds older ones that were not read.
	cut  bool
	link *client.Link // the newest, nil if there is none
	now  time.Time
	when calendar
}

// How much of the log is read: every renewal of the week it is kept, and days of
// trouble.
const (
	mostPages     = 5
	pageSize      = 1000 // the largest page there is
	mostIncidents = 200
)

// Read gathers what is known of a connection. Moments will be told in the given
// zone. Events and links may be out of the key's reach; the story is told without
// them then.
func Read(ctx context.Context, r *client.Client, conn client.Connection, zone *time.Location) Account {
	a := Account{conn: conn, when: calendar{zone}}
	ref := evergrant.Ref(conn.Ref)
	f := client.EventFilter{NewestFirst: true, Limit: pageSize}
	for page := 0; ; page++ {
		events, err := r.ConnectionEvents(ctx, ref, f)
		if err != nil {
			break
		}
		a.events = append(a.events, events.Data...)
		if f.Cursor = events.NextCursor; f.Cursor == "" {
			break
		}
		if page+1 == mostPages {
			a.cut = true
			break
		}
	}
	incidents, err := r.Events(ctx, client.EventFilter{Types: []string{"app.*"}, NewestFirst: true, Limit: mostIncidents})
	if err == nil {
		for _, e := range incidents.Data {
			if e.App == conn.App && !e.Time.Before(conn.CreatedAt) {
				a.events = append(a.events, e)
			}
		}
	}
	if app, err := r.App(ctx, conn.App); err == nil {
		a.app = app
	}
	slices.SortStableFunc(a.events, func(x, y client.Event) int { return strings.Compare(x.ID, y.ID) })
	if links, err := r.Links(ctx, client.LinkFilter{Ref: ref, Limit: 1}); err == nil && len(links.Data) > 0 {
		a.link = &links.Data[0]
	}
	// The server's clock counts where it is ahead of ours, as in a demo whose clock
	// was advanced.
	a.now = time.Now()
	for _, at := range append(times(a.events), conn.Since) {
		if at.After(a.now) {
			a.now = at
		}
	}
	return a
}

// At returns the account as it is told at now, for who knows the server's clock
// better than [Read].
func (a Account) At(now time.Time) Account {
	a.now = now
	return a
}

func times(events []client.Event) []time.Time {
	out := make([]time.Time, len(events))
	for i, e := range events {
		out[i] = e.Time
	}
	return out
}

// Title is what a connection is called: its name and its address.
func Title(c client.Connection) string {
	if c.Name == "" {
		return c.Ref
	}
	return c.Name + " (" + c.Ref + ")"
}

// Sentence says how a connection is and who has to act, without its name:
// "works. Nothing to do."
func Sentence(c client.Connection) string { return verdict(c) }

// Next is the command or the sentence that a story ends with.
func Next(c client.Connection) string { return nextStep(c) }

// Facts are what is true now.
func (a Account) Facts() []Fact { return a.facts(a.replay().proofs()) }

// proofs are what grants were given up for, by their ids.
func (t *teller) proofs() map[string][]try {
	proofs := map[string][]try{}
	for id, tl := range t.tales {
		proofs[id] = tl.proof
	}
	return proofs
}
