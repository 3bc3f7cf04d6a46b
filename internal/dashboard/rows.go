package dashboard

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/why"
	"github.com/evergrant/evergrant/internal/words"
)

// row makes a line of a connection that the store has answered.
func (d *Dashboard) row(c grant.Connection) row {
	conn := client.Connection{
		ID: c.ID, Ref: c.Ref().String(), Key: c.Key, App: c.App, Name: c.Name, Tags: c.Tags,
		State: string(c.Status.State), Reason: string(c.Status.Reason), ActBy: string(c.Status.ActBy()), Since: c.Status.Since,
	}
	for _, f := range c.Flags {
		conn.Flags = append(conn.Flags, string(f))
	}
	r := row{Connection: conn, Sentence: why.Sentence(conn)}
	if !conn.Since.IsZero() {
		r.Age = words.Span(d.c.Now().Sub(conn.Since))
	}
	return r
}

// Called is the business's name, or its key.
func (r row) Called() string {
	if r.Name != "" {
		return r.Name
	}
	return r.Key
}

// Locale is the language a message to the merchant is most likely wanted in.
func (r row) Locale() string {
	for _, l := range languages() {
		if tag := r.Tags["locale"]; tag == l.Tag || len(tag) > 2 && tag[:2] == l.Tag {
			return l.Tag
		}
	}
	return "en"
}

// linksInto says of each row how far its newest link has come.
func (d *Dashboard) linksInto(ctx context.Context, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	links, err := d.c.Store.NewestLinks(ctx, ids)
	if err != nil {
		return err
	}
	for i, r := range rows {
		l, ok := links[r.ID]
		switch {
		case !ok:
			rows[i].Link = "no link yet"
		case l.CreatedAt.Before(r.Since) && l.State == grant.LinkStateCompleted:
			rows[i].Link = "no link since"
		default:
			rows[i].Link = d.progress(l)
		}
	}
	return nil
}

// progress says how far a link has come.
func (d *Dashboard) progress(l grant.Link) string {
	now := d.c.Now()
	text := "link " + words.LinkProgress(string(l.StateAt(now)))
	if l.Problem != "" {
		if e, ok := words.Of(string(l.Problem)); ok {
			text += ": " + strings.TrimSuffix(e.Means, ".")
		}
	}
	return fmt.Sprintf("%s (made %s ago)", text, words.Span(now.Sub(l.CreatedAt)))
}

// cell is a day of a connection.
type cell struct {
	Day   time.Time
	State string // connected, degraded, needs_reauthorization, disconnected, pending, or none before it existed
	X     int    // of the mark
	Hint  string
}

// days is how many are shown.
const days = 30

// cellsInto adds the last thirty days of each row, the worst state of each day.
func (d *Dashboard) cellsInto(ctx context.Context, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	today := d.c.Now().UTC().Truncate(24 * time.Hour)
	events, err := d.c.Store.Changes(ctx, ids, today.AddDate(0, 0, 1-days), 200)
	if err != nil {
		return err
	}
	by := map[string][]grant.Event{}
	for _, e := range events {
		by[e.Connection] = append(by[e.Connection], e)
	}
	for i, r := range rows {
		rows[i].Cells = cells(by[r.ID], r.State, r.Since, today)
	}
	return nil
}

// severity orders states: of a day the worst is shown.
var severity = map[string]int{"none": 0, "pending": 1, "connected": 2, "disconnected": 3, "degraded": 4, "needs_reauthorization": 5}

// cells replays a connection's events, oldest first, day by day. Before the first
// of them it was in a state that the events do not tell of: that is taken to be
// what it is now, if it is in that for longer, or else unknown.
func cells(events []grant.Event, state string, since, today time.Time) []cell {
	first := today.AddDate(0, 0, 1-days)
	current := "none"
	if since.Before(first) || len(events) == 0 {
		current = state
	}
	out := make([]cell, days)
	next := 0
	for i := range out {
		day := first.AddDate(0, 0, i)
		end := day.AddDate(0, 0, 1)
		worst := current
		if since.After(end) && len(events) == 0 {
			worst = "none"
		}
		for ; next < len(events) && events[next].Time.Before(end); next++ {
			s := stateAfter(events[next])
			if s == "" {
				continue
			}
			current = s
			if severity[s] > severity[worst] {
				worst = s
			}
		}
		out[i] = cell{Day: day, State: worst, X: i * 5, Hint: day.Format("2 Jan") + ": " + stateWord(worst)}
	}
	return out
}

// stateAfter is the state a connection is in after an event, "" if it tells of
// none.
func stateAfter(e grant.Event) string {
	switch e.Type {
	case grant.ConnectionConnected, grant.ConnectionReconnected, grant.ConnectionRecovered:
		return "connected"
	case grant.ConnectionDegraded:
		return "degraded"
	case grant.ConnectionNeedsReauthorization:
		return "needs_reauthorization"
	case grant.ConnectionDisconnected:
		return "disconnected"
	}
	return ""
}

// rowOf makes a line of a connection that the API has answered.
func (d *Dashboard) rowOf(c client.Connection) row {
	r := row{Connection: c, Sentence: why.Sentence(c)}
	if !c.Since.IsZero() {
		r.Age = words.Span(d.c.Now().Sub(c.Since))
	}
	return r
}
