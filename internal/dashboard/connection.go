package dashboard

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/why"
	"github.com/evergrant/evergrant/internal/words"
)

// detail is everything about one connection.
type detail struct {
	row
	Next     string // the command that helps
	Facts    []why.Fact
	Bars     []bar
	Coverage client.Coverage
	Story    []storyDay
	Earlier  int // chapters that are not shown
	Links    []linkRow
	Summary  string // six plain lines for a ticket
	Done     string // what was just done, said once
}

// bar is what is left of something that ends: of the access token, or of the
// approval.
type bar struct {
	Label      string
	From, To   time.Time
	Filled     int // of 100
	Text       string
	Over, Near bool
}

// storyDay is the chapters of a day.
type storyDay struct {
	Day      time.Time
	Chapters []why.Chapter
}

// linkRow is a link in a list.
type linkRow struct {
	client.Link
	Text string
	Open bool // can be taken back
}

// mostChapters bounds what is told of a connection's story.
const mostChapters = 60

func (d *Dashboard) connection(v *visit) answer {
	ctx := v.Context()
	c, err := d.c.API.Connection(ctx, v.ref())
	if err != nil {
		return failed(err)
	}
	t := detail{row: d.rowOf(c), Next: why.Next(c), Done: done[v.URL.Query().Get("done")]}
	account := why.Read(ctx, d.c.API, c, time.UTC).At(d.c.Now())
	t.Facts = account.Facts()
	t.Story, t.Earlier = storyDays(account.Story())
	if t.Coverage, err = d.c.API.Locations(ctx, v.ref()); err != nil {
		return failed(err)
	}
	links, err := d.c.API.Links(ctx, client.LinkFilter{Ref: v.ref(), Limit: 10})
	if err != nil {
		return failed(err)
	}
	for _, l := range links.Data {
		t.Links = append(t.Links, d.linkRow(l))
	}
	for _, g := range c.Grants {
		t.Bars = append(t.Bars, d.bars(g, len(c.Grants) > 1)...)
	}
	rows := []row{t.row}
	if err := d.cellsInto(ctx, rows); err != nil {
		return failed(err)
	}
	t.row = rows[0]
	t.Summary = ticket(t)
	return show("connection", t.Called(), t)
}

// bars are what is left of a live grant's token and of the grant.
func (d *Dashboard) bars(g client.Grant, named bool) []bar {
	if g.State != "connected" && g.State != "degraded" {
		return nil
	}
	of := ""
	if named {
		of = " of " + approver(g)
	}
	now := d.c.Now()
	var all []bar
	add := func(label string, from, to time.Time) {
		if from.IsZero() || !to.After(from) {
			return
		}
		b := bar{Label: label + of, From: from, To: to, Over: !now.Before(to)}
		left := to.Sub(now)
		b.Filled = int(100 * min(max(float64(left)/float64(to.Sub(from)), 0), 1))
		b.Near = !b.Over && b.Filled < 20
		if b.Text = words.Span(left) + " left"; b.Over {
			b.Text = "ended " + words.Span(-left) + " ago"
		}
		all = append(all, b)
	}
	add("Access token", g.IssuedAt, g.ExpiresAt)
	add("Approval", g.IssuedAt, g.Deadline)
	return all
}

// approver is who gave a grant.
func approver(g client.Grant) string {
	if g.Identity.Name != "" {
		return g.Identity.Name
	}
	return g.ID
}

// linkRow makes a line of a link.
func (d *Dashboard) linkRow(l client.Link) linkRow {
	text := words.LinkProgress(l.State)
	if l.Problem != "" {
		if e, ok := words.Of(l.Problem); ok {
			text += ": " + e.Means
		}
	}
	return linkRow{l, text, l.State != "completed" && l.State != "revoked" && l.State != "expired"}
}

// storyDays divides a story into days, the newest first.
func storyDays(story []why.Chapter) (days []storyDay, earlier int) {
	if earlier = len(story) - mostChapters; earlier > 0 {
		story = story[earlier:]
	} else {
		earlier = 0
	}
	for _, c := range slices.Backward(story) {
		day := c.From.UTC().Truncate(24 * time.Hour)
		if n := len(days); n == 0 || !days[n-1].Day.Equal(day) {
			days = append(days, storyDay{Day: day})
		}
		days[len(days)-1].Chapters = append(days[len(days)-1].Chapters, c)
	}
	return days, earlier
}

// ticket is a connection in plain lines, to be pasted.
func ticket(t detail) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", why.Title(t.Connection), t.Sentence)
	for _, f := range t.Facts {
		if b.Len() < 1500 {
			fmt.Fprintf(&b, "%s: %s\n", f.Name, strings.TrimSpace(f.Text+" "+f.Tail))
		}
	}
	fmt.Fprintf(&b, "next: %s\n", t.Next)
	return b.String()
}
