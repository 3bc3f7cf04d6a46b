package why

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/evergrant/evergrant/client"
)

// Chapter is one line of a story: something that happened once or went on for a
// while.
type Chapter struct {
	Grant   string    `json:"grant,omitempty"` // "" if it is about the connection or its app
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	What    string    `json:"what"`
	Text    string    `json:"text"`
	Tries   int       `json:"tries,omitempty"`
	Attempt string    `json:"attempt,omitempty"` // the last of them
}

// What a chapter is about.
const (
	aboutLogin     = "connected"
	aboutRenewals  = "renewed"
	aboutTrouble   = "provider_trouble" // the provider gave no answer to the question
	aboutUnsent    = "not_sent"
	aboutLost      = "answer_lost"
	aboutRefusal   = "refused"
	aboutEnd       = "ended"
	aboutRecovery  = "recovered"
	aboutOpen      = "under_way"
	aboutLink      = "link"
	aboutReach     = "reach_changed"
	aboutLeaving   = "disconnected"
	aboutRevoked   = "revoked"
	aboutIncidents = "app_incident"
)

// teller replays a connection's log and tells what happened.
type teller struct {
	Account
	tales map[string]*tale // by grant
	rest  []Chapter        // about the connection and its app
	trips []*trip
	// incidents are the app's that have not ended yet, by their reason; told says
	// that the log has some, so that grants need not tell of them.
	incidents map[string]*incident
	told      bool
}

// replay replays the Account's log.
func (a Account) replay() *teller {
	t := &teller{Account: a, tales: map[string]*tale{}, incidents: map[string]*incident{}}
	for _, g := range a.conn.Grants {
		t.tale(g.ID)
	}
	for _, e := range a.events {
		t.told = t.told || e.Type == "app.credentials_rejected"
	}
	for i, e := range a.events {
		t.hear(e, a.events[i+1:])
	}
	t.end()
	return t
}

// Story returns the whole story, in the order of time.
func (a Account) Story() []Chapter {
	story := a.replay().chapters()
	for i := range story {
		story[i].From, story[i].To = story[i].From.UTC(), story[i].To.UTC()
	}
	return story
}

// chapters returns everything that was told, in the order of time.
func (t *teller) chapters() []Chapter {
	story := slices.Clone(t.rest)
	for _, id := range slices.Sorted(maps.Keys(t.tales)) {
		story = append(story, t.tales[id].chapters...)
	}
	inOrder(story)
	return story
}

func inOrder(story []Chapter) {
	slices.SortStableFunc(story, func(a, b Chapter) int { return a.From.Compare(b.From) })
}

// tale returns the tale of a grant.
func (t *teller) tale(grant string) *tale {
	tl := t.tales[grant]
	if tl == nil {
		tl = &tale{t: t, grant: grant, seq: -1}
		t.tales[grant] = tl
	}
	return tl
}

// hear takes in one event; later are those after it.
func (t *teller) hear(e client.Event, later []client.Event) {
	switch e.Type {
	case "grant.issued":
		t.tale(e.Grant).issued(e, t.approver(e, later))
	case "grant.refreshed":
		t.proven(e.Time)
		t.tale(e.Grant).refreshed(e)
	case "grant.refresh_failed":
		t.tale(e.Grant).failed(e)
	case "grant.revoked":
		t.tale(e.Grant).revoked(e)
	case "connection.recovered":
		if len(t.tales) == 1 { // the renewal it tells of may be gone from the log
			for _, tl := range t.tales {
				tl.renewedAgain(e.Time)
			}
		}
	case "connection.needs_reauthorization":
		t.gaveUp(e)
	case "connection.disconnected":
		for _, tl := range t.tales {
			tl.settle()
		}
		by := "us"
		if e.Reason == "disconnected_by_merchant" {
			by = "its merchant"
		}
		t.add(e.Time, aboutLeaving, "Disconnected by "+by+".")
	case "connection.scope_changed":
		t.add(e.Time, aboutReach, scopeChange(e))
	case "connection.locations_changed":
		t.add(e.Time, aboutReach, fmt.Sprintf("The places it reaches changed: %d more, %d fewer.",
			len(texts(e.Data, "added")), len(texts(e.Data, "lost"))))
	case "link.created", "link.opened", "authorization.started", "link.failed", "link.help_requested", "link.completed":
		t.follow(e)
	case "app.credentials_rejected":
		t.incidentBegins(appRejected, e)
	case "app.credentials_accepted":
		t.incidentEnds(appRejected, e.Time)
	case "app.tokens_expired":
		t.add(e.Time, aboutIncidents, "The provider answered a renewal with a token that was over when it came, or seconds later. "+
			"Whoever asks for one has to wait while that goes on.")
	case "app.paused":
		t.incidentBegins(appPaused, e)
	case "app.resumed":
		t.incidentEnds(appPaused, e.Time)
	}
}

// add adds a chapter about the connection.
func (t *teller) add(at time.Time, what, text string) {
	t.rest = append(t.rest, Chapter{From: at, To: at, What: what, Text: text})
}

// end tells what is open now.
func (t *teller) end() {
	for _, tr := range t.trips {
		if text := tr.text(t.when); text != "" {
			t.rest = append(t.rest, Chapter{From: tr.from, To: tr.to, What: aboutLink, Text: text})
		}
	}
	t.incidentNow()
	for _, g := range t.conn.Grants {
		t.tales[g.ID].open(g)
	}
	for _, tl := range t.tales {
		tl.settle()
		inOrder(tl.chapters)
	}
	for i, c := range t.rest {
		if c.To.Before(c.From) { // the server's clock was set back
			t.rest[i].To = c.From
		}
	}
	inOrder(t.rest)
}

// approver is who gave the approval that an event tells of: what the connection's
// event beside it says, or else what the grant says now.
func (t *teller) approver(e client.Event, later []client.Event) string {
	for _, l := range later {
		if !l.Time.Equal(e.Time) {
			break
		}
		if l.Grant == e.Grant && (l.Type == "connection.connected" || l.Type == "connection.reconnected") {
			identity, _ := l.Data["identity"].(map[string]any)
			return foreign(textOf(identity, "name"))
		}
	}
	for _, g := range t.conn.Grants {
		if g.ID == e.Grant && g.Epoch == countOf(e.Data, "epoch") {
			return foreign(g.Identity.Name)
		}
	}
	return ""
}

// gaveUp tells of an end that no renewal proved.
func (t *teller) gaveUp(e client.Event) {
	for _, tl := range t.tales {
		if len(tl.proof) > 0 {
			return
		}
	}
	text := "The merchant has to log in again."
	if why := probably(e.Reason); why != "" {
		text = "The merchant has to log in again; probably " + why + "."
	}
	t.add(e.Time, aboutEnd, text)
}

// scopeChange tells of permissions that changed.
func scopeChange(e client.Event) string {
	missing := texts(e.Data, "missing")
	if len(missing) == 0 {
		return "The provider gives other permissions than before; none that is required is missing."
	}
	const most = 5
	more := ""
	if n := len(missing) - most; n > 0 {
		missing, more = missing[:most], fmt.Sprintf(" and %d more", n)
	}
	for i := range missing {
		missing[i] = foreign(missing[i])
	}
	return "Permissions are missing: " + listed(missing) + more + "."
}

// texts returns a member of an event's data that is a list of texts.
func texts(data map[string]any, name string) []string {
	list, _ := data[name].([]any)
	out := make([]string, 0, len(list))
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
