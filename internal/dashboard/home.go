package dashboard

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/words"
)

// home is "Who needs help?": the one page for support.
type home struct {
	Sentence  string
	Runway    string // "" if no deadline is known
	RunwayOf  string // the ref of the connection that would be lost first
	Proof     string // how long ago something was heard of
	Apps      []appLine
	Groups    []group
	Back      []row
	Checklist []step // of a new installation; nil once something is connected
}

// appLine is how an app is, in a line.
type appLine struct {
	Name, Title, Mark, Text, Next string
	Connected, Total              int
}

// group is everybody who waits for the same actor.
type group struct {
	Actor   grant.Actor
	Title   string
	Lead    string
	Rows    []row
	More    int    // of them that are not shown
	MoreURL string // where they are
	Apps    []appLine
}

// row is a connection in a list.
type row struct {
	client.Connection
	Sentence string // how it is, after its name
	Age      string
	Link     string    // how far its newest link has come
	Cells    []cell    // its last thirty days
	Ends     time.Time // when one of its approvals does, where that is listed
}

// step is one of the first things to do.
type step struct {
	Done       bool
	Text, How  string
	Path, Name string // of a page of ours that helps
}

// mostHelped bounds the rows of a group. A list has the others.
const mostHelped = 25

func (d *Dashboard) home(v *visit) answer {
	ctx := v.Context()
	counts, err := d.counts.read(ctx, d.c.Store, d.c.Now)
	if err != nil {
		return failed(err)
	}
	apps, err := d.c.API.Apps(ctx)
	if err != nil {
		return failed(err)
	}
	h := home{}
	waiting := map[grant.Actor]int{}
	total, connected := 0, 0
	for _, c := range counts {
		total += c.Count
		if c.State == grant.Connected {
			connected += c.Count
		}
		if c.State != grant.Connected && c.State != grant.Disconnected && c.Reason != grant.NeverConnected {
			waiting[c.Reason.ActBy()] += c.Count
		}
	}
	ill := map[string]bool{}
	for _, a := range apps {
		line := d.appLine(a, counts)
		h.Apps = append(h.Apps, line)
		if ill[a.Name] = line.Text != ""; ill[a.Name] {
			waiting[grant.Operator] += line.Connected
		}
	}
	declined := slices.ContainsFunc(counts, func(c store.ConnectionCount) bool { return c.Reason == grant.MerchantDeclined })
	var missing int
	if h.Groups, missing, err = d.groups(ctx, h.Apps, ill, declined); err != nil {
		return failed(err)
	}
	waiting[grant.Merchant] += missing
	h.Sentence = summary(total, waiting)
	if h.Back, err = d.back(ctx); err != nil {
		return failed(err)
	}
	if h.Runway, h.RunwayOf, err = d.runway(ctx, apps); err != nil {
		return failed(err)
	}
	d.proofInto(ctx, &h)
	if connected == 0 && waiting[grant.Merchant] == 0 {
		h.Checklist = checklist(apps, total)
	}
	return show("home", "Who needs help?", h)
}

// summary is the first sentence of the page.
func summary(total int, waiting map[grant.Actor]int) string {
	if total == 0 {
		return "There is no business yet."
	}
	n := 0
	for _, w := range waiting {
		n += w
	}
	if n == 0 {
		return fmt.Sprintf("None of %s needs anything.", words.Counted(total, "business", "businesses"))
	}
	parts := []string{}
	for _, p := range []struct {
		actor     grant.Actor
		one, many string
	}{
		{grant.Merchant, "waits for its merchant", "wait for their merchants"},
		{grant.Operator, "waits for us", "wait for us"},
		{grant.Provider, "waits for the provider", "wait for the provider"},
		{grant.Nobody, "is being checked", "are being checked"},
	} {
		if w := waiting[p.actor]; w > 0 {
			parts = append(parts, words.Counted(w, p.one, p.many))
		}
	}
	verb := "need"
	if n == 1 {
		verb = "needs"
	}
	return fmt.Sprintf("%d of %s %s something: %s.", n, words.Counted(total, "business", "businesses"), verb, strings.Join(parts, ", "))
}

// appLine tells of an app, and of its incident if it has one.
func (d *Dashboard) appLine(a client.App, counts []store.ConnectionCount) appLine {
	l, degraded := appLine{Name: a.Name, Title: a.Title, Mark: "connected"}, 0
	for _, c := range counts {
		if c.App != a.Name {
			continue
		}
		l.Total += c.Count
		switch c.State {
		case grant.Connected:
			l.Connected += c.Count
		case grant.Degraded:
			degraded += c.Count
		}
	}
	if a.Reason == string(grant.OK) || a.Reason == "" {
		switch {
		case l.Total == 0:
			l.Mark = string(grant.Pending)
		case degraded > l.Connected:
			l.Mark = string(grant.Degraded)
		}
		return l
	}
	e, _ := words.Of(a.Reason)
	l.Mark, l.Text, l.Next = "degraded", e.Means, e.NextFor(a.Name, a.Name)
	if !a.Since.IsZero() {
		l.Text = fmt.Sprintf("For %s: %s", words.Span(d.c.Now().Sub(a.Since)), l.Text)
	}
	return l
}

// groups are those who wait, by whom they wait for. An app's incident is one
// line, however many businesses wait for its end. missing is how many of them work
// but lack something that only their merchant can give; declined says that there
// are some whose merchant declined.
func (d *Dashboard) groups(ctx context.Context, apps []appLine, ill map[string]bool, declined bool) (all []group, missing int, err error) {
	by := map[grant.Actor]*group{
		grant.Merchant: {Title: "Merchants must act", Lead: "Only somebody who can log in at the provider for the business can mend these.",
			MoreURL: "/connections?view=needs-login"},
		grant.Operator: {Title: "We must act", Lead: "No merchant can do anything about these.", MoreURL: "/connections?view=degraded"},
		grant.Provider: {Title: "The provider must act", Lead: "Nothing to do: we go on trying, and tokens are served as long as they last.", MoreURL: "/connections?view=degraded"},
		grant.Nobody:   {Title: "Nothing to do", Lead: "These are being found out and end by themselves.", MoreURL: "/connections?view=degraded"},
	}
	look := []store.LatestFilter{{State: grant.NeedsReauthorization}, {State: grant.Degraded}, {Flagged: true}}
	if declined {
		look = append(look, store.LatestFilter{State: grant.Pending})
	}
	for _, f := range look {
		limit := 4 * mostHelped
		if f.State == grant.Pending {
			limit = 1000 // most of them never began
		}
		rows, _, err := d.c.Store.Latest(ctx, f, store.Page{Limit: limit})
		if err != nil {
			return nil, 0, err
		}
		for _, c := range rows {
			status := c.Status
			switch {
			case f.Flagged && status.State != grant.Connected:
				continue // it is here for its state, or ended
			case f.Flagged:
				status = grant.StatusOf(c.Flags[0], c.UpdatedAt)
				missing++
			case status.Reason == grant.NeverConnected, ill[c.App] && status.ActBy() != grant.Merchant:
				continue // never began, or its app's line tells
			}
			g := by[status.ActBy()]
			if len(g.Rows) == mostHelped {
				g.More++
				continue
			}
			g.Rows = append(g.Rows, d.row(c))
		}
	}
	for _, a := range apps {
		if a.Text != "" {
			by[grant.Operator].Apps = append(by[grant.Operator].Apps, a)
		}
	}
	for _, actor := range []grant.Actor{grant.Merchant, grant.Operator, grant.Provider, grant.Nobody} {
		g := by[actor]
		if g.Actor = actor; len(g.Rows)+len(g.Apps) == 0 {
			continue
		}
		if actor == grant.Merchant {
			if err := d.linksInto(ctx, g.Rows); err != nil {
				return nil, 0, err
			}
		}
		all = append(all, *g)
	}
	return all, missing, nil
}

// back are the businesses that came back, or came, within a day.
func (d *Dashboard) back(ctx context.Context) ([]row, error) {
	list, _, err := d.c.Store.Latest(ctx, store.LatestFilter{State: grant.Connected, Since: d.c.Now().Add(-24 * time.Hour)}, store.Page{Limit: 8})
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, c := range list {
		rows = append(rows, d.row(c))
	}
	return rows, nil
}

// proofInto adds how long ago something was heard of. The page does without it if
// it cannot be told.
func (d *Dashboard) proofInto(ctx context.Context, h *home) {
	last, _, err := d.c.Store.ListEvents(ctx, store.EventFilter{NewestFirst: true}, store.Page{Limit: 1})
	if err == nil && len(last) > 0 {
		h.Proof = words.Span(d.c.Now().Sub(last[0].Time))
	}
}

// checklist is what there is to do in a new installation.
func checklist(apps []client.App, total int) []step {
	accepted := len(apps) > 0
	for _, a := range apps {
		accepted = accepted && a.CredentialsOK
	}
	return []step{
		{Done: len(apps) > 0, Text: "An app is configured", How: "evergrant init"},
		{Done: accepted, Text: "Its credentials are not refused", How: "evergrant doctor"},
		{Done: total > 0, Text: "A link was made", How: "evergrant link create biz_42@APP"},
		{Text: "A merchant has approved", How: "open the link"},
		{Text: "A program fetched a token", How: "evergrant token biz_42@APP"},
	}
}

// counts keeps how many connections are in which state for a few seconds: that
// costs more with the size of the fleet, if only an index.
type counts struct {
	mu   sync.Mutex
	at   time.Time
	last []store.ConnectionCount
}

const countsFresh = 2 * time.Second

// fresh reports whether what was counted at a moment will do.
func fresh(at, now time.Time) bool {
	age := now.Sub(at)
	return age >= 0 && age < countsFresh
}

func (c *counts) read(ctx context.Context, s Reader, now func() time.Time) ([]store.ConnectionCount, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && fresh(c.at, now()) {
		return c.last, nil
	}
	list, err := s.CountConnections(ctx)
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []store.ConnectionCount{}
	}
	c.at, c.last = now(), list
	return list, nil
}
